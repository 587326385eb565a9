package rules

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// Email checks an address and returns the form by which addresses are compared, sorted and unique.
//
// The local part is a dot-string of RFC 6531, of at most 64 bytes, without quotes, comments or display name. Beyond
// ASCII, it may have characters of the FreeformClass of RFC 8264, but no spaces and no format characters. Space,
// format, control, unassigned and private characters are refused: they are invisible, or look different to different
// readers. The domain must be valid by IDNA2008 after the mapping of UTS 46, as in browsers.
//
// The key has the domain as U-labels, in NFC. The whole key is in full case folding, which depends on no language. So ß
// equals ss, and all three sigmas are equal. i and ı differ, and İ equals i with a dot above.
func Email(s string) (key string, fault *Fault) {
	if f := text(s, EmailLimit); f != nil {
		return "", f
	}
	s = norm.NFC.String(s) // NFC turns the Greek question mark into a semicolon, which the checks must see
	at := strings.LastIndexByte(s, '@')
	if at > maxLocal {
		return "", &Fault{Invalid, "must have at most 64 bytes before the @"}
	}
	unicodeDomain, ok := domain(s[at+1:])
	if at < 0 || !local(s[:at]) || !ok {
		return "", &Fault{Invalid, "must be an address such as ada@example.com"}
	}
	return fold(s[:at+1] + unicodeDomain), nil
}

// FoldEmail folds an address or a part of one. It folds a text without @ as a part of a domain.
func FoldEmail(s string) string {
	s = norm.NFC.String(s)
	at := strings.LastIndexByte(s, '@')
	if whole, ok := domain(s[at+1:]); ok && at >= 0 {
		return fold(s[:at+1] + whole)
	}
	labels := strings.Split(s[at+1:], ".")
	for i, label := range labels {
		if unicodeLabel, ok := domain(label); ok && isALabel(label) {
			labels[i] = unicodeLabel
		}
	}
	return fold(s[:at+1] + strings.Join(labels, "."))
}

// SameAddress reports whether two addresses are equal byte for byte in NFC, except for the case of ASCII letters. It is
// stricter than the key of Email: two mailboxes may have the same key.
func SameAddress(a, b string) bool {
	lower := func(s string) string {
		return strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, norm.NFC.String(s))
	}
	return lower(a) == lower(b)
}

// FormerEmailKey returns the key of an address by the rule before the migration fold_addresses: lower case, in NFC.
// Servers of the previous release write this key until they stop. The next release can delete this function.
func FormerEmailKey(s string) string {
	return norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
}

// maxLocal is the longest local part, in bytes: RFC 5321, section 4.5.3.1.1.
const maxLocal = 64

// local reports whether the local part of an address is valid.
func local(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || startsWithMark(atom) || strings.IndexFunc(atom, notInAtom) >= 0 {
			return false
		}
	}
	if isASCII(s) {
		return true
	}
	_, err := precis.NewFreeform(precis.Norm(norm.NFC)).String(s)
	return err == nil
}

// notInAtom reports characters that an atom of an address must not have: ASCII characters outside atext of RFC 5322,
// and space, format, control, unassigned and private characters.
func notInAtom(r rune) bool {
	if r < 0x80 {
		return !isLetterOrDigit(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return unicode.In(r, unicode.C, unicode.Z)
}

// hidden reports characters that are invisible in a domain. It leaves the two joiners to IDNA, which judges them by the
// characters beside them.
func hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != nonJoiner && r != joiner && (unicode.In(r, unicode.C, unicode.Z) || invisible(r))
}

func isLetterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// isALabel reports whether a label of a domain has the prefix of the ASCII form of IDNA.
func isALabel(label string) bool { return len(label) >= 4 && strings.EqualFold(label[:4], "xn--") }

// domain returns a domain with U-labels, in lower case, and reports whether the domain is valid.
func domain(s string) (string, bool) {
	if isASCII(s) && !strings.Contains(strings.ToLower(s), "xn--") {
		return strings.ToLower(s), ldh(s)
	}
	if strings.IndexFunc(s, hidden) >= 0 {
		return "", false // the mapping would drop hidden characters
	}
	// The mapping accepts more than IDNA2008 does, so the second step validates its result.
	mapped, err := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false)).ToUnicode(s)
	if err != nil {
		return "", false
	}
	ascii, err := idna.New(idna.ValidateForRegistration(), idna.BidiRule(), idna.CheckHyphens(false)).ToASCII(mapped)
	if err != nil || !ldh(ascii) {
		return "", false
	}
	for label := range strings.SplitSeq(mapped, ".") {
		if !isASCII(label) && !unicodeLabel(label) || isALabel(label) {
			return "", false
		}
	}
	return mapped, true
}

// unicodeLabel checks the rules of RFC 5891, section 4.2.3, that package idna does not check: hyphens, a leading
// combining mark, and contextual rules. The IdentifierClass of RFC 8264 has the same characters and contextual rules as
// IDNA2008.
func unicodeLabel(s string) bool {
	if r := []rune(s); len(r) >= 4 && r[2] == '-' && r[3] == '-' || startsWithMark(s) {
		return false
	}
	_, err := precis.NewIdentifier(precis.Norm(norm.NFC)).String(s)
	return err == nil
}

// The longest label and domain, in bytes: RFC 1035, section 2.3.4.
const (
	maxLabel  = 63
	maxDomain = 253
)

// ldh reports whether s consists of labels of ASCII letters, digits and inner hyphens.
func ldh(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.IndexFunc(label, func(r rune) bool { return r != '-' && !isLetterOrDigit(r) }) >= 0 {
			return false
		}
	}
	return len(s) <= maxDomain
}
