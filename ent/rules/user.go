package rules

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

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

// Username checks a username and returns the key by which usernames are compared, sorted and unique. The key is that of
// UsernameCaseMapped in RFC 8265, applied until it is stable, as RFC 8264, section 7, requires. A name must not start
// with a combining mark: the mark would change the character before the name in any text.
func Username(s string) (key string, fault *Fault) {
	if f := text(s, UsernameLimit); f != nil {
		return "", f
	}
	if startsWithMark(s) {
		return "", &Fault{Invalid, "must not start with a combining mark"}
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

// startsWithMark reports whether the first character is a combining mark.
func startsWithMark(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	return unicode.IsMark(first)
}

// FoldUsername folds a text as Username does, but accepts any text: a filter may compare a part of a username.
func FoldUsername(s string) string {
	return norm.NFC.String(cases.Lower(language.Und, cases.HandleFinalSigma(false)).String(width.Fold.String(s)))
}

// caseMapped applies UsernameCaseMapped once. RFC 8265 requires the Bidi Rule only for texts with right-to-left
// characters. Package precis requires it for every text beyond ASCII, and so refuses "1é".
func caseMapped(s string) (string, error) {
	mapped, err := precis.UsernameCaseMapped.String(s)
	if errors.Is(err, bidirule.ErrInvalid) && bidirule.DirectionString(s) == bidi.LeftToRight {
		mapped, err = precis.NewIdentifier(precis.FoldWidth, precis.LowerCase(), precis.Norm(norm.NFC)).String(s)
	}
	return mapped, err
}

// A Status says whether a user may use the server. It is a value of the enum UserStatus of the contract.
type Status string

// The statuses.
const (
	Active    Status = "ACTIVE"
	Suspended Status = "SUSPENDED"
)

// IsStatus checks the name of a status.
func IsStatus(s string) *Fault {
	if s != string(Active) && s != string(Suspended) {
		return &Fault{Invalid, "must be ACTIVE or SUSPENDED"}
	}
	return nil
}

// IdentityLimit is the longest issuer and the longest subject, in bytes.
const IdentityLimit = 255

// An Identity is the name of a user at an identity provider. Identities are compared byte for byte.
type Identity struct{ Issuer, Subject string }

// IdentityPart checks an issuer or a subject. It accepts every character except NUL, which PostgreSQL cannot store.
func IdentityPart(s string) *Fault {
	switch {
	case s == "":
		return &Fault{Blank, "must not be blank"}
	case len(s) > IdentityLimit:
		return &Fault{TooLong, "must have at most " + strconv.Itoa(IdentityLimit) + " bytes of UTF-8"}
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return &Fault{Invalid, "must be valid UTF-8 without NUL"}
	}
	return nil
}
