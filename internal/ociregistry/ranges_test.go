package ociregistry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

func TestParseRange(t *testing.T) {
	for _, c := range []struct {
		header      string
		size        int64
		part        span
		partial, ok bool
	}{
		{"", 10, span{0, 10}, false, true},
		{"bytes=0-0", 10, span{0, 1}, true, true},
		{"bytes=0-9", 10, span{0, 10}, true, true},
		{"bytes=0-", 10, span{0, 10}, true, true},
		{"bytes=3-5", 10, span{3, 3}, true, true},
		{"bytes=3-500", 10, span{3, 7}, true, true},
		{"bytes=9-", 10, span{9, 1}, true, true},
		{"bytes=-3", 10, span{7, 3}, true, true},
		{"bytes=-30", 10, span{0, 10}, true, true},
		{"bytes= 3-5 ", 10, span{3, 3}, true, true},
		{"bytes=10-", 10, span{}, false, false},
		{"bytes=10-12", 10, span{}, false, false},
		{"bytes=-0", 10, span{}, false, false},
		// What is not understood, or not offered, is the whole.
		{"bytes=5-3", 10, span{0, 10}, false, true},
		{"bytes=0-1,3-4", 10, span{0, 10}, false, true},
		{"bytes=a-b", 10, span{0, 10}, false, true},
		{"bytes=1", 10, span{0, 10}, false, true},
		{"bytes=-", 10, span{0, 10}, false, true},
		{"bytes=+1-2", 10, span{0, 10}, false, true},
		{"bytes=--1", 10, span{0, 10}, false, true},
		{"bytes=99999999999999999999-", 10, span{0, 10}, false, true},
		{"items=0-1", 10, span{0, 10}, false, true},
		{"bytes=0-1", 0, span{0, 0}, false, true},
	} {
		part, partial, ok := parseRange(c.header, c.size)
		if !c.ok {
			if ok {
				t.Errorf("parseRange(%q, %d) is %v, and should be outside", c.header, c.size, part)
			}
			continue
		}
		if part != c.part || partial != c.partial || !ok {
			t.Errorf("parseRange(%q, %d) is %v %v %v, not %v %v", c.header, c.size, part, partial, ok, c.part, c.partial)
		}
	}
}

// FuzzParseRange holds that a part always lies inside.
func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=1-2,3-4", "bytes=9223372036854775807-9223372036854775807", "x"} {
		f.Add(seed, int64(10))
	}
	f.Add("bytes=-9223372036854775807", int64(9223372036854775807))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		part, partial, ok := parseRange(header, size)
		if !ok {
			if partial {
				t.Fatalf("%q of %d is partial and outside", header, size)
			}
			return
		}
		if part.start < 0 || part.length < 0 || part.start > size-part.length {
			t.Fatalf("%q of %d is %+v", header, size, part)
		}
		if !partial && (part != span{length: size}) {
			t.Fatalf("%q of %d is %+v and not partial", header, size, part)
		}
		if partial && part.length == 0 {
			t.Fatalf("%q of %d is a part of nothing", header, size)
		}
	})
}

func TestParseContentRange(t *testing.T) {
	for header, want := range map[string][2]int64{
		"0-9":                    {0, 9},
		"10-10":                  {10, 10},
		"bytes 0-9/10":           {0, 9},
		"bytes=0-9":              {0, 9},
		"bytes 0-9/*":            {0, 9},
		" 3-4 ":                  {3, 4},
		"":                       {-1, -1},
		"9-0":                    {-1, -1},
		"-9":                     {-1, -1},
		"0-":                     {-1, -1},
		"a-b":                    {-1, -1},
		"0-9-":                   {-1, -1},
		"1-18446744073709551616": {-1, -1},
	} {
		first, last, err := parseContentRange(header)
		if want[0] < 0 {
			if err == nil {
				t.Errorf("parseContentRange(%q) is %d-%d", header, first, last)
			}
			continue
		}
		if err != nil || first != want[0] || last != want[1] {
			t.Errorf("parseContentRange(%q) is %d-%d, %v", header, first, last, err)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, seed := range []string{"0-9", "bytes 0-9/10", "bytes=1-2", "-", "9223372036854775807-9223372036854775807"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		first, last, err := parseContentRange(header)
		if err == nil && (first < 0 || last < first) {
			t.Fatalf("%q is %d-%d", header, first, last)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Fatalf("the error of %q has %d bytes", header, len(err.Error()))
		}
	})
}

func TestHasTag(t *testing.T) {
	const d = "sha256:abc"
	for header, want := range map[string]bool{
		`"sha256:abc"`:          true,
		`sha256:abc`:            true,
		`W/"sha256:abc"`:        true,
		`"other", "sha256:abc"`: true,
		`*`:                     true,
		`"other"`:               false,
		``:                      false,
		`"sha256:abcd"`:         false,
		`sha256:ab`:             false,
	} {
		if got := hasTag([]string{header}, d); got != want {
			t.Errorf("hasTag(%q) is %v", header, got)
		}
	}
}

func TestWantsPart(t *testing.T) {
	d := digest.FromString("x")
	for condition, want := range map[string]bool{
		"": true, entityTag(d): true, `"other"`: false, "W/" + entityTag(d): false,
		"Wed, 21 Oct 2015 07:28:00 GMT": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("If-Range", condition)
		if got := wantsPart(r, entityTag(d)); got != want {
			t.Errorf("with If-Range %q a part is wanted: %v", condition, got)
		}
	}
}

func TestUploadRange(t *testing.T) {
	for size, want := range map[int64]string{0: "0-0", 1: "0-0", 2: "0-1", 100: "0-99"} {
		if got := uploadRange(size); got != want {
			t.Errorf("an upload of %d is %q, not %q", size, got, want)
		}
	}
}

func TestParseDigest(t *testing.T) {
	sha256, sha512 := digest.FromString("x").String(), digest.SHA512.FromString("x").String()
	for text, ok := range map[string]bool{
		sha256: true, sha512: true,
		"":                                     false,
		"sha256:":                              false,
		sha256[:len(sha256)-1]:                 false,
		sha256 + "0":                           false,
		strings.ToUpper(sha256):                false,
		"sha256:" + strings.Repeat("g", 64):    false,
		"sha512:" + sha256[7:]:                 false,
		digest.SHA384.FromString("x").String(): false,
		"md5:" + strings.Repeat("0", 32):       false,
		"sha256:../../../etc/passwd":           false,
		" " + sha256:                           false,
	} {
		_, err := parseDigest(text)
		if (err == nil) != ok {
			t.Errorf("parseDigest(%q): %v", text, err)
		}
		if err != nil && !hasCode(err, CodeDigestInvalid) {
			t.Errorf("parseDigest(%q) fails with %v", text, err)
		}
	}
}
