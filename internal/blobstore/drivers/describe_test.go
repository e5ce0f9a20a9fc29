package drivers

import (
	"errors"
	"testing"
)

func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		name       string
		parameters parameters
		want       string
	}{
		{"s3", parameters{"bucket": "nowhere", "regionendpoint": "http://s3:9000", "secretkey": "hunter2", "region": "r"}, `storage s3, bucket "nowhere" at http://s3:9000 in region r`},
		{"s3", parameters{"bucket": "b", "regionendpoint": "https://user:hunter2@s3:9000/x?key=hunter2"}, `storage s3, bucket "b" at https://s3:9000/x`},
		{"s3", parameters{"bucket": "b", "regionendpoint": "user:hunter2@s3:9000"}, `storage s3, bucket "b" at s3:9000`},
		{"gcs", parameters{"bucket": "b"}, `storage gcs, bucket "b"`},
		{"azure", parameters{"accountname": "a", "container": "c", "accountkey": "hunter2"}, `storage azure, container "c" of account "a"`},
		{"filesystem", nil, "storage filesystem, folder /data/registry"},
		{"filesystem", parameters{"rootdirectory": "/srv/r"}, "storage filesystem, folder /srv/r"},
		{"inmemory", nil, "storage inmemory"},
	} {
		if got := Describe(test.name, test.parameters, "/data"); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
	if got := OneLine(errors.New("NoSuchBucket: none\n\tstatus code: 404")); got != "NoSuchBucket: none status code: 404" {
		t.Error(got)
	}
}
