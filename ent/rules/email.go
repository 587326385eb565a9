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
// The local part is a dot-string of RFC 6531, of at most 64 bytes: without quotes, comments or display name. Beyond ASCII
// it has characters of the FreeformClass of RFC 8264, but no spaces and no format characters. Spaces, format, control,
// unassigned and private characters would show nothing, or not the same to everyone. The domain is valid by IDNA2008 after
// the mapping of UTS 46, as browsers do it.
//
// The key has the domain as U-labels, in NFC, and all of it in full case folding without regard to a language. So ß and ss
// are the same, and all three sigmas; i and ı are not, and İ is i with a dot above.
func Email(s string) (key string, fault *Fault) {
	if f := text(s, EmailLimit, separator); f != nil {
		return "", f
	}
	s = norm.NFC.String(s) // in which a letter may turn out to be a semicolon
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", &Fault{Invalid, "must be an address such as ada@example.com"}
	}
	if f := local(s[:at]); f != nil {
		return "", f
	}
	unicodeDomain, ok := domain(s[at+1:])
	if !ok {
		return "", &Fault{Invalid, "must be an address such as ada@example.com"}
	}
	return fold(s[:at+1] + unicodeDomain), nil
}

// FoldEmail folds an address or a part of one. A text without @ may be a part of a domain, and is folded as such.
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

// FormerEmailKey returns the key of an address by the rule before the migration fold_addresses, which only lowered its case.
// Servers of the version before write it until they end; the version after this one needs it no more.
func FormerEmailKey(s string) string {
	return norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
}

// maxLocal is the longest local part, in bytes: RFC 5321, section 4.5.3.1.1.
const maxLocal = 64

// local checks the local part of an address.
func local(s string) *Fault {
	if len(s) > maxLocal {
		return &Fault{Invalid, "must have at most 64 bytes before the @"}
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || startsWithMark(atom) || strings.IndexFunc(atom, notInAtom) >= 0 {
			return &Fault{Invalid, "must be an address such as ada@example.com"}
		}
	}
	if isASCII(s) {
		return nil
	}
	if _, err := precis.NewFreeform(precis.Norm(norm.NFC)).String(s); err != nil {
		return &Fault{Invalid, "must be an address such as ada@example.com"}
	}
	return nil
}

// notInAtom reports what no atom of an address has: of ASCII, what RFC 5322 leaves out of atext.
func notInAtom(r rune) bool {
	if r < 0x80 {
		return !isLetterOrDigit(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return unicode.In(r, unicode.C, unicode.Z)
}

// hidden reports what a domain shows nothing of. The two joiners are IDNA's to judge, by their neighbours.
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

// isALabel reports whether a label of a domain says that it is in the ASCII form of IDNA.
func isALabel(label string) bool { return len(label) >= 4 && strings.EqualFold(label[:4], "xn--") }

// domain returns a domain with U-labels, in lower case, and whether it is valid.
func domain(s string) (string, bool) {
	if isASCII(s) && !strings.Contains(strings.ToLower(s), "xn--") {
		return strings.ToLower(s), ldh(s)
	}
	if strings.IndexFunc(s, hidden) >= 0 {
		return "", false // the mapping would drop it
	}
	// What is written is mapped first. The result has to be what IDNA2008 itself lets through.
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

// unicodeLabel checks what package idna leaves out of RFC 5891, section 4.2.3: hyphens, and the rules in context. The
// characters that IDNA2008 lets through are those of the IdentifierClass of RFC 8264, whose rules in context are the same.
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

// ldh reports whether s is made of labels of ASCII letters, digits and inner hyphens.
func ldh(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.IndexFunc(label, func(r rune) bool { return r != '-' && !isLetterOrDigit(r) }) >= 0 {
			return false
		}
	}
	return len(s) <= maxDomain
}
