package auth_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/auth/provider"
)

func TestMint(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	next := provider.NewKey(t, "HS256", "")
	for name, c := range map[string]struct {
		options auth.Options
		roles   []rules.Role
		want    map[string]any
	}{
		"default": {auth.Options{}, []rules.Role{rules.Admin, rules.Member}, map[string]any{"sub": "alice", "roles": []any{"ADMIN", "MEMBER"}}},
		"none":    {auth.Options{}, nil, map[string]any{"sub": "alice", "roles": []any{}}},
		"claims": {
			auth.Options{SubjectClaim: "/user/id", RolesClaim: "/user/a~1b/roles"},
			[]rules.Role{rules.Member},
			map[string]any{"sub": "alice", "user": map[string]any{"id": "alice", "a/b": map[string]any{"roles": []any{"MEMBER"}}}},
		},
		"map": {
			auth.Options{RoleMap: map[string]rules.Role{"z": rules.Admin, "boss": rules.Admin, "staff": rules.Member}, RequireAccessToken: true},
			[]rules.Role{rules.Admin},
			map[string]any{"sub": "alice", "roles": []any{"boss"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.options.Secrets, c.options.Clock = [][]byte{secret.Secret(), next.Secret()}, noon
			v := start(t, c.options)
			token, err := v.Mint("alice", c.roles, time.Hour, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := v.Verify(t.Context(), token)
			if err != nil || claims.Subject != "alice" || !reflect.DeepEqual(claims.Roles, c.roles) || !claims.Expires.Equal(noon().Add(time.Hour+30*time.Second)) {
				t.Errorf("got %+v, %v, want alice and %v until an hour after noon", claims, err, c.roles)
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(payload, &got); err != nil {
				t.Fatal(err)
			}
			if id, _ := got["jti"].(string); len(id) != 32 {
				t.Errorf("got the ID %q, want 32 characters", id)
			}
			want := with(c.want, "jti", got["jti"], "iss", issuer, "aud", provider.Audience,
				"iat", float64(noon().Unix()), "exp", float64(noon().Add(time.Hour).Unix()))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			// The token is what another implementation makes of its parts.
			if other := secret.Sign(`{"alg":"HS256","typ":"at+jwt"}`, string(payload)); other != token {
				t.Errorf("got %s, want %s", token, other)
			}
		})
	}
}

func TestMintRefuses(t *testing.T) {
	t.Parallel()
	secrets := [][]byte{provider.NewKey(t, "HS256", "").Secret()}
	p := provider.New(t)
	for name, c := range map[string]struct {
		options  auth.Options
		subject  string
		roles    []rules.Role
		lifetime time.Duration
		want     string
	}{
		"keys of a provider":  {auth.Options{KeysURL: p.KeysURL}, "a", nil, time.Hour, "ROSTER_AUTH_HS256_SECRET"},
		"no name for a role":  {auth.Options{RoleMap: map[string]rules.Role{"a": rules.Member}}, "a", []rules.Role{rules.Admin}, time.Hour, "--auth-role-map"},
		"one place for two":   {auth.Options{RolesClaim: "/sub"}, "a", nil, time.Hour, "same place"},
		"a place in a text":   {auth.Options{RolesClaim: "/sub/roles"}, "a", nil, time.Hour, "below another claim"},
		"the place of issuer": {auth.Options{SubjectClaim: "/iss"}, "a", nil, time.Hour, "same place"},
		"no subject":          {auth.Options{}, "", nil, time.Hour, badSubject},
		"a long subject":      {auth.Options{}, strings.Repeat("a", 256), nil, time.Hour, badSubject},
		"in the past":         {auth.Options{}, "a", nil, -time.Minute, expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.options.KeysURL == "" {
				c.options.Secrets = secrets
			}
			token, err := start(t, c.options).Mint(c.subject, c.roles, c.lifetime, rand.Reader)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s, %v, want %s", token, err, c.want)
			}
		})
	}
	if token, err := start(t, auth.Options{Secrets: secrets}).Mint("a", nil, time.Hour, iotest.ErrReader(iotest.ErrTimeout)); err == nil {
		t.Errorf("got %s, want an error of the random source", token)
	}
}
