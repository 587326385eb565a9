package documents_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"roster/internal/documents"
)

func TestReadTrusted(t *testing.T) {
	t.Parallel()
	got, err := documents.ReadTrusted(strings.NewReader(" {\n \"a\": \"{ x }\", \"sha256:b\": \"query \\\"\" } \n"))
	if want := map[string]string{"a": "{ x }", "sha256:b": `query "`}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := documents.ReadTrusted(strings.NewReader("\ufeff{\"a\": \"{ x }\"}")); err != nil || got["a"] != "{ x }" {
		t.Errorf("after a byte-order mark: got %v, %v, want the document a", got, err)
	}
	for text, want := range map[string]string{
		``:                       "no object at byte 0",
		`[`:                      "no object at byte 0",
		`{`:                      "unexpected EOF at byte 1",
		`{"a": "x"`:              "unexpected EOF at byte 9",
		`{"a": 5}`:               "a key is empty, or a document is no string",
		`{"a": {"b": "c"}}`:      "a key is empty, or a document is no string",
		`{"a": "x", "a": "y"}`:   "duplicate object member name at byte 11",
		`{"a": "\ud800"}`:        "invalid surrogate pair in string at byte 7",
		`{"": "x"}`:              "a key is empty, or a document is no string",
		`{"a": "x"} {}`:          "something after the object at byte 11",
		`{}`:                     "no document: nothing would be executed",
		`{"secret": "x" "y": 1}`: "invalid character after object value (expecting ',' or '}') at byte 15",
	} {
		if got, err := documents.ReadTrusted(strings.NewReader(text)); err == nil || err.Error() != want || got != nil {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
}

// FuzzReadTrusted checks that what is read is what encoding/json reads, too.
func FuzzReadTrusted(f *testing.F) {
	for _, text := range []string{`{}`, `{"a": "{ x }"}`, `{"a": "x", "a": "y"}`, `{"a": null}`, "{\"\\ud800\": \"\xff\"} ", `[`, `{"a": "b"}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := documents.ReadTrusted(strings.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want an error of one line", err)
			}
			return
		}
		var want map[string]string
		if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &want); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: got %v, want %v, %v", text, got, want, err)
		}
	})
}
