package rules_test

import (
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"roster/ent/rules"
)

// rule is a rule about a text.
type rule func(string) (key string, fault *rules.Fault)

// accepts checks that texts are valid and what they are compared by.
func accepts(t *testing.T, f rule, keys map[string]string) {
	t.Helper()
	for text, want := range keys {
		if key, fault := f(text); fault != nil || key != want {
			t.Errorf("%q: got %q, %+v; want %q", text, key, fault, want)
		}
	}
}

// refuses checks the codes of texts that are not valid.
func refuses(t *testing.T, f rule, codes map[string]rules.Code) {
	t.Helper()
	for text, want := range codes {
		if key, fault := f(text); fault == nil || fault.Code != want || key != "" || fault.Message == "" {
			t.Errorf("%q: got %q, %+v; want %s", text, key, fault, want)
		}
	}
}

func TestUsername(t *testing.T) {
	t.Parallel()
	accepts(t, rules.Username, map[string]string{
		// RFC 8265, table 1.
		"juliet@example.com": "juliet@example.com", "fussball": "fussball", "fußball": "fußball", "π": "π",
		"Σ": "σ", "σ": "σ", "ς": "ς",
		// Case, width and normal form.
		"Ada": "ada", "ΟΔΥΣΣΕΥΣ": "οδυσσευσ", "οδυσσευς": "οδυσσευς", "ＡＤＡ": "ada", "ｱ": "ア", "e\u0301": "é", "É": "é",
		"\u212b": "å", "İ": "i\u0307", "\u0958": "\u0915\u093c", "Ⴀ": "ⴀ", "Ꭰ": "\uab70",
		// Symbols of ASCII, at the ends too, beside letters of ASCII and of others.
		"a.b-c_d": "a.b-c_d", "!": "!", "~x~": "~x~", "1": "1", "1a": "1a", "1é": "1é", "é.": "é.", "_é_": "_é_", "-Жук-": "-жук-",
		"2小明!": "2小明!",
		// Right to left, which must not mix with left to right: RFC 5893.
		"אב": "אב", "אב1": "אב1", "א-ב": "א-ב", "فاطمة": "فاطمة", "فاطمة٣": "فاطمة٣",
		// Joiners and dots where their neighbours ask for them: RFC 5892, appendix A.
		"क्\u200dष": "क्\u200dष", "l·l": "l·l", "ア・": "ア・",
		strings.Repeat("x", 80): strings.Repeat("x", 80), strings.Repeat("é", 80): strings.Repeat("é", 80),
	})
	refuses(t, rules.Username, map[string]rules.Code{
		// RFC 8265, table 2: a space, the empty string, a Roman numeral, a symbol.
		"foo bar": rules.Invalid, "": rules.Blank, "henry\u2163": rules.Invalid, "\u265a": rules.Invalid,
		" ": rules.Blank, "\t\n\u00a0\u3000": rules.Blank, "ada ": rules.Invalid, " ada": rules.Invalid, "a\u00a0b": rules.Invalid,
		"a\x00": rules.Invalid, "a\nb": rules.Invalid, "a\x7f": rules.Invalid, "\u0085a": rules.Invalid, "a\u2028b": rules.Invalid,
		"a\xff": rules.Invalid, "\xed\xa0\x80": rules.Invalid, "ﬁ": rules.Invalid, "½": rules.Invalid, "😀": rules.Invalid,
		"a\u200db": rules.Invalid, "a\u200cb": rules.Invalid, "·": rules.Invalid, "a·b": rules.Invalid, "a\u200b": rules.Invalid,
		// A combining mark at the start, of each kind: over, beside and around, in a name from right to left too.
		"\u0301ada": rules.Invalid, "\u0301": rules.Invalid, "\u0903": rules.Invalid, "\u20dda": rules.Invalid, "\u064bا": rules.Invalid,
		"\u0e31a": rules.Invalid, "\U000e0100a": rules.Invalid, "\u0345a": rules.Invalid, "=\u0338": rules.Invalid,
		// Nothing to be seen.
		"\u200b": rules.Blank, "\u3164": rules.Blank, "\u115f\u1160": rules.Blank, "\ufeff \u2060": rules.Blank, "a\u3164": rules.Invalid,
		"a\u034fb": rules.Invalid, "a\u2800": rules.Invalid, "a\u00ad": rules.Invalid, "a\ufe0f": rules.Invalid, "a\U000e0041": rules.Invalid,
		"a\u0378": rules.Invalid, "\ue000": rules.Invalid, "\ufeffada": rules.Invalid, "a\u202eb": rules.Invalid, "\uffff": rules.Invalid,
		"aא": rules.Invalid, "אa": rules.Invalid, "1א": rules.Invalid, "א!": rules.Invalid, "א1٣": rules.Invalid,
		strings.Repeat("x", 81): rules.TooLong, strings.Repeat("é", 81): rules.TooLong, strings.Repeat(" x", 41): rules.TooLong,
	})
}

func TestFoldsParts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"ADA ": "ada ", "ＡＤ É\u0301": "ad é\u0301", "♥": "♥", "": "", "Σ": "σ"} {
		if got := rules.FoldUsername(text); got != want {
			t.Errorf("username %q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"@EXAMPLE.": "@example.", "É": "é", "e\u0301": "é", "": "", "STRAßE": "strasse", "ΣΑΣ@": "σασ@", "XN--BCHER-KVA": "bücher",
		"@xn--bcher-kva.": "@bücher.", "a@xn--bcher-kva.ex": "a@bücher.ex", "xn--bcher-kva@": "xn--bcher-kva@", "@BÜCHER。例": "@bücher.例",
		"xn--": "xn--", "a b": "a b", "\u200b": "\u200b", "ada@例え。jp": "ada@例え.jp",
	} {
		if got := rules.FoldEmail(text); got != want {
			t.Errorf("email %q: %q, want %q", text, got, want)
		}
	}
}

// TestInvisible puts each character that shows nothing, or not the same to everyone, into a name and an address.
func TestInvisible(t *testing.T) {
	t.Parallel()
	hidden := func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Z, unicode.White_Space, unicode.Other_Default_Ignorable_Code_Point,
			unicode.Variation_Selector, unicode.Noncharacter_Code_Point) || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
	}
	n := 0
	for r := range unicode.MaxRune + 1 {
		if !utf8.ValidRune(r) || !hidden(r) {
			continue
		}
		n++
		for _, text := range []string{"a" + string(r) + "b", string(r) + "ab", "ab" + string(r)} {
			if key, fault := rules.Username(text); fault == nil {
				t.Errorf("the username %q: got the key %q, want a fault", text, key)
			}
			for _, address := range []string{text + "@example.com", "a@" + text + ".com", "a@x." + text} {
				if key, fault := rules.Email(address); fault == nil {
					t.Errorf("the address %q: got the key %q, want a fault", address, key)
				}
			}
		}
	}
	if n < 900_000 {
		t.Errorf("got only %d characters, want all unassigned ones", n) // most of them unassigned
	}
}

// Callers of a rule share what it stands on.
func TestRulesRunConcurrently(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				for text, want := range map[string]string{"ΟΔΥΣΣΕΥΣ": "οδυσσευσ", "1É": "1é", "אב": "אב"} {
					if key, fault := rules.Username(text); key != want {
						t.Errorf("%q: got %q, %v, want another key or fault", text, key, fault)
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestKeysFit computes the longest key of each single code point: a text of them, as long as a text may be, has a key
// that fits into the column of its key in ent/schema.
func TestKeysFit(t *testing.T) {
	t.Parallel()
	username := func(s string) string {
		key, _ := rules.Username(s)
		return key
	}
	for r := range rune(0x32000) { // beyond that, nothing has another case or normal form
		if !utf8.ValidRune(r) {
			continue
		}
		if n := len(username(string(r))); n > usernameBytes {
			t.Errorf("%U: got %d bytes of a username, want them to fit the column", r, n)
		}
		if n := len(rules.FoldEmail(string(r))); n > emailBytes {
			t.Errorf("%U: got %d bytes of an email, want them to fit the column", r, n)
		}
		if n := len(rules.FoldTitle(string(r))); n > titleBytes {
			t.Errorf("%U: got %d bytes of a title, want them to fit the column", r, n)
		}
	}
}
