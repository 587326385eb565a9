package auth

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// An Explanation is what Verify finds in one token.
type Explanation struct {
	// Results has the checks in their order.
	Results []Result
	// Claims are those of an accepted token.
	Claims Claims
	// Err is the error of the first check that failed. nil: the token is accepted.
	Err error
}

// Fail makes a check that passed fail. cure says what to change.
func (x *Explanation) Fail(check string, err *InvalidError, cure string) {
	for i := range x.Results {
		if r := &x.Results[i]; r.Check == check {
			r.Outcome, r.Detail, r.Cure = Failed, err.Error(), cure
		}
	}
	x.Err = err
}

// A Result is the outcome of one check. Its texts have no part of a signature, and values of the token are quoted.
type Result struct {
	Check   string
	Outcome Outcome
	// Detail is the value that the check saw, or what is wrong with it.
	Detail string
	// Cure says what to change, with the names of settings. It may say something about a check that passed, too.
	Cure string
	// Unsigned says that the value comes from a token whose signature is not valid: anybody can have written it.
	Unsigned bool
}

// An Outcome is what became of a check.
type Outcome string

// The outcomes of checks.
const (
	Passed     Outcome = "ok"
	Failed     Outcome = "FAILS"
	NotChecked Outcome = "-" // an earlier failure made it impossible
)

// Explain verifies a token as Verify does, but goes on after a failure with all checks that are still possible. It neither
// reads nor changes the cache. It may wait for the provider's keys until ctx ends.
func (v *Verifier) Explain(ctx context.Context, token string) Explanation {
	var e Explanation
	i := inspection{Verifier: v, text: token}
	unsigned := false
	for _, c := range v.checks {
		if c.name == claimsCheck && i.payload == nil && i.parts != nil {
			i.payload, unsigned = i.parts[1], true
		}
		r := Result{Check: c.name, Outcome: NotChecked, Detail: "not checked, because of a failure above"}
		if c.ready == nil || c.ready(&i) {
			err := c.run(&i, ctx)
			r = i.result(c, err)
			r.Unsigned = unsigned
			e.Err = cmp.Or(e.Err, err)
		}
		e.Results = append(e.Results, r)
		if v.APIKeysOnly { // no check could change the result
			break
		}
	}
	if e.Err == nil {
		e.Claims = i.bearer
	}
	return e
}

// result returns the result of a check that has run.
func (i *inspection) result(c check, err error) Result {
	r := Result{Check: c.name, Outcome: Passed, Cure: c.cure(i, err)}
	if err != nil {
		r.Outcome, r.Detail = Failed, printable(err.Error())
	} else {
		r.Detail = c.show(i)
	}
	return r
}

// printable escapes a text if it has what a terminal could interpret.
func printable(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	return strings.Trim(strconv.Quote(text), `"`)
}

// The values of checks that passed.

func (i *inspection) showMode() string {
	switch {
	case len(i.Secrets) > 0:
		return "tokens of HS256, signed with a secret"
	case i.KeysURL != "":
		return "tokens signed with a key of " + quote(safeAddress(i.KeysURL))
	}
	return "tokens signed with a key that discovery finds"
}

func (i *inspection) showForm() string      { return "three parts" }
func (i *inspection) showObject() string    { return "a JSON object" }
func (i *inspection) showPreset() string    { return "an access token of " + i.preset.name }
func (i *inspection) showOverage() string   { return "no groups are left out" }
func (i *inspection) showAlgorithm() string { return quote(string(i.algorithm)) }
func (i *inspection) showKeyID() string     { return quote(i.header["kid"]) }
func (i *inspection) showType() string      { return quote(i.header["typ"]) }
func (i *inspection) showIssuer() string    { return quote(i.claims["iss"]) }
func (i *inspection) showAudience() string  { return quote(i.claims["aud"]) }
func (i *inspection) showExpiry() string    { return i.moment("exp") }

func (i *inspection) showSignature() string {
	if len(i.Secrets) > 0 {
		return "by a secret of this server"
	}
	return "by a key of the provider"
}

func (i *inspection) showStart() string {
	if i.claims["nbf"] == nil {
		return quote(nil)
	}
	return i.moment("nbf")
}

func (i *inspection) showSubject() string {
	return quote(i.bearer.Subject) + " at " + printable(i.SubjectClaim)
}

func (i *inspection) showRoles() string {
	names, _ := i.roleNames()
	text := "none"
	if i.roles.find(i.claims) != nil {
		text = quoteAll(names)
	}
	return text + " at " + printable(i.RolesClaim)
}

func (i *inspection) showEmail() string {
	switch {
	case i.bearer.Email != "":
		return quote(i.bearer.Email) + ", verified"
	case !i.VerifiesEmail():
		return "none: tokens of " + i.preset.name + " do not say whether an address is verified"
	case i.claims["email"] == nil:
		return "none"
	case i.claims["email_verified"] != true:
		return quote(i.claims["email"]) + " does not count: email_verified is not true"
	}
	return "it does not count: it is no text of a possible length"
}

// moment returns the time of a claim, and its distance from now.
func (i *inspection) moment(name string) string {
	t, ok := date(i.claims[name])
	if !ok {
		return quote(i.claims[name])
	}
	distance := t.Sub(i.Clock()).Round(time.Second)
	if distance < 0 {
		return fmt.Sprintf("%s, %s ago", t.UTC().Format(time.RFC3339), -distance)
	}
	return fmt.Sprintf("%s, in %s", t.UTC().Format(time.RFC3339), distance)
}

const (
	// maxShown is the number of elements of a list that are shown.
	maxShown = 20
	// maxShownText is the number of characters of a value that are shown.
	maxShownText = 255
)

// quote returns a value of a token for people.
func quote(value any) string {
	if value == nil {
		return "absent"
	}
	if list, ok := texts(value); ok {
		return quoteAll(list)
	}
	return fmt.Sprintf("%.*q", maxShownText, fmt.Sprint(value))
}

func quoteAll(list []string) string {
	if len(list) == 0 {
		return "an empty list"
	}
	var shown []string
	for _, text := range list[:min(len(list), maxShown)] {
		shown = append(shown, fmt.Sprintf("%.*q", maxShownText, text))
	}
	if more := len(list) - maxShown; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}
