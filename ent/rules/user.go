package rules

import (
	"errors"
	"net/mail"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/secure/bidirule"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// The longest names, in code points.
const (
	UsernameLimit = 80
	EmailLimit    = 120
)

// Username checks a username and returns the form by which usernames are compared, sorted and unique: RFC 8265,
// UsernameCaseMapped, applied until it is stable as RFC 8264, section 7, asks for.
func Username(s string) (key string, fault *Fault) {
	if f := text(s, UsernameLimit, separator); f != nil {
		return "", f
	}
	key = s
	for range 4 {
		mapped, err := caseMapped(key)
		if err != nil {
			break
		}
		if mapped == key {
			return key, nil
		}
		key = mapped
	}
	return "", &Fault{Invalid, "must be letters, digits and ASCII symbols without spaces, as in RFC 8265"}
}

// FoldUsername folds a text as Username does, but any text: what a filter compares with usernames may be a part of one.
func FoldUsername(s string) string {
	return norm.NFC.String(cases.Lower(language.Und, cases.HandleFinalSigma(false)).String(width.Fold.String(s)))
}

// caseMapped applies UsernameCaseMapped once. RFC 8265 asks for the Bidi Rule only where there are right-to-left
// characters; precis asks for it in every text beyond ASCII, and refuses "é1" written as "1é".
func caseMapped(s string) (string, error) {
	mapped, err := precis.UsernameCaseMapped.String(s)
	if errors.Is(err, bidirule.ErrInvalid) && bidirule.DirectionString(s) == bidi.LeftToRight {
		mapped, err = precis.NewIdentifier(precis.FoldWidth, precis.LowerCase(), precis.Norm(norm.NFC)).String(s)
	}
	return mapped, err
}

// Email checks an address, local-part@domain as in RFC 5322 and RFC 6532 without comments, display name or address
// literal, and returns the form by which addresses are compared, sorted and unique: NFC, lower case.
func Email(s string) (key string, fault *Fault) {
	if f := text(s, EmailLimit, separator); f != nil {
		return "", f
	}
	invalid := &Fault{Invalid, "must be an address such as ada@example.com"}
	s = norm.NFC.String(s) // in which a letter may turn out to be a semicolon
	address, err := mail.ParseAddress(s)
	if err != nil || address.Name != "" || address.Address != s {
		return "", invalid
	}
	at := strings.LastIndexByte(s, '@')
	if at > 64 || !domain(s[at+1:]) { // 64 bytes: RFC 5321, section 4.5.3.1.1
		return "", invalid
	}
	return FoldEmail(s), nil
}

// FoldEmail folds an address or a part of one.
func FoldEmail(s string) string { return norm.NFC.String(strings.ToLower(norm.NFC.String(s))) }

// domain reports whether s is made of labels of letters, digits and inner hyphens, 1 to 63 bytes each.
// Letters beyond ASCII may appear as themselves (RFC 6532).
func domain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r < 0x80 && !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", r) {
				return false
			}
		}
	}
	return true
}
