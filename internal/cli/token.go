package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/config"
)

type tokenCommand struct {
	Mint    tokenMint    `cmd:"" help:"Print a token that the secret of HS256 signs."`
	Explain tokenExplain `cmd:"" help:"Read a token from the standard input, and say whether the server accepts it, and why."`
}

type tokenMint struct {
	config.Token `group:"Used most:"`
	config.Auth  `group:"Authentication:"`
}

// Run prints a token in one line.
func (c *tokenMint) Run(e *environment) error {
	verifier, err := e.newVerifier(c.Auth, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	switch {
	case verifier == nil || len(verifier.Secrets) == 0:
		return misuse(errors.New("ROSTER_AUTH_HS256_SECRET signs the token: set it, or --auth-hs256-secret-file"))
	case c.Subject == "" || len(c.Subject) > auth.MaxIdentityBytes:
		return misuse(fmt.Errorf("--subject must have 1 to %d bytes", auth.MaxIdentityBytes))
	case c.Lifetime < time.Second:
		return misuse(fmt.Errorf("--lifetime must be 1s or more, not %s", c.Lifetime))
	}
	roles := make([]rules.Role, len(c.Roles))
	for i, role := range c.Roles {
		roles[i] = rules.Role(role)
	}
	token, err := verifier.Mint(c.Subject, roles, c.Lifetime, rand.Reader)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, token)
	return err
}
