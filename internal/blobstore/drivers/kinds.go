package drivers

import (
	"net/url"
	"strings"

	_ "github.com/distribution/distribution/v3/registry/storage/driver/azure"    // registers "azure"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/gcs"      // registers "gcs"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // registers "inmemory"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"   // registers "s3" and "s3aws"

	"weir.dev/weir/internal/blobstore/disk"
)

// A writer of S3 or GCS holds a chunk in memory: larger ones are a mistake of a unit.
const (
	mebibyte  = 1 << 20
	gibibyte  = 1 << 30
	maxChunk  = gibibyte
	gcsUnit   = 256 << 10
	s3MinPart = 5 * mebibyte
	s3MaxPart = 5 * gibibyte
)

var filesystemParameters = []parameter{
	{name: "rootdirectory"},
	{name: "maxthreads", kind: number, min: disk.MinThreads, max: disk.MaxThreads},
}

var s3Parameters = []parameter{
	{name: "bucket", required: true},
	{name: "region"},
	{name: "regionendpoint"},
	{name: "forcepathstyle", kind: boolean},
	{name: "accesskey", kind: secret},
	{name: "secretkey", kind: secret},
	{name: "rootdirectory"},
	{name: "encrypt", kind: boolean},
	{name: "keyid"},
	{name: "secure", kind: boolean},
	{name: "skipverify", kind: boolean},
	{name: "v4auth", kind: boolean},
	{name: "chunksize", kind: number, min: s3MinPart, max: maxChunk},
	{name: "multipartcopychunksize", kind: number, min: s3MinPart, max: s3MaxPart},
	{name: "multipartcopymaxconcurrency", kind: number, min: 1, max: 1000},
	{name: "multipartcopythresholdsize", kind: number, min: 0, max: s3MaxPart},
	{name: "storageclass"},
	{name: "objectacl"},
	{name: "useragent"},
	{name: "usedualstack", kind: boolean},
	{name: "accelerate", kind: boolean},
	{name: "usefipsendpoint", kind: boolean},
	{name: "redirectendpoint"},
	{name: "sessiontoken", kind: refused, why: "is not used by the driver: give temporary credentials in the environment (AWS_SESSION_TOKEN)"},
	{name: "loglevel", kind: refused, why: "is not taken: it would write the headers of requests, with their tokens, to the log"},
}

// checkS3 finds what the driver would silently do something else with.
func checkS3(values map[string]any) (wrong []parameterError) {
	complain := func(name, reason string) {
		wrong = append(wrong, parameterError{Parameter: name, Reason: reason})
	}
	if (textOf(values, "accesskey") == "") != (textOf(values, "secretkey") == "") {
		complain("accesskey", "and secretkey belong together: with one alone, the driver would take other credentials from the environment")
	}
	endpoint := textOf(values, "regionendpoint")
	if reason := wrongEndpoint(endpoint); reason != "" {
		complain("regionendpoint", reason)
	}
	if textOf(values, "region") == "" {
		if endpoint == "" {
			complain("region", "is missing; it can be left out with a regionendpoint only")
		} else {
			values["region"] = "us-east-1" // what servers other than Amazon's take it for
		}
	}
	if v4, ok := values["v4auth"].(bool); ok && !v4 && endpoint == "" {
		complain("v4auth", "can be false with a regionendpoint only: Amazon takes no older signatures")
	}
	return wrong
}

// wrongEndpoint looks at the address of a server: host[:port], or a URL.
func wrongEndpoint(endpoint string) (reason string) {
	if endpoint == "" {
		return ""
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "must be a host or a URL with http or https"
	case u.User != nil:
		return "must not hold credentials"
	}
	return ""
}

var gcsParameters = []parameter{
	{name: "bucket", required: true},
	{name: "keyfile"},
	{name: "credentials", kind: section, open: true},
	{name: "rootdirectory"},
	{name: "chunksize", kind: number, min: gcsUnit, max: maxChunk, unit: gcsUnit},
	{name: "maxconcurrency", kind: number, min: 25, max: 10000},
	{name: "useragent"},
}

func checkGCS(values map[string]any) (wrong []parameterError) {
	credentials, ok := values["credentials"].(map[string]any)
	if !ok {
		return nil
	}
	if textOf(values, "keyfile") != "" {
		return []parameterError{{Parameter: "keyfile", Reason: "must not be set together with credentials"}}
	}
	// The driver takes the type that an old decoder of YAML makes.
	converted := make(map[any]any, len(credentials))
	for name, value := range credentials {
		converted[name] = value
	}
	values["credentials"] = converted
	return nil
}

var azureParameters = []parameter{
	{name: "accountname", required: true},
	{name: "container", required: true},
	{name: "accountkey", kind: secret},
	{name: "credentials", kind: section, inside: []parameter{
		{name: "type", choices: []string{"shared_key", "client_secret", "default_credentials"}},
		{name: "clientid"},
		{name: "tenantid"},
		{name: "secret", kind: secret},
	}},
	{name: "realm"},
	{name: "serviceurl"},
	{name: "rootdirectory"},
	{name: "max_retries", kind: number, min: 1, max: 1000},
	{name: "retry_delay", kind: duration},
	{name: "skipverify", kind: boolean},
	{name: "connectionstring", kind: refused, why: "is not used by the driver: give accountname and accountkey"},
}

func checkAzure(values map[string]any) (wrong []parameterError) {
	credentials, _ := values["credentials"].(map[string]any)
	if credentials == nil {
		credentials = map[string]any{}
		values["credentials"] = credentials
	}
	if textOf(credentials, "type") == "" { // which the driver insists on
		credentials["type"] = "default_credentials"
		if textOf(values, "accountkey") != "" {
			credentials["type"] = "shared_key"
		}
	}
	need := func(in map[string]any, prefix string, names ...string) {
		for _, name := range names {
			if textOf(in, name) == "" {
				wrong = append(wrong, parameterError{Parameter: prefix + name,
					Reason: "is missing with credentials.type " + textOf(credentials, "type")})
			}
		}
	}
	switch credentials["type"] {
	case "shared_key":
		need(values, "", "accountkey")
	case "client_secret":
		need(credentials, "credentials.", "clientid", "tenantid", "secret")
	}
	if reason := wrongEndpoint(textOf(values, "serviceurl")); reason != "" {
		wrong = append(wrong, parameterError{Parameter: "serviceurl", Reason: reason})
	}
	return wrong
}

func textOf(values map[string]any, name string) string {
	s, _ := values[name].(string)
	return s
}
