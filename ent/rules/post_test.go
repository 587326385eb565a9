package rules_test

import (
	"strings"
	"testing"

	"roster/ent/rules"
)

func TestTitle(t *testing.T) {
	t.Parallel()
	accepts(t, rules.Title, map[string]string{
		"Engines": "engines", "  two  words  ": "  two  words  ", "Straße": "strasse", "STRASSE": "strasse", "ΟΔΥΣΣΕΥΣ": "οδυσσευσ",
		"οδυσσευς": "οδυσσευσ", "É": "é", "e\u0301": "é", "😀": "😀", "\"'\\`%_": "\"'\\`%_", "Ａ": "ａ", "ﬁn": "fin", "\ufeffa": "\ufeffa",
		"Ꮭ": "Ꮭ", "ꮭ": "Ꮭ", "👩\u200d🚀": "👩\u200d🚀", "❤\ufe0f": "❤\ufe0f", "שלום\u200e!": "שלום\u200e!", "می\u200cخواهم": "می\u200cخواهم", "İ": "i\u0307", "\u0345\u0301": "\u0301ι", "\ufffd": "\ufffd",
		strings.Repeat("é", 200): strings.Repeat("é", 200),
	})
	const blanks = " \t\r\n\v\f\u0085\u00a0\u2028\u2029\u3000"
	refuses(t, rules.Title, map[string]rules.Code{
		"\u200b": rules.Blank, "\ufeff \u2060": rules.Blank, "\u3164": rules.Blank, "\u200d\ufe0f": rules.Blank, "\u202e\u202c": rules.Blank, "\u2800": rules.Blank,
		"": rules.Blank, blanks: rules.Blank, "a\x00": rules.Invalid, "a\nb": rules.Invalid, "a\tb": rules.Invalid,
		"a\x7f": rules.Invalid, "a\u0085b": rules.Invalid, "a\u2028b": rules.Invalid, "a\u2029b": rules.Invalid, "a\xff": rules.Invalid,
		"\xf0\x9f": rules.Invalid, "\xed\xa0\xbd\xed\xb8\x80": rules.Invalid, strings.Repeat("x", 201): rules.TooLong, strings.Repeat("😀", 201): rules.TooLong,
	})
}

func TestBody(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " ", "a\tb\r\nc\x01\x7f\u2028", strings.Repeat("😀", 10_000)} {
		if fault := rules.Body(text); fault != nil {
			t.Errorf("%.20q: got %+v, want no fault", text, fault)
		}
	}
	if fault := rules.Body(strings.Repeat("é", rules.BodyLimit/2)); fault != nil {
		t.Errorf("the longest body: got %+v, want no fault", fault)
	}
	if fault := rules.Body(strings.Repeat("é", rules.BodyLimit/2) + "x"); fault == nil || fault.Code != rules.TooLong || !strings.Contains(fault.Message, "4194304 bytes") {
		t.Errorf("one byte more: got %+v, want TOO_LONG", fault)
	}
	for _, text := range []string{"\x00", "a\x00b", "\xff", "a\xc3"} {
		if fault := rules.Body(text); fault == nil || fault.Code != rules.Invalid {
			t.Errorf("%q: got %+v, want INVALID", text, fault)
		}
	}
}
