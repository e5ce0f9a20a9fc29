package settings

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestChecks(t *testing.T) {
	p := field.NewPath("section")
	for name, test := range map[string]struct {
		check func(*Checks)
		want  string // "" for no mistake
	}{
		"a size":                 {func(c *Checks) { c.Size(p, 1) }, ""},
		"no size":                {func(c *Checks) { c.Size(p, 0) }, `section: Invalid value: "0": must be from 1 to 1Ti bytes`},
		"a huge size":            {func(c *Checks) { c.SizeFrom(p, 2<<40, 1<<20) }, `section: Invalid value: "2Ti": must be from 1Mi to 1Ti bytes`},
		"a count":                {func(c *Checks) { c.Between(p, 5, 1, 5) }, ""},
		"a large count":          {func(c *Checks) { c.Between(p, 6, 1, 5) }, "section: Invalid value: 6: must be from 1 to 5"},
		"no limit":               {func(c *Checks) { c.CountOrUnlimited(p, -1) }, ""},
		"a limit of nothing":     {func(c *Checks) { c.CountOrUnlimited(p, 0) }, "section: Invalid value: 0: must be from 1 to 10000000, or -1 for no limit"},
		"no time":                {func(c *Checks) { c.Positive(p, Duration(0)) }, `section: Invalid value: "0s": must be greater than 0`},
		"a long time":            {func(c *Checks) { c.DurationBetween(p, Duration(time.Hour), 0, time.Minute) }, `section: Invalid value: "1h0m0s": must be from 0s to 1m0s`},
		"no rate":                {func(c *Checks) { c.Rate(p, 0) }, "section: Invalid value: 0: must be greater than 0"},
		"an unknown word":        {func(c *Checks) { OneOf(c, p, "c", "a", "b") }, `section: Unsupported value: "c": supported values: "a", "b"`},
		"blocks":                 {func(c *Checks) { c.Blocks(p, []string{"10.0.0.1", "fd00::/8"}, "") }, ""},
		"IPv4 inside IPv6":       {func(c *Checks) { c.Blocks(p, []string{"::ffff:10.0.0.1"}, "10.0.0.0/8") }, `section[0]: Invalid value: "::ffff:10.0.0.1": must be an IP address or a CIDR block such as 10.0.0.0/8`},
		"a block with text only": {func(c *Checks) { c.Blocks(p, []string{"here"}, "10.0.0.0/8") }, `section[0]: Invalid value: "here": must be an IP address or a CIDR block such as 10.0.0.0/8`},
	} {
		t.Run(name, func(t *testing.T) {
			var c Checks
			test.check(&c)
			got := ""
			for _, err := range c.Errors() {
				got += err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSizesAreWrittenAsQuantities(t *testing.T) {
	if got, err := json.Marshal(Size(8 << 20)); err != nil || string(got) != `"8Mi"` {
		t.Errorf("%s, %v", got, err)
	}
}
