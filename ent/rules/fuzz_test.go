package rules_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"roster/ent/rules"
)

// How many bytes of a key each code point of a text is given in ent/schema.
const (
	usernameBytes = 6
	emailBytes    = 12
	titleBytes    = 12
)

// check checks what holds of every text: the rule accepts it or says what is wrong with it, and what it accepts has a
// key that the databases can keep, that is valid itself, and that is its own key.
func check(t *testing.T, f rule, text string, limit, bytes int) {
	t.Helper()
	key, fault := f(text)
	if fault != nil {
		if key != "" || fault.Code == "" || fault.Message == "" || strings.Contains(fault.Message, text) && len(text) > 20 {
			t.Fatalf("%q: got %q, %+v, want a key or a fault", text, key, fault)
		}
		return
	}
	switch n := utf8.RuneCountInString(text); {
	case n == 0 || n > limit:
		t.Fatalf("%q of %d characters: got no fault, want TOO_LONG", text, n)
	case key == "" || !utf8.ValidString(key) || strings.IndexByte(key, 0) >= 0 || !norm.NFC.IsNormalString(key):
		t.Fatalf("%q: got the key %q, want one that can be stored", text, key)
	case len(key) > bytes*limit:
		t.Fatalf("%q: got a key of %d bytes, want one that fits the column", text, len(key))
	}
	local, _, _ := strings.Cut(key, "@")
	if utf8.RuneCountInString(key) > limit || len(local) > 64 {
		return // no text of the same rule
	}
	if again, fault := f(key); fault != nil || again != key {
		t.Fatalf("%q: got the key %q, whose key is %q, want the same key: %+v", text, key, again, fault)
	}
}

func FuzzUsername(f *testing.F) {
	for _, text := range []string{"Ada", "ΟΔΥΣΣΕΥΣ", "ｊｏｓｅ\u0301", "1é", "אב1", "İ", "क्\u200dष", "a b", "\u0958", "a\x00", "\xff", strings.Repeat("𠀀", 81)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		check(t, rules.Username, text, rules.UsernameLimit, usernameBytes)
		if key, fault := rules.Username(text); fault == nil && rules.FoldUsername(text) != key {
			t.Fatalf("%q in a filter: got %q, want the key %q", text, rules.FoldUsername(text), key)
		}
	})
}

func FuzzEmail(f *testing.F) {
	for _, text := range []string{"Ada@Example.COM", "jose\u0301@例子.cn", "\"a\"@b", "a@[1.2.3.4]", "A <a@b>", "İ@İ", "a@xn--bcher-kva.x", "STRAẞE@faß.de", "οΣς@ΣΣ.gr", "\u0345\u0301@b", "a@אב.com", "ᾳ@ᾳ.gr", "a@xn--a-ecp.ru", "\U0001d160@\U0001d160.x", "a\x00@b", "\xff@b", "İ@ı", "N\u0345\u0301@b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		check(t, rules.Email, text, rules.EmailLimit, emailBytes)
		key, fault := rules.Email(text)
		if folded := rules.FoldEmail(text); fault == nil && folded != key {
			t.Fatalf("%q in a filter: got %q, want the key %q", text, folded, key)
		}
		if fault != nil {
			return
		}
		// Who wrote it finds it in any case. Only ı has a capital, I, that folds to another letter, i; and the iota below
		// becomes a letter among marks, so that they have to be in order before.
		text = norm.NFC.String(strings.ReplaceAll(text, "ı", "i"))
		if key, fault = rules.Email(text); fault != nil {
			return
		}
		for _, variant := range []string{
			cases.Lower(language.Und, cases.HandleFinalSigma(false)).String(text), cases.Upper(language.Und).String(text), norm.NFC.String(text), norm.NFD.String(text),
		} {
			if again, fault := rules.Email(variant); fault == nil && again != key {
				t.Fatalf("%q has the key %q; %q: got %q, want the same key", text, key, variant, again)
			}
		}
	})
}

func FuzzTitle(f *testing.F) {
	for _, text := range []string{"Engines", "Straße", "ᾳ\u0345", "\u0345\u0301", strings.Repeat("\U0001d160", 200), "e\u0301\u0327", " x ", "a\nb", "a\x00", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		check(t, rules.Title, text, rules.TitleLimit, titleBytes)
	})
}
