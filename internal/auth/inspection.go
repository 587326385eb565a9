package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"roster/internal/strictjson"
)

// An inspection is the verification of one token, check after check. A check reads what earlier checks have found.
type inspection struct {
	*Verifier
	text string

	parts     [][]byte                // nil: the form is wrong
	header    map[string]any          // nil: it cannot be read, or has an unsupported parameter
	algorithm jose.SignatureAlgorithm // empty: the signature cannot be verified
	keyID     string                  // empty if the header has none
	signers   *keySet                 // the keys of which one verified the signature
	payload   []byte                  // nil: the signature is not valid
	claims    map[string]any          // nil: they cannot be read
	bearer    Claims                  // what the checks of the claims have found
}

// A check is one step of a verification. Verify runs all checks until the first error, and Explain runs all that can run.
type check struct {
	name string
	// run is the check. The error is an *InvalidError, a *ForbiddenError, ErrUnavailable, or that of the context.
	run func(*inspection, context.Context) error
	// ready reports whether earlier checks have found what run needs. nil: always.
	ready func(*inspection) bool
	// show returns the value of a check that passed, for people.
	show func(*inspection) string
	// cure returns what to change after the error of run. After nil, it returns what an operator could miss, or "".
	cure func(*inspection, error) string
}

// claimsCheck is the name of the first check that reads the payload.
const claimsCheck = "claims"

// checkList returns the checks, in their order.
func (v *Verifier) checkList() []check {
	type token = *inspection
	list := []check{
		{"mode", token.checkMode, nil, token.showMode, token.cureMode},
		{"form", token.checkForm, nil, token.showForm, token.cureForm},
		{"header", token.checkHeader, token.hasParts, token.showObject, token.cureText},
		{"algorithm", token.checkAlgorithm, token.hasHeader, token.showAlgorithm, token.cureAlgorithm},
		{"key ID", token.checkKeyID, token.hasHeader, token.showKeyID, token.cureText},
		{"type", token.checkType, token.hasHeader, token.showType, token.cureType},
		{"signature", token.checkSignature, token.hasAlgorithm, token.showSignature, token.cureSignature},
		{claimsCheck, token.checkClaims, token.hasPayload, token.showObject, token.cureText},
		{"issuer", token.checkIssuer, token.hasClaims, token.showIssuer, token.cureIssuer},
		{"preset", token.checkPreset, token.hasClaims, token.showPreset, token.curePreset},
		{"audience", token.checkAudience, token.hasClaims, token.showAudience, token.cureAudience},
		{"expiry", token.checkExpiry, token.hasClaims, token.showExpiry, token.cureExpiry},
		{"not before", token.checkStart, token.hasClaims, token.showStart, token.cureStart},
		{"subject", token.checkSubject, token.hasClaims, token.showSubject, token.cureSubject},
		{"roles", token.checkRoles, token.hasClaims, token.showRoles, token.cureRoles},
		{"overage", token.checkOverage, token.hasClaims, token.showOverage, token.cureOverage},
		{"email", token.checkEmail, token.hasClaims, token.showEmail, token.cureEmail},
	}
	return slices.DeleteFunc(list, func(c check) bool {
		return c.name == "preset" && v.preset.shape == nil || c.name == "overage" && v.preset.overage == nil
	})
}

func (i *inspection) hasParts() bool     { return i.parts != nil }
func (i *inspection) hasHeader() bool    { return i.header != nil }
func (i *inspection) hasAlgorithm() bool { return i.algorithm != "" }
func (i *inspection) hasPayload() bool   { return i.payload != nil }
func (i *inspection) hasClaims() bool    { return i.claims != nil }

// checkMode refuses tokens on a server that accepts API keys alone.
func (i *inspection) checkMode(context.Context) error {
	if i.APIKeysOnly {
		return refuse("the server accepts API keys only", "a token")
	}
	return nil
}

// checkForm checks the compact form of a signed token (RFC 7515, section 7.1).
func (i *inspection) checkForm(context.Context) error {
	if len(i.text) > MaxTokenBytes {
		return tooLong()
	}
	if strings.ContainsAny(i.text, "\r\n") { // which the decoder would skip
		return refuse("the token is malformed", "a line break")
	}
	var parts [][]byte
	for part := range strings.SplitSeq(i.text, ".") {
		data, err := base64.RawURLEncoding.Strict().DecodeString(part) // strict: a token has one spelling
		if err != nil {
			return refuse("the token is malformed", err)
		}
		parts = append(parts, data)
	}
	if len(parts) != signedParts {
		return refuse("the token is malformed", "it does not have three parts")
	}
	i.parts = parts
	return nil
}

// tooLong refuses a token that no check reads.
func tooLong() error {
	return refuse("the token is too long", fmt.Sprintf("more than %d bytes", MaxTokenBytes))
}

// signedParts is the number of parts of a signed token: header, claims and signature.
const signedParts = 3

// checkHeader reads the header.
func (i *inspection) checkHeader(context.Context) error {
	header, err := strictjson.Parse(i.parts[0], 0)
	if err != nil {
		return refuse("the token's header is malformed", err)
	}
	for _, name := range []string{"crit", "b64"} {
		if _, ok := header[name]; ok {
			return refuse("the token's header has an unsupported parameter", name)
		}
	}
	i.header = header
	return nil
}

// checkAlgorithm accepts the algorithms of the configured keys.
func (i *inspection) checkAlgorithm(context.Context) error {
	name, _ := i.header["alg"].(string)
	if algorithm := jose.SignatureAlgorithm(name); slices.Contains(i.keys.algorithms, algorithm) {
		i.algorithm = algorithm
		return nil
	}
	return refuse("the token's algorithm is not accepted", i.header["alg"])
}

// checkKeyID reads the ID of the key.
func (i *inspection) checkKeyID(context.Context) error {
	id, ok := i.header["kid"]
	if !ok {
		return nil
	}
	if i.keyID, ok = id.(string); !ok {
		i.algorithm = "" // the library cannot read such a token
		return refuse("the token's key ID must be a text", id)
	}
	return nil
}

// checkType checks the header's typ. A media type may lack its "application/", and ignores case (RFC 7515, section
// 4.1.9).
func (i *inspection) checkType(context.Context) error {
	typ := i.header["typ"]
	text, ok := typ.(string)
	name := strings.TrimPrefix(strings.ToLower(text), "application/")
	switch {
	case ok && name == "at+jwt":
		return nil
	case i.RequireAccessToken:
		return refuse("the token's type must be at+jwt", typ)
	case typ == nil, ok && name == "jwt":
		return nil
	}
	return refuse("the token's type must be at+jwt or JWT", typ)
}

// checkSignature verifies the signature. It may wait for the provider's keys.
func (i *inspection) checkSignature(ctx context.Context) error {
	jws, err := jose.ParseSignedCompact(i.text, i.keys.algorithms)
	if err != nil {
		return refuse("the token is malformed", err)
	}
	i.payload, i.signers, err = i.keys.verify(ctx, token{jws, i.algorithm, i.keyID})
	return err
}
