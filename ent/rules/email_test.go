package rules_test

import (
	"strings"
	"testing"

	"roster/ent/rules"
)

func TestEmail(t *testing.T) {
	t.Parallel()
	local, label := strings.Repeat("l", 64), strings.Repeat("d", 63)
	short := local + "@" + label[:51] + ".org" // 120 characters
	accepts(t, rules.Email, map[string]string{
		"ada@example.com": "ada@example.com", "Ada@Example.COM": "ada@example.com", "a.b+c_d-e@x.y.z": "a.b+c_d-e@x.y.z",
		"!#$%&'*+-/=?^_`{|}~@example.com": "!#$%&'*+-/=?^_`{|}~@example.com", "ada@localhost": "ada@localhost", "1@2.3": "1@2.3",
		"JOSÉ@EXAMPLE.com": "josé@example.com", "jose\u0301@example.com": "josé@example.com", "用户@例子.广告": "用户@例子.广告",
		"\u212aada@x.y": "kada@x.y", "a@b-c.d": "a@b-c.d", short: short, "xn--fsq@x.y": "xn--fsq@x.y",
		// Full case folding, of no language.
		"m\u0130ke@x.y": "mi\u0307ke@x.y", "mi\u0307ke@x.y": "mi\u0307ke@x.y", "mike@x.y": "mike@x.y", "MIKE@x.y": "mike@x.y", "mıke@x.y": "mıke@x.y",
		"ΟΔΥΣΣΕΥΣ@x.y": "οδυσσευσ@x.y", "οδυσσευς@x.y": "οδυσσευσ@x.y", "Οδυσσευσ@x.y": "οδυσσευσ@x.y",
		"STRASSE@x.y": "strasse@x.y", "straße@x.y": "strasse@x.y", "STRAẞE@x.y": "strasse@x.y", "ſtraße@x.y": "strasse@x.y", "Ꭰ@x.y": "Ꭰ@x.y", "ꭰ@x.y": "Ꭰ@x.y",
		"👍@x.y": "👍@x.y", "İ@İ.y": "i\u0307@i\u0307.y", "ｊ@x.y": "ｊ@x.y", "علي@x.y": "علي@x.y", "é\u0327@x.y": "ȩ\u0301@x.y",
		// A domain in any form is compared by its U-labels.
		"ada@bücher.example": "ada@bücher.example", "ada@BÜCHER.Example": "ada@bücher.example", "ada@bu\u0308cher.example": "ada@bücher.example",
		"ada@xn--bcher-kva.example": "ada@bücher.example", "ada@XN--BCHER-KVA.EXAMPLE": "ada@bücher.example", "ada@xn--fsq.com": "ada@例.com",
		"ada@faß.de": "ada@fass.de", "ada@xn--fa-hia.de": "ada@fass.de", "ada@FAẞ.de": "ada@fass.de", "ada@例え。jp": "ada@例え.jp", "ada@ＥＸＡＭＰＬＥ．com": "ada@example.com",
		"ada@παράδειγμας.gr": "ada@παράδειγμασ.gr", "ada@ΠΑΡΆΔΕΙΓΜΑΣ.gr": "ada@παράδειγμασ.gr", "ada@אב.com": "ada@אב.com", "ada@اب.com": "ada@اب.com",
		"ada@क्\u200dष.com": "ada@क्\u200dष.com", "ada@l·l.cat": "ada@l·l.cat", "ada@r3---sn.example": "ada@r3---sn.example", "ada@ab--cd.ef": "ada@ab--cd.ef",
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
		"x" + short: rules.TooLong, strings.Repeat("é", 33) + "@x.y": rules.Invalid,
		// What nobody sees, in both parts, and what combines with nothing.
		"a\u200bb@x.y": rules.Invalid, "a\u00a0b@x.y": rules.Invalid, "a\u200eb@x.y": rules.Invalid, "\u202ea@x.y": rules.Invalid, "a\u2066b@x.y": rules.Invalid,
		"a\u3000b@x.y": rules.Invalid, "\ufeffa@x.y": rules.Invalid, "a\u00ad@x.y": rules.Invalid, "a\u200db@x.y": rules.Invalid, "क्\u200dष@x.y": rules.Invalid,
		"a\ue000@x.y": rules.Invalid, "a\u0378@x.y": rules.Invalid, "a\ufe0f@x.y": rules.Invalid, "a\u3164@x.y": rules.Invalid, "a\u034f@x.y": rules.Invalid,
		"\u0301a@x.y": rules.Invalid, "a.\u0301b@x.y": rules.Invalid, "a@\u0301b.c": rules.Invalid, "a@b.\u0301c": rules.Invalid,
		"a@exa\u200bmple.com": rules.Invalid, "a@exa\u00admple.com": rules.Invalid, "a@example\u200f.com": rules.Invalid, "a@exa\u00a0mple.com": rules.Invalid,
		// Domains that IDNA2008 does not let through.
		"a@i❤.ws": rules.Invalid, "a@☕.com": rules.Invalid, "a@xn--i-7iq.ws": rules.Invalid, "a@a·b.com": rules.Invalid, "a@a\u200db.com": rules.Invalid, "a@ex_ämple.com": rules.Invalid,
		"a@xn--.com": rules.Invalid, "a@xn--a.com": rules.Invalid, "a@xn--a-.com": rules.Invalid, "a@xn--BÜCHER.com": rules.Invalid, "a@xn--bcher-kva-.com": rules.Invalid,
		"a@ü--ü.com": rules.Invalid, "a@-ü.com": rules.Invalid, "a@ü-.com": rules.Invalid, "a@אa.com": rules.Invalid, "a@1א.com": rules.Invalid, "a@אב.1a.com": rules.Invalid,
		"a@" + strings.Repeat("ü", 60) + ".com": rules.Invalid, "a@ü..com": rules.Invalid, "a@.ü": rules.Invalid, "a@ü.": rules.Invalid, "a＠b.c": rules.Invalid, "a@b＠c.d": rules.Invalid,
	})
}

// TestFormerEmailKey has the keys that the version before wrote.
func TestFormerEmailKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Ada@Example.COM": "ada@example.com", "m\u0130ke@x.y": "mike@x.y", "STRAẞE@x.y": "straße@x.y", "ΟΔΥΣΣΕΥΣ@x.y": "οδυσσευσ@x.y", "οδυσσευς@x.y": "οδυσσευς@x.y",
		"ada@XN--BCHER-KVA.example": "ada@xn--bcher-kva.example", "a\u200bb@x.y": "a\u200bb@x.y", "jose\u0301@x.y": "josé@x.y",
	} {
		if got := rules.FormerEmailKey(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
