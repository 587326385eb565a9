package auth

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"roster/ent/rules"
)

// Mint returns a token that Verify accepts for lifetime, in whole seconds. With a preset, it has the claims of an access
// token of this provider. The first secret signs it, and its random ID comes from random. Mint fails without a secret, if
// no name of the role map gives a role, and if Verify would refuse the token.
func (v *Verifier) Mint(subject string, roles []rules.Role, lifetime time.Duration, random io.Reader) (string, error) {
	if len(v.Secrets) == 0 {
		return "", errors.New("tokens are signed with ROSTER_AUTH_HS256_SECRET: set it")
	}
	names := make([]string, len(roles))
	for i, role := range roles {
		all := slices.Sorted(maps.Keys(v.RoleMap))
		at := slices.IndexFunc(all, func(name string) bool { return v.RoleMap[name] == role })
		if at < 0 {
			return "", fmt.Errorf("--auth-role-map has no name for the role %q", role)
		}
		names[i] = all[at]
	}
	id := make([]byte, 16)
	if _, err := io.ReadFull(random, id); err != nil {
		return "", fmt.Errorf("make the ID of a token: %w", err)
	}
	now := v.Clock()
	claims := map[string]any{
		"iss": v.Issuer, "aud": v.Audience, "jti": hex.EncodeToString(id),
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
	}
	if v.preset.form != nil {
		v.preset.form(claims, v.Issuer)
	}
	if err := errors.Join(v.subject.set(claims, subject), v.roles.set(claims, v.preset.roleClaim(names))); err != nil {
		return "", err
	}
	if claims["sub"] == nil { // the subject is in another claim, but each token has a sub
		claims["sub"] = subject
	}
	options := (&jose.SignerOptions{}).WithType("at+jwt")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: v.Secrets[0]}, options)
	if err != nil {
		return "", err
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", err
	}
	if _, err := v.Verify(context.Background(), token); err != nil {
		return "", fmt.Errorf("the token would be refused: %w", err)
	}
	return token, nil
}
