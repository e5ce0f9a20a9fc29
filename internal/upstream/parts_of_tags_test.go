package upstream

import (
	"context"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

// A mirror for tags has what its tags consist of, so what is asked by digest on behalf
// of a tag goes there too.
func TestPartsOfTagsFollowRulesForTags(t *testing.T) {
	content, d := realRegistry(t)
	mirror, source := serve(t, content), serve(t, v2(nil))
	source.Close() // nobody listens
	rules := rulesOf(t, `
[[registry]]
location = "`+source.host+`/team"
[[registry.mirror]]
location = "`+mirror.host+`/team"
insecure = true
pull-from-mirror = "tag-only"
`)
	c := newTestClient(t, func(o *Options) { o.Hosts.Retries = 0 })
	c.SetRules(rules)
	config := digest.FromString("{}")

	byTag := open(t, c, source.host+"/team/app:latest")
	if m, err := byTag.Manifest(context.Background(), "latest"); err != nil || m.Digest != d {
		t.Fatalf("the tag: %v, %v", m.Digest, err)
	}
	if _, err := byTag.Manifest(context.Background(), d.String()); err != nil {
		t.Errorf("a part of the tag: %v", err)
	}
	if _, err := byTag.Blob(context.Background(), config, 0); err != nil {
		t.Errorf("a blob of the tag: %v", err)
	}
	for _, ref := range []string{source.host + "/team/app", source.host + "/team/app@" + d.String(), source.host + "/team/app:latest@" + d.String()} {
		_, err := open(t, c, ref).Manifest(context.Background(), d.String())
		wantCode(t, err, CodeUnavailable)
	}
}
