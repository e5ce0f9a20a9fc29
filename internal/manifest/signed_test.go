package manifest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// sign puts signatures before the last brace of a document, as Docker did.
func sign(payload string, padding string, signatures int) string {
	cut := strings.LastIndex(payload, "}")
	note := fmt.Sprintf(`{"formatLength":%d,"formatTail":%q}`, cut, base64.RawURLEncoding.EncodeToString([]byte(payload[cut:])))
	one := fmt.Sprintf(`{"protected":%q}`, base64.RawURLEncoding.EncodeToString([]byte(note))+padding)
	return payload[:cut] + `,"signatures":[` + one + strings.Repeat(","+one, signatures-1) + `]}`
}

func protected(headers ...string) string {
	var all []string
	for _, h := range headers {
		all = append(all, `{"protected":"`+base64.RawURLEncoding.EncodeToString([]byte(h))+`"}`)
	}
	return `{"schemaVersion":1,"signatures":[` + strings.Join(all, ",") + `]}`
}

func TestSignedPayload(t *testing.T) {
	const payload = `{"schemaVersion":1,"fsLayers":[{"blobSum":"a"}]}` + "\n"
	for name, test := range map[string]struct{ content, want, because string }{
		"one signature":      {sign(payload, "", 1), payload, ""},
		"two signatures":     {sign(payload, "", 2), payload, ""},
		"padded":             {sign(payload, "==", 1), payload, ""},
		"not signed":         {payload, "", "not signed"},
		"no base64":          {`{"signatures":[{"protected":"*"}]}`, "", "signatures[0]"},
		"no JSON":            {protected("x"), "", "signatures[0]"},
		"tail of no base64":  {protected(`{"formatLength":1,"formatTail":"*"}`), "", "formatTail"},
		"no length":          {protected(`{}`), "", "protect 0 bytes"},
		"negative length":    {protected(`{"formatLength":-1}`), "", "protect -1 bytes"},
		"longer than it":     {protected(`{"formatLength":99999}`), "", "protect 99999 bytes"},
		"different payloads": {protected(`{"formatLength":1}`, `{"formatLength":2}`), "", "different payloads"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Read([]byte(test.content))
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.SignedPayload([]byte(test.content))
			if string(got) != test.want || (err == nil) != (test.because == "") || err != nil && !strings.Contains(err.Error(), test.because) {
				t.Errorf("got %q, %v; want %q, %q", got, err, test.want, test.because)
			}
		})
	}
}
