package auth

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"roster/ent/rules"
	"roster/internal/strictjson"
)

// maxEmailBytes is the length that no email address of a user exceeds.
const maxEmailBytes = 4 * rules.EmailLimit

// checkClaims reads the claims.
func (i *inspection) checkClaims(context.Context) error {
	claims, err := strictjson.Parse(i.payload, 0)
	if err != nil {
		return refuse("the token's claims are malformed", err)
	}
	i.claims = claims
	return nil
}

func (i *inspection) checkIssuer(context.Context) error {
	if i.claims["iss"] != i.Issuer {
		return refuse("the token is from another issuer", i.claims["iss"])
	}
	i.bearer.Issuer = i.Issuer
	return nil
}

// checkPreset checks that the claims are those of an access token of the preset's provider.
func (i *inspection) checkPreset(context.Context) error {
	if reason := i.preset.shape(i.claims, i.Issuer); reason != "" {
		return refuse("the token is not an access token of the preset "+i.preset.name, reason)
	}
	return nil
}

func (i *inspection) checkAudience(context.Context) error {
	if audience, ok := texts(i.claims["aud"]); !ok || !slices.Contains(audience, i.Audience) {
		return refuse("the token is for another audience", i.claims["aud"])
	}
	return nil
}

// checkExpiry checks exp (RFC 7519, section 4.1.4).
func (i *inspection) checkExpiry(context.Context) error {
	expires, ok := date(i.claims["exp"])
	if !ok {
		return refuse("the token's exp must be a time", i.claims["exp"])
	}
	if i.bearer.Expires = expires.Add(Leeway); !i.Clock().Before(i.bearer.Expires) {
		return refuse("the token has expired", i.claims["exp"])
	}
	return nil
}

// checkStart checks nbf (RFC 7519, section 4.1.5).
func (i *inspection) checkStart(context.Context) error {
	nbf := i.claims["nbf"]
	if nbf == nil {
		return nil
	}
	start, ok := date(nbf)
	if !ok {
		return refuse("the token's nbf must be a time", nbf)
	}
	if i.Clock().Add(Leeway).Before(start) {
		return refuse("the token is not valid yet", nbf)
	}
	return nil
}

func (i *inspection) checkSubject(context.Context) error {
	if sub, _ := i.claims["sub"].(string); sub == "" {
		return refuse("the token has no valid subject", i.claims["sub"])
	}
	value := i.subject.find(i.claims)
	subject, _ := value.(string)
	if !isStorable(subject, MaxIdentityBytes) {
		return refuse("the token has no valid subject", value)
	}
	i.bearer.Subject = subject
	return nil
}

// checkRoles reads the roles, or takes the default role. A claim of another form is an error: the default role must not
// replace a role that the server cannot read.
func (i *inspection) checkRoles(context.Context) error {
	names, ok := i.roleNames()
	if !ok {
		return refuse("the token's roles must be a text or a list of texts", i.roles.find(i.claims))
	}
	var roles []rules.Role
	for _, name := range names {
		if role, ok := i.RoleMap[name]; ok && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 && i.DefaultRole != "" {
		roles = []rules.Role{i.DefaultRole}
	}
	i.bearer.Roles = roles
	return nil
}

// roleNames returns the names of the roles in the claims. ok says that they have one of the right forms, or are absent.
func (i *inspection) roleNames() (names []string, ok bool) {
	value := i.roles.find(i.claims)
	if object, is := value.(map[string]any); is && i.preset.roleObject {
		for name, member := range object {
			if _, is := member.(map[string]any); !is {
				return nil, false
			}
			names = append(names, name)
		}
		slices.Sort(names)
		return names, true
	}
	names, ok = texts(value)
	return names, ok || value == nil
}

// checkOverage refuses tokens from which the provider left out claims: nobody can say which roles the bearer lacks.
func (i *inspection) checkOverage(context.Context) error {
	if name := i.preset.overage(i.claims); name != "" {
		return &ForbiddenError{
			Description: "the token leaves out groups, because there are too many: ask an administrator",
			Reason: "the token has the claim " + name + " (overage): the provider left the groups out. " +
				"Emit app roles, and no groups claim, for this application: docs/providers.md",
		}
	}
	return nil
}

// checkEmail reads the email address. It refuses no token.
func (i *inspection) checkEmail(context.Context) error {
	email, _ := i.claims["email"].(string)
	if i.claims["email_verified"] == true && i.VerifiesEmail() && isStorable(email, maxEmailBytes) {
		i.bearer.Email = email
	}
	return nil
}

// isStorable reports whether a text is not empty, not too long, and without NUL, which PostgreSQL does not store.
func isStorable(text string, maxBytes int) bool {
	return text != "" && len(text) <= maxBytes && !strings.Contains(text, "\x00")
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
