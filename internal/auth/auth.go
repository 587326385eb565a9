// Package auth verifies credentials: tokens of an identity provider (JSON Web Tokens) and the form of API keys. It is
// independent of the HTTP server, of GraphQL and of the database. It uses HTTP only to fetch the provider's keys.
package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"roster/ent/rules"
)

// MaxIdentityBytes is the greatest length of an issuer, and of a subject, in bytes.
const MaxIdentityBytes = 255

// MaxTokenBytes is the greatest length of a token, in bytes.
const MaxTokenBytes = 16 << 10

// Leeway is the difference that the clocks of the provider and the server may have.
const Leeway = 30 * time.Second

const (
	// minSecretBytes is the length of a hash of HS256 (RFC 7518, section 3.2).
	minSecretBytes = 32
	// maxVerified is the number of verified tokens in memory. One takes about a kilobyte.
	maxVerified = 10_000
)

// Options configure a Verifier. Exactly one of APIKeysOnly, Secrets, KeysURL and Discovery is set. All but APIKeysOnly
// require Issuer and Audience.
type Options struct {
	// APIKeysOnly refuses all tokens.
	APIKeysOnly bool
	// Secrets are one or two secrets of HS256, of 32 bytes or more. Tokens of both are valid. The first one signs tokens.
	Secrets [][]byte
	// KeysURL is the address of a JSON Web Key Set (RFC 7517): https, or http on a loopback address.
	KeysURL string
	// Discovery finds the address of the key set by OpenID Connect Discovery from Issuer.
	Discovery bool

	// Preset is one of PresetNames. Then only access tokens of this provider are accepted. Empty: those of any provider.
	Preset string
	// Issuer and Audience are the required claims iss and aud. Issuer has at most 255 bytes.
	Issuer, Audience string
	// SubjectClaim and RolesClaim are JSON Pointers (RFC 6901) into the claims. The defaults are those of the preset; without
	// one, /sub and /roles. Roles are a text, which is one role, or a list of texts. With the preset zitadel, they can also be
	// an object with a member for each role. A token with roles of another form is refused.
	SubjectClaim, RolesClaim string
	// RoleMap maps the provider's names of roles to Roster's. Other names do not count. Without a map, ADMIN and MEMBER
	// count.
	RoleMap map[string]rules.Role
	// DefaultRole is the role of a valid token without a role. Default: none.
	DefaultRole rules.Role
	// RequireAccessToken demands the type at+jwt (RFC 9068). Otherwise the type may also be JWT or absent.
	RequireAccessToken bool

	// Clock is the source of time; nil is the system's clock.
	Clock func() time.Time
	// Logger gets a line when the provider's keys change, and when they cannot be fetched. nil discards them.
	Logger *slog.Logger
}

// Claims are the checked claims of a valid token. They are shared and must not be changed.
type Claims struct {
	// Issuer and Subject together name the bearer. The subject has 1 to MaxIdentityBytes bytes. It may have line breaks
	// and any other characters but NUL, which PostgreSQL does not store.
	Issuer, Subject string
	// Roles has each role once. It may be empty.
	Roles []rules.Role
	// Email is the bearer's email address. It is empty unless the provider has verified it.
	Email string
	// Expires is the moment from which Verify refuses the token: its expiry plus the leeway.
	Expires time.Time
}

// A Verifier verifies tokens. It remembers valid tokens until they expire or their key goes. All methods may be called
// concurrently.
type Verifier struct {
	Options
	preset         preset
	checks         []check
	subject, roles pointer
	keys           *keyring
	verified       *lru.Cache[[sha256.Size]byte, verifiedToken]
}

// verifiedToken is a valid token in the cache. It is valid as long as its keys are the current ones.
type verifiedToken struct {
	keys   *keySet
	claims Claims
}

// New returns a Verifier. The error names the wrong setting by its flag.
func New(o Options) (*Verifier, error) {
	p, err := findPreset(o.Preset)
	if err != nil {
		return nil, err
	}
	if err := o.validate(p); err != nil {
		return nil, err
	}
	if len(o.RoleMap) == 0 {
		o.RoleMap = map[string]rules.Role{string(rules.Admin): rules.Admin, string(rules.Member): rules.Member}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.SubjectClaim, o.RolesClaim = cmp.Or(o.SubjectClaim, p.subject), cmp.Or(o.RolesClaim, p.roles)
	v := &Verifier{Options: o, preset: p}
	if v.subject, err = parsePointer(o.SubjectClaim, p.subject); err != nil {
		return nil, fmt.Errorf("--auth-subject-claim %w", err)
	}
	if v.roles, err = parsePointer(o.RolesClaim, p.roles); err != nil {
		return nil, fmt.Errorf("--auth-roles-claim %w", err)
	}
	v.checks = v.checkList()
	if v.keys, err = o.keyring(); err != nil {
		return nil, err
	}
	v.verified, err = lru.New[[sha256.Size]byte, verifiedToken](maxVerified)
	return v, err
}

// keyring returns the keys of the configured mode.
func (o Options) keyring() (*keyring, error) {
	if o.KeysURL == "" && !o.Discovery {
		return newSecrets(o.Secrets), nil
	}
	s, err := newSource(o.KeysURL, o.Issuer)
	if err != nil {
		return nil, err
	}
	return newKeyring(s, o.Clock, o.Logger), nil
}

func (o Options) validate(p preset) error {
	modes := 0
	for _, set := range []bool{o.APIKeysOnly, len(o.Secrets) > 0, o.KeysURL != "", o.Discovery} {
		if set {
			modes++
		}
	}
	if modes != 1 {
		return errors.New("set exactly one of --auth-keys-only, ROSTER_AUTH_HS256_SECRET, --auth-jwks-url " +
			"and --auth-discovery")
	}
	for _, secret := range o.Secrets {
		if len(secret) < minSecretBytes {
			return fmt.Errorf("ROSTER_AUTH_HS256_SECRET and ROSTER_AUTH_HS256_SECRET_NEXT must have %d bytes or more, not %d",
				minSecretBytes, len(secret))
		}
	}
	for name, role := range o.RoleMap {
		if !isRole(role) {
			return fmt.Errorf("--auth-role-map must map %q to ADMIN or MEMBER, not %q", name, role)
		}
	}
	switch {
	case o.DefaultRole != "" && !isRole(o.DefaultRole):
		return fmt.Errorf("--auth-default-role must be ADMIN or MEMBER, not %q", o.DefaultRole)
	case o.APIKeysOnly:
		return nil
	case len(o.Secrets) > 2:
		return fmt.Errorf("at most two secrets can be set, not %d", len(o.Secrets))
	case o.Issuer == "" || len(o.Issuer) > MaxIdentityBytes:
		form := ""
		if p.issuerForm != "" {
			form = ", such as " + p.issuerForm
		}
		return fmt.Errorf("--auth-issuer must be the issuer of the tokens, of 1 to %d bytes%s", MaxIdentityBytes, form)
	case hasUser(o.Issuer):
		return errors.New("--auth-issuer must not have a user or a password: no token has them in its issuer")
	case o.Audience == "":
		return errors.New("--auth-audience must be the audience of the tokens")
	}
	return nil
}

// hasUser reports whether an address has a user or a password. Errors and the log print issuers.
func hasUser(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.User != nil
}

func isRole(r rules.Role) bool { return r == rules.Admin || r == rules.Member }

// Run keeps the provider's keys up to date until ctx ends. It does nothing if there is no provider. Until Run runs,
// Verify waits.
func (v *Verifier) Run(ctx context.Context) { v.keys.run(ctx) }

// Verify verifies a token and returns its claims. If the token's key is unknown, it may wait for the provider's keys.
// The error is an *InvalidError, a *ForbiddenError, ErrUnavailable if the provider's keys are not known, or that of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (Claims, error) {
	if len(token) > MaxTokenBytes {
		return Claims{}, tooLong()
	}
	hash := sha256.Sum256([]byte(token))
	if claims, ok := v.remembered(hash); ok {
		return claims, nil
	}
	i := inspection{Verifier: v, text: token}
	for _, c := range v.checks {
		if err := c.run(&i, ctx); err != nil {
			return Claims{}, err
		}
	}
	v.verified.Add(hash, verifiedToken{i.signers, i.bearer})
	return i.bearer, nil
}

// remembered returns the claims of a token that was verified before.
func (v *Verifier) remembered(hash [sha256.Size]byte) (Claims, bool) {
	t, ok := v.verified.Get(hash)
	if !ok || !v.Clock().Before(t.claims.Expires) {
		return Claims{}, false
	}
	keys, _ := v.keys.current()
	return t.claims, keys == t.keys
}

// Known reports whether Verify accepts a token without verifying its signature again.
func (v *Verifier) Known(token string) bool {
	_, known := v.remembered(sha256.Sum256([]byte(token)))
	return known
}

// Keys returns the number of keys that can verify tokens now. It fetches those of a provider, and does not keep them. The
// error names the address of the provider.
func (v *Verifier) Keys(ctx context.Context) (int, error) {
	set := v.keys.set
	if v.keys.source != nil {
		var err error
		if set, err = v.keys.source.fetch(ctx); err != nil {
			return 0, err
		}
	}
	return len(set.keys), nil
}
