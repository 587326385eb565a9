package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"roster/ent/rules"
	"roster/internal/access"
	"roster/internal/auth"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/server"
	"roster/internal/typeid"
)

// maxSecretBytes is the maximum size of a file with a secret.
const maxSecretBytes = 4 << 10

// newVerifier returns the verifier of the settings, or nil without authentication. logger gets what a running verifier
// reports.
func (e *environment) newVerifier(a config.Auth, logger *slog.Logger) (*auth.Verifier, error) {
	secrets, err := e.secrets(a)
	if err != nil {
		return nil, err
	}
	enabled, err := a.Enabled(len(secrets) > 0)
	if err != nil {
		return nil, misuse(err)
	}
	if !enabled {
		return nil, nil
	}
	names, err := a.RoleMap()
	if err != nil {
		return nil, misuse(err)
	}
	roles := make(map[string]rules.Role, len(names))
	for name, role := range names {
		roles[name] = rules.Role(role)
	}
	var defaultRole rules.Role
	if a.AuthDefaultRole != "none" {
		defaultRole = rules.Role(a.AuthDefaultRole)
	}
	verifier, err := auth.New(auth.Options{
		APIKeysOnly:        a.AuthKeysOnly,
		Secrets:            secrets,
		KeysURL:            a.AuthJWKSURL,
		Discovery:          a.Discovery(len(secrets) > 0),
		Preset:             a.Preset(),
		Issuer:             a.AuthIssuer,
		Audience:           a.AuthAudience,
		SubjectClaim:       a.AuthSubjectClaim,
		RolesClaim:         a.AuthRolesClaim,
		RoleMap:            roles,
		DefaultRole:        defaultRole,
		RequireAccessToken: a.AuthRequireATJWT,
		Clock:              time.Now,
		Logger:             logger,
	})
	if err != nil {
		return nil, misuse(err)
	}
	if a.AuthLinkByEmail && !verifier.VerifiesEmail() {
		return nil, misuse(fmt.Errorf("--auth-link-by-email has no effect with --auth-preset=%s, because its tokens have no email_verified: "+
			"leave it out, and set the identities of users", a.AuthPreset))
	}
	return verifier, nil
}

// logPreset says what to configure at the provider of a preset, and warns of an issuer that is not one of this provider.
func logPreset(ctx context.Context, verifier *auth.Verifier, logger *slog.Logger) {
	if verifier.Preset == "" {
		return
	}
	logger.InfoContext(ctx, "the preset needs these settings of the identity provider",
		"preset", verifier.Preset, "settings", verifier.Setup(), "see", "docs/providers.md")
	if form := verifier.WantIssuer(); form != "" {
		logger.WarnContext(ctx, "the issuer does not have the form of the preset: compare --auth-issuer with the provider",
			"preset", verifier.Preset, "issuer", verifier.Issuer, "form", form)
	}
}

// secrets returns the secrets of HS256: none, one, or two.
func (e *environment) secrets(a config.Auth) ([][]byte, error) {
	const first, next = "ROSTER_AUTH_HS256_SECRET", "ROSTER_AUTH_HS256_SECRET_NEXT"
	var secrets [][]byte
	for _, s := range []struct{ variable, flag, file string }{
		{first, "--auth-hs256-secret-file", a.AuthHS256SecretFile},
		{next, "--auth-hs256-secret-next-file", a.AuthHS256SecretNextFile},
	} {
		text := e.getenv(s.variable)
		if text == "" && s.file == "" {
			continue
		}
		if text != "" && s.file != "" {
			return nil, misuse(fmt.Errorf("%s and %s have the same secret: leave one of them out", s.variable, s.flag))
		}
		if s.variable == next && len(secrets) == 0 {
			return nil, misuse(fmt.Errorf("%s is the second secret: also set %s, the first one", next, first))
		}
		secret := []byte(text)
		if s.file != "" {
			var err error
			if secret, err = readSecret(s.file); err != nil {
				return nil, fmt.Errorf("%s: %w", s.flag, err) // without its value, which can be the secret itself, by mistake
			}
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// readSecret returns all bytes of a file.
func readSecret(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, unreadable(err)
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, errDirectory
	}
	secret, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if len(secret) > maxSecretBytes {
		return nil, fmt.Errorf("the secret has more than %d bytes: use a shorter one", maxSecretBytes)
	}
	return secret, nil
}

// misuse returns the error of settings that cannot be right. Its exit code is that of a wrong command line.
func misuse(err error) error { return &exitError{err, exitUsage} }

// authenticate returns the Authenticator of a server, and starts its work. stop ends the work, after the last request.
func (c *serveCommand) authenticate(
	ctx context.Context, verifier *auth.Verifier, db *database.DB, ids *typeid.Source, committed func(), logger *slog.Logger,
) (a server.Authenticator, stop func()) {
	if verifier == nil {
		return everyone{}, func() {}
	}
	logPreset(ctx, verifier, logger)
	callers := access.New(access.Options{
		Verifier:    verifier,
		Database:    db,
		Anonymous:   c.AuthAnonymous == "read",
		LinkByEmail: c.AuthLinkByEmail,
		IDs:         ids,
		Logger:      logger,
		Committed:   committed,
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { callers.Run(ctx) })
	return callers, func() {
		cancel()
		running.Wait()
	}
}

// everyone is the Authenticator of a server without authentication.
type everyone struct{}

// Authenticate implements server.Authenticator.
func (everyone) Authenticate(ctx context.Context, _ ...string) (context.Context, error) {
	return rules.WithCaller(ctx, rules.Everyone()), nil
}

// Known implements server.Authenticator.
func (everyone) Known(...string) bool { return true }

// Watch implements server.Authenticator.
func (everyone) Watch(context.Context, func(reason error)) (stop func()) { return func() {} }
