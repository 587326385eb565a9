package auth

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"roster/ent/rules"
	"roster/internal/strictjson"
)

// maxEmailBytes is the length that no email address of a user exceeds.
const maxEmailBytes = 4 * rules.EmailLimit

// token is a token whose header is checked, and whose signature and claims are not.
type token struct {
	jws       *jose.JSONWebSignature
	algorithm jose.SignatureAlgorithm
	keyID     string // empty if the header has none
}

// parse reads a token in the compact form and checks its header.
func (v *Verifier) parse(text string) (token, error) {
	if strings.ContainsAny(text, "\r\n") { // which the decoder would skip
		return token{}, refuse("the token is malformed", "a line break")
	}
	var parts [][]byte
	for part := range strings.SplitSeq(text, ".") {
		data, err := base64.RawURLEncoding.Strict().DecodeString(part) // strict: a token has one spelling
		if err != nil {
			return token{}, refuse("the token is malformed", err)
		}
		parts = append(parts, data)
	}
	header, err := strictjson.Parse(parts[0], 0)
	if err != nil {
		return token{}, refuse("the token's header is malformed", err)
	}
	for _, name := range []string{"crit", "b64"} {
		if _, ok := header[name]; ok {
			return token{}, refuse("the token's header has an unsupported parameter", name)
		}
	}
	var t token
	algorithm, _ := header["alg"].(string)
	if t.algorithm = jose.SignatureAlgorithm(algorithm); !slices.Contains(v.keys.algorithms, t.algorithm) {
		return token{}, refuse("the token's algorithm is not accepted", header["alg"])
	}
	if id, ok := header["kid"]; ok {
		if t.keyID, ok = id.(string); !ok {
			return token{}, refuse("the token's key ID must be a text", id)
		}
	}
	if err := v.checkType(header["typ"]); err != nil {
		return token{}, err
	}
	t.jws, err = jose.ParseSignedCompact(text, v.keys.algorithms)
	if err != nil {
		return token{}, refuse("the token is malformed", err)
	}
	return t, nil
}

// checkType checks the header's typ. A media type may lack its "application/", and ignores case (RFC 7515, section
// 4.1.9).
func (v *Verifier) checkType(typ any) error {
	text, ok := typ.(string)
	name := strings.TrimPrefix(strings.ToLower(text), "application/")
	switch {
	case ok && name == "at+jwt":
		return nil
	case v.RequireAccessToken:
		return refuse("the token's type must be at+jwt", typ)
	case typ == nil, ok && name == "jwt":
		return nil
	}
	return refuse("the token's type must be at+jwt or JWT", typ)
}

// check checks the claims of a token whose signature is valid.
func (v *Verifier) check(payload []byte) (Claims, error) {
	claims, err := strictjson.Parse(payload, 0)
	if err != nil {
		return Claims{}, refuse("the token's claims are malformed", err)
	}
	if claims["iss"] != v.Issuer {
		return Claims{}, refuse("the token is from another issuer", claims["iss"])
	}
	if audience, ok := texts(claims["aud"]); !ok || !slices.Contains(audience, v.Audience) {
		return Claims{}, refuse("the token is for another audience", claims["aud"])
	}
	expires, err := v.checkTime(claims)
	if err != nil {
		return Claims{}, err
	}
	if sub, _ := claims["sub"].(string); sub == "" {
		return Claims{}, refuse("the token has no valid subject", claims["sub"])
	}
	subject, _ := v.subject.find(claims).(string)
	if !isStorable(subject, MaxIdentityBytes) {
		return Claims{}, refuse("the token has no valid subject", v.subject.find(claims))
	}
	roles, err := v.rolesOf(claims)
	if err != nil {
		return Claims{}, err
	}
	email, _ := claims["email"].(string)
	if claims["email_verified"] != true || !isStorable(email, maxEmailBytes) {
		email = ""
	}
	return Claims{Issuer: v.Issuer, Subject: subject, Roles: roles, Email: email, Expires: expires}, nil
}

// isStorable reports whether a text is not empty, not too long, and without NUL, which PostgreSQL does not store.
func isStorable(text string, maxBytes int) bool {
	return text != "" && len(text) <= maxBytes && !strings.Contains(text, "\x00")
}

// checkTime checks exp and nbf (RFC 7519, section 4.1). It returns the moment from which the token is too late.
func (v *Verifier) checkTime(claims map[string]any) (time.Time, error) {
	now := v.Clock()
	expires, ok := date(claims["exp"])
	if !ok {
		return time.Time{}, refuse("the token's exp must be a time", claims["exp"])
	}
	expires = expires.Add(leeway)
	if !now.Before(expires) {
		return time.Time{}, refuse("the token has expired", claims["exp"])
	}
	if nbf := claims["nbf"]; nbf != nil {
		start, ok := date(nbf)
		if !ok {
			return time.Time{}, refuse("the token's nbf must be a time", nbf)
		}
		if now.Add(leeway).Before(start) {
			return time.Time{}, refuse("the token is not valid yet", nbf)
		}
	}
	return expires, nil
}

// date returns the time of a NumericDate: a number of seconds since 1970 (RFC 7519, section 2), up to the year 9999.
func date(value any) (time.Time, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds > 253_402_300_799 {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*float64(time.Second))), true
}

// rolesOf returns the roles of the claims, or the default role. A claim that is neither a text nor a list of texts is
// an error: the default role must not replace a role that the server cannot read.
func (v *Verifier) rolesOf(claims map[string]any) ([]rules.Role, error) {
	value := v.roles.find(claims)
	names, ok := texts(value)
	if !ok && value != nil {
		return nil, refuse("the token's roles must be a text or a list of texts", value)
	}
	var roles []rules.Role
	for _, name := range names {
		if role, ok := v.RoleMap[name]; ok && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 && v.DefaultRole != "" {
		roles = []rules.Role{v.DefaultRole}
	}
	return roles, nil
}

// texts returns the texts of a text or a list of texts.
func texts(value any) ([]string, bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		list := make([]string, len(value))
		for i, element := range value {
			text, ok := element.(string)
			if !ok {
				return nil, false
			}
			list[i] = text
		}
		return list, true
	}
	return nil, false
}
