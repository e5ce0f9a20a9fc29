package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"k8s.io/client-go/rest"
)

// VerifyOptions say which registry is compared with its image streams.
type VerifyOptions struct {
	// Token says as whom, see Token.
	Token TokenOptions
	// Registry is the URL of the registry.
	Registry string
}

// Missing is an image with content that is not in the registry's storage.
type Missing struct {
	Repository string   `json:"repository"`
	Tags       []string `json:"tags"`
	Image      string   `json:"image"`
	// LinkMissing is true if the repository has no link to the manifest.
	LinkMissing bool `json:"linkMissing"`
	// DataMissing are the digests without data.
	DataMissing []string `json:"dataMissing"`
}

// maxVerifyLine bounds a line of the registry's answer in bytes.
const maxVerifyLine = 1 << 20

// Verify has the registry compare the image streams with its storage, calls report for each
// image with missing content, and returns the number of images. It needs the right to get
// registry/content of image.openshift.io.
func Verify(ctx context.Context, o VerifyOptions, report func(Missing)) (images int, err error) {
	password, err := Token(ctx, o.Token)
	if err != nil {
		return 0, err
	}
	config, err := o.Token.config()
	if err != nil {
		return 0, err
	}
	// The registry's certificate is signed by Weir's authority or by one of the system.
	client, err := rest.HTTPClientFor(&rest.Config{Host: o.Registry, TLSClientConfig: rest.TLSClientConfig{CAFile: config.CAFile, CAData: config.CAData}})
	if err != nil {
		return 0, fmt.Errorf("making a client of %s: %w", o.Registry, err)
	}
	url := strings.TrimSuffix(o.Registry, "/") + "/admin/missing"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, fmt.Errorf("--registry: %w", err)
	}
	request.SetBasicAuth("weir", password)
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("comparing image streams with the storage of %s: %w", o.Registry, err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return readVerified(response.Body, report)
	case http.StatusUnauthorized, http.StatusForbidden:
		return 0, fmt.Errorf("%s answered %s: the user of the kubeconfig needs the right to get registry/content of image.openshift.io", url, response.Status)
	}
	return 0, fmt.Errorf("%s answered %s: it is no registry of Weir, or an older one", url, response.Status)
}

// verifiedLine is a line of the answer. The last one is the summary.
type verifiedLine struct {
	Missing
	Images *int   `json:"images"`
	Error  string `json:"error"`
}

func readVerified(body io.Reader, report func(Missing)) (images int, err error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxVerifyLine)
	for lines.Scan() {
		var line verifiedLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return 0, fmt.Errorf("reading the registry's answer: %w", err)
		}
		switch {
		case line.Images == nil:
			report(line.Missing)
		case line.Error != "":
			return *line.Images, errors.New(line.Error)
		default:
			return *line.Images, nil
		}
	}
	return 0, fmt.Errorf("the registry's answer broke off: %w", errors.Join(io.ErrUnexpectedEOF, lines.Err()))
}
