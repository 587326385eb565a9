package strictjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const text = "\ufeff" + ` { "s" : "aé\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t" ,
		"n":[0,-0,12,-3.25,1e9,1E+2,2.5e-3], "l":[true,false,null],"e":[{ },[ ]] } `
	got, err := Parse([]byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"s": "aéé😀\"\\/\b\f\n\r\t",
		"n": []any{
			json.Number("0"), json.Number("-0"), json.Number("12"), json.Number("-3.25"),
			json.Number("1e9"), json.Number("1E+2"), json.Number("2.5e-3"),
		},
		"l": []any{true, false, nil},
		"e": []any{map[string]any{}, []any{}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "no object at byte 0",
		"[]":                          "no object at byte 0",
		`"a"`:                         "no object at byte 0",
		"\ufeff\ufeff{}":              "no object at byte 3",
		"\ufeff{]":                    "invalid character at start of value at byte 4",
		" \ufeff{}":                   "no object at byte 1",
		"{} x":                        "something after the object at byte 3",
		"{}{}":                        "something after the object at byte 2",
		"{}\x00":                      "something after the object at byte 2",
		"{":                           "unexpected EOF at byte 1",
		"{a:1}":                       "invalid character at start of value at byte 1",
		`{"a"1}`:                      "invalid character after object name (expecting ':') at byte 4",
		`{"a":}`:                      "missing value after object name at byte 5",
		`{"a":1,}`:                    "invalid character at start of value at byte 6",
		`{"a":1`:                      "unexpected EOF at byte 6",
		`{"a":[1 2]}`:                 "invalid character after array element (expecting ',' or ']') at byte 8",
		`{"a":[1,]}`:                  "invalid character at start of value at byte 7",
		`{"a":tru}`:                   "invalid character in literal true (expecting 'e') at byte 8",
		`{"a":nullx}`:                 "invalid character after object value (expecting ',' or '}') at byte 9",
		`{"a":01}`:                    "invalid character after object value (expecting ',' or '}') at byte 6",
		`{"a":-}`:                     "invalid character in number (expecting digit) at byte 6",
		`{"a":+1}`:                    "invalid character at start of value at byte 5",
		`{"a":.5}`:                    "invalid character at start of value at byte 5",
		`{"a":1.}`:                    "invalid character in number (expecting digit) at byte 7",
		`{"a":1e}`:                    "invalid character in number (expecting digit) at byte 7",
		`{"a":NaN}`:                   "invalid character at start of value at byte 5",
		`{"a":"`:                      "unexpected EOF at byte 6",
		"{\"a\":\"\n\"}":              "invalid character in string (expecting non-control character) at byte 6",
		`{"a":"\x"}`:                  "invalid escape sequence in string at byte 6",
		`{"a":"\u12"}`:                "invalid escape sequence in string at byte 6",
		`{"a":"\u+123"}`:              "invalid escape sequence in string at byte 6",
		`{"a":"\u`:                    "unexpected EOF at byte 6",
		`{"a":"\`:                     "unexpected EOF at byte 6",
		`{"a":"\ud800"}`:              "invalid surrogate pair in string at byte 6",
		`{"a":"\udc00"}`:              "invalid surrogate pair in string at byte 6",
		`{"a":"\ud800\n"}`:            "invalid surrogate pair in string at byte 6",
		`{"a":"\ud800\ud800"}`:        "invalid surrogate pair in string at byte 6",
		`{"a":"\ude00\ud83d"}`:        "invalid surrogate pair in string at byte 6",
		`{"\ud800":1}`:                "invalid surrogate pair in string at byte 2",
		"{\"a\":\"é\xff\"}":           "invalid UTF-8 at byte 8",
		"{\"a\":\"\xed\xa0\x80\"}":    "invalid UTF-8 at byte 6",
		`{"a":1,"a":2}`:               "duplicate object member name at byte 7",
		`{"a":1,"\u0061":2}`:          "duplicate object member name at byte 7",
		`{"v":{"a":{"b":1,"b":1}}}`:   "duplicate object member name at byte 17",
		nested(maxDepth):              "too deep at byte 405",
		strings.Repeat("[", 1000_000): "no object at byte 0",
	} {
		if _, err := Parse([]byte(text), 0); err == nil || err.Error() != want {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
	if _, err := Parse([]byte(nested(maxDepth-1)), 0); err != nil {
		t.Errorf("the deepest object: got %v, want no error", err)
	}
}

// nested returns an object that holds n arrays in each other.
func nested(n int) string {
	return `{"abc":` + strings.Repeat("[ ", n) + strings.Repeat("]", n) + "}"
}

func TestHalfSurrogate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`{"a":"\ud83d\ude00 \\ud83d \u00e9"}`: -1,
		`{"a":"\ud83d"}`:                      6,
		`{"a":"\ud83d\ude00\ude00"}`:          18,
		`{"a":"\ud83d\u0041"}`:                6,
		`{"a":"\`:                             -1,
	} {
		if got := HalfSurrogate(text); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

// usual is a request as most clients send it.
const usual = `{ "operationName": null, "query": "query ($key: String!) {\n  user(by: {username: $key}) { id \"a\\b\" }\n}",
	"variables": {"key": "é", "list": [1, -0.5e+3, 0, true, false, null, {}, []]} }`

// Usual requests need no parser. What quick does not know, or what is wrong, is for the parser.
func TestQuick(t *testing.T) {
	t.Parallel()
	got, ok := readQuickly([]byte(usual), 0)
	want, err := parse([]byte(usual), []byte(usual), 0)
	if !ok || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %t, want %#v, %v", got, ok, want, err)
	}
	for _, text := range []string{
		"", "[]", "{} x", "{", `{"a"}`, `{"a":1,}`, `{"a":01}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\u0061"}`,
		"{\"a\":\"\n\"}", "{\"a\":\"\xff\"}", `{"a":1,"a":2}`, `{"a":[1 2]}`, `{"a":"`, `{"a":"\`, nested(quickDepth + 1), "{}\x00",
	} {
		if got, ok := readQuickly([]byte(text), 0); ok {
			t.Errorf("%q: got %#v, want the parser to read it", text, got)
		}
	}
	if _, ok := readQuickly([]byte(`{"a":[1,2]}`), 2); ok {
		t.Error("got three values where two are allowed")
	}
}

// BenchmarkParse compares a usual request with one that needs the parser.
func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{"usual": usual, "parser": strings.Replace(usual, "é", `\u00e9`, 1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse([]byte(text), 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzParse compares with encoding/json: it accepts everything that Parse accepts, and reads the same values.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"query":"{a}","variables":{"a":[1,-2.5e3,true,false,null,"x\n\u00e9\ud83d\ude00"]}}`,
		`{"a":1,"a":2}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":01}`, `{} {}`, nested(maxDepth),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := bytes.TrimPrefix(data, []byte(byteOrderMark))
		for _, most := range []int{0, 5} {
			object, ok := readQuickly(text, most)
			want, err := parse(data, text, most)
			if ok && (err != nil || !reflect.DeepEqual(object, want)) {
				t.Fatalf("%q with %d values: got %#v quickly, want %#v, %v", data, most, object, want, err)
			}
		}
		got, err := Parse(data, 0)
		if err != nil {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil || !json.Valid(data) || !utf8.Valid(data) {
			t.Fatalf("%q: got no error, want one: %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", data, got, want)
		}
	})
}

// TestHalfSurrogateAllocates looks through many escapes. A hostile document must not cost memory for each of them.
func TestHalfSurrogateAllocates(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts those of all goroutines
	text := strings.Repeat(`\n`, 100_000) + `\ud800`
	if got := HalfSurrogate(text); got != 200_000 {
		t.Errorf("got %d, want 200000", got)
	}
	if got := testing.AllocsPerRun(5, func() { HalfSurrogate(text) }); got > 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
