package reference

import (
	"errors"
	"strings"
	"testing"
)

type split func(string) (string, string, error)

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		of          string
		split       split
		in          string
		first, part string
		refused     bool
	}{
		{of: "tag", split: SplitStreamTag, in: "s:t", first: "s", part: "t"},
		{of: "tag", split: SplitStreamTag, in: "s", refused: true},
		{of: "tag", split: SplitStreamTag, in: "s:", refused: true},
		{of: "tag", split: SplitStreamTag, in: ":t", refused: true},
		{of: "tag", split: SplitStreamTag, in: "s:t:u", refused: true},
		{of: "tag", split: SplitStreamTag, in: "s@x:t", refused: true},
		{of: "tag", split: SplitStreamTag, in: "s:t@x", refused: true},
		{of: "tag", split: SplitStreamTag, in: "", refused: true},

		{of: "image", split: SplitStreamImage, in: "s@sha256:a", first: "s", part: "sha256:a"},
		{of: "image", split: SplitStreamImage, in: "s@a", first: "s", part: "a"},
		{of: "image", split: SplitStreamImage, in: "s", refused: true},
		{of: "image", split: SplitStreamImage, in: "s@", refused: true},
		{of: "image", split: SplitStreamImage, in: "@a", refused: true},
		{of: "image", split: SplitStreamImage, in: "s@a@b", refused: true},

		{of: "tag from", split: ParseTagFrom, in: "t", part: "t"},
		{of: "tag from", split: ParseTagFrom, in: "s:t", first: "s", part: "t"},
		{of: "tag from", split: ParseTagFrom, in: "s:t:u", refused: true},
		{of: "tag from", split: ParseTagFrom, in: ":t", refused: true},
		{of: "tag from", split: ParseTagFrom, in: "s:", refused: true},
		{of: "tag from", split: ParseTagFrom, in: "", refused: true},

		{of: "image from", split: ParseImageFrom, in: "sha256:a", part: "sha256:a"},
		{of: "image from", split: ParseImageFrom, in: "s@sha256:a", first: "s", part: "sha256:a"},
		{of: "image from", split: ParseImageFrom, in: "s@a@b", refused: true},
		{of: "image from", split: ParseImageFrom, in: "@a", refused: true},
		{of: "image from", split: ParseImageFrom, in: "s@", refused: true},
	} {
		t.Run(test.of+" "+test.in, func(t *testing.T) {
			first, part, err := test.split(test.in)
			var syntax *SyntaxError
			if refused := errors.As(err, &syntax); refused != test.refused {
				t.Fatalf("error %v, want one: %t", err, test.refused)
			}
			if first != test.first || part != test.part {
				t.Errorf("got %q and %q, want %q and %q", first, part, test.first, test.part)
			}
		})
	}
}

func TestMatchesImage(t *testing.T) {
	for _, test := range []struct {
		image, id string
		want      bool
	}{
		{"sha256:abcd", "sha256:abcd", true},
		{"sha256:abcd", "sha256:ab", true},
		{"sha256:abcd", "sha", true},
		{"sha256:abcd", "abcd", true},
		{"sha256:abcd", "ab", true},
		{"sha256:abcd", "bc", false},
		{"sha256:abcd", "abcde", false},
		{"sha256:abcd", "", false},
		{"plain", "pla", true},
		{"plain", "lain", false},
	} {
		if got := MatchesImage(test.image, test.id); got != test.want {
			t.Errorf("MatchesImage(%q, %q) = %t", test.image, test.id, got)
		}
	}
}

func TestValidTag(t *testing.T) {
	for tag, want := range map[string]bool{
		"latest": true, "1.2-3_4": true, "_": true, "A": true, strings.Repeat("a", 128): true,
		"": false, ".a": false, "-a": false, "a/b": false, "a:b": false, "ä": false, strings.Repeat("a", 129): false,
	} {
		if got := ValidTag(tag); got != want {
			t.Errorf("ValidTag(%q) = %t", tag, got)
		}
	}
}

func FuzzStreamNames(f *testing.F) {
	for _, seed := range []string{"s:t", "s@sha256:ab", "t", ":", "@", "a:b:c", "a@b:c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if stream, tag, err := SplitStreamTag(name); err == nil && JoinStreamTag(stream, tag) != name {
			t.Fatalf("%q splits into %q and %q", name, stream, tag)
		}
		if stream, id, err := SplitStreamImage(name); err == nil && JoinStreamImage(stream, id) != name {
			t.Fatalf("%q splits into %q and %q", name, stream, id)
		}
		if stream, tag, err := ParseTagFrom(name); err == nil && stream+tag == "" {
			t.Fatalf("%q names nothing", name)
		}
		if stream, id, err := ParseImageFrom(name); err == nil && stream+id == "" {
			t.Fatalf("%q names nothing", name)
		}
	})
}
