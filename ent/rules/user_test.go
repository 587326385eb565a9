package rules_test

import (
	"strings"
	"sync"
	"testing"
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
		"a\u0378": rules.Invalid, "\ue000": rules.Invalid, "\ufeffada": rules.Invalid, "a\u202eb": rules.Invalid, "\uffff": rules.Invalid,
		"aא": rules.Invalid, "אa": rules.Invalid, "1א": rules.Invalid, "א!": rules.Invalid, "א1٣": rules.Invalid,
		strings.Repeat("x", 81): rules.TooLong, strings.Repeat("é", 81): rules.TooLong, strings.Repeat(" x", 41): rules.TooLong,
	})
}

func TestEmail(t *testing.T) {
	t.Parallel()
	local, label := strings.Repeat("l", 64), strings.Repeat("d", 63)
	short := local + "@" + label[:51] + ".org" // 120 characters
	accepts(t, rules.Email, map[string]string{
		"ada@example.com": "ada@example.com", "Ada@Example.COM": "ada@example.com", "a.b+c_d-e@x.y.z": "a.b+c_d-e@x.y.z",
		"!#$%&'*+-/=?^_`{|}~@example.com": "!#$%&'*+-/=?^_`{|}~@example.com", "ada@localhost": "ada@localhost", "1@2.3": "1@2.3",
		"JOSÉ@EXAMPLE.com": "josé@example.com", "jose\u0301@example.com": "josé@example.com", "用户@例子.广告": "用户@例子.广告",
		"ada@xn--fsq.com": "ada@xn--fsq.com", "\u212aada@x.y": "kada@x.y", "a@b-c.d": "a@b-c.d", short: short,
	})
	refuses(t, rules.Email, map[string]rules.Code{
		"": rules.Blank, " ": rules.Blank, "ada": rules.Invalid, "@": rules.Invalid, "ada@": rules.Invalid, "@example.com": rules.Invalid,
		"ada@example..com": rules.Invalid, "ada@.example.com": rules.Invalid, "ada@example.com.": rules.Invalid, ".ada@example.com": rules.Invalid,
		"ada.@example.com": rules.Invalid, "a..b@example.com": rules.Invalid, "a b@example.com": rules.Invalid, " ada@example.com": rules.Invalid,
		"ada@example.com ": rules.Invalid, "ada@exa_mple.com": rules.Invalid, "ada@-example.com": rules.Invalid, "ada@example-.com": rules.Invalid,
		"ada@[127.0.0.1]": rules.Invalid, "Ada <ada@example.com>": rules.Invalid, "<ada@example.com>": rules.Invalid, "ada@example.com (Ada)": rules.Invalid,
		"a@b.c, d@e.f": rules.Invalid, "\"a b\"@example.com": rules.Invalid, "a@b@example.com": rules.Invalid, "mailto:ada@example.com": rules.Invalid,
		"=?utf-8?q?a?= <a@b.c>": rules.Invalid, "a\x00@example.com": rules.Invalid, "a@exa\x00mple.com": rules.Invalid, "a\r\n@example.com": rules.Invalid,
		"a\u037e@example.com": rules.Invalid, "a@exa\u037emple.com": rules.Invalid, // a Greek question mark is a semicolon
		"a\xff@example.com": rules.Invalid, "l" + local + "@example.com": rules.Invalid, "a@" + label + "d.com": rules.Invalid,
		"x" + short: rules.TooLong,
	})
}

func TestFoldsParts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"ADA ": "ada ", "ＡＤ É\u0301": "ad é\u0301", "♥": "♥", "": "", "Σ": "σ"} {
		if got := rules.FoldUsername(text); got != want {
			t.Errorf("username %q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"@EXAMPLE.": "@example.", "É": "é", "e\u0301": "é", "": ""} {
		if got := rules.FoldEmail(text); got != want {
			t.Errorf("email %q: %q, want %q", text, got, want)
		}
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
						t.Errorf("%q: %q, %v", text, key, fault)
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
			t.Errorf("%U becomes %d bytes of a username", r, n)
		}
		if n := len(rules.FoldEmail(string(r))); n > emailBytes {
			t.Errorf("%U becomes %d bytes of an email", r, n)
		}
		if n := len(rules.FoldTitle(string(r))); n > titleBytes {
			t.Errorf("%U becomes %d bytes of a title", r, n)
		}
	}
}
