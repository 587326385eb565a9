package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"roster/ent/rules"
	"roster/internal/access"
	"roster/internal/auth"
	"roster/internal/config"
)

// explainTimeout is the maximum time to wait for the keys of the identity provider.
const explainTimeout = 15 * time.Second

// maxTokenInput is the maximum size of the standard input: a token, with "Authorization: Bearer" and line breaks around it.
const maxTokenInput = auth.MaxTokenBytes + 1<<10

type tokenExplain struct {
	config.Auth `group:"Authentication:"`
}

// Help is the end of the help. kong calls it.
func (c *tokenExplain) Help() string {
	return "The command reads a token from the standard input, with or without Bearer before it. It needs the settings of the server, " +
		"and no database. It prints neither the token nor its signature. Exit code 0: the token is accepted. 1: it is refused. " +
		"2: the settings or the input are wrong."
}

// Run prints what the server finds in a token, check after check.
func (c *tokenExplain) Run(ctx context.Context, e *environment) error {
	verifier, err := e.newVerifier(c.Auth, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if verifier == nil {
		return misuse(errors.New("a server with these settings has no authentication: set " + config.AuthModes + ", as for roster serve"))
	}
	input, err := readToken(ctx, e)
	if err != nil {
		return err
	}
	token := bareToken(input)
	switch texts := strings.Fields(token); {
	case token == "":
		return misuse(errors.New("the standard input has no token: pass one, such as with echo $TOKEN | roster token explain"))
	case strings.HasPrefix(token, auth.APIKeyPrefix):
		return explainAPIKey(e, token)
	case len(texts) > 1 && !strings.ContainsFunc(token, isNoTokenText):
		return misuse(fmt.Errorf("the standard input has %d texts: pass one token, in one line", len(texts)))
	}
	bounded, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	go verifier.Run(bounded)
	explanation := verifier.Explain(bounded, token)
	if ctx.Err() != nil {
		return failed(ctx, "explain a token", ctx.Err())
	}
	if explanation.Err == nil {
		if invalid, ok := errors.AsType[*auth.InvalidError](access.CheckSubject(explanation.Claims.Subject)); ok {
			explanation.Fail("subject", invalid, "Use an API key as it is, or give the bearer another subject at the provider.")
		}
	}
	if _, err := io.WriteString(e.stdout, c.text(verifier, explanation)); err != nil {
		return err
	}
	if explanation.Err != nil {
		return errors.New("the token is refused")
	}
	return nil
}

// isNoTokenText reports whether a character can be neither in a token nor between tokens.
func isNoTokenText(r rune) bool {
	return r > '~' || r < ' ' && !strings.ContainsRune("\t\r\n", r) || strings.ContainsRune(`{}"`, r)
}

// readToken reads the standard input, up to a little more than a token can have. It tells a person at a terminal what to do.
func readToken(ctx context.Context, e *environment) (string, error) {
	if f, ok := e.stdin.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprintln(e.stderr, "Paste a token, press Enter, and end the input with Ctrl-D.")
		}
	}
	data, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(e.stdin, maxTokenInput+1)) })
	switch {
	case ctx.Err() != nil:
		return "", failed(ctx, "read the standard input", err)
	case err != nil:
		return "", misuse(fmt.Errorf("the standard input cannot be read: %w", reason(err)))
	}
	return string(data), nil
}

// bareToken removes what people copy together with a token: white space around it, and the header before it.
func bareToken(input string) string {
	text := strings.TrimSpace(input)
	for _, prefix := range []string{"Authorization:", "Bearer"} {
		if len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
			if rest := text[len(prefix):]; rest == "" || strings.HasSuffix(prefix, ":") || strings.ContainsAny(rest[:1], " \t") {
				text = strings.TrimSpace(rest)
			}
		}
	}
	return text
}

// explainAPIKey says whether an API key has the right form. Only the database knows more.
func explainAPIKey(e *environment, text string) error {
	verdict := "Its form and its checksum are wrong: copy all of it."
	if key, err := auth.ParseAPIKey(text); err == nil {
		verdict = fmt.Sprintf("Its form and its checksum are right. Its prefix is %s: roster keys list says whether it is valid.", key.Prefix())
	}
	if _, err := fmt.Fprintf(e.stdout, "This is an API key, not a token. %s\n", verdict); err != nil {
		return err
	}
	return errors.New("an API key is not a token")
}

// text returns the explanation for people.
func (c *tokenExplain) text(verifier *auth.Verifier, x auth.Explanation) string {
	var b strings.Builder
	if form := verifier.WantIssuer(); form != "" {
		fmt.Fprintf(&b, "WARNING: the issuer of --auth-issuer (ROSTER_AUTH_ISSUER), %q, does not have the form of the preset %s: %s.\n\n", verifier.Issuer, verifier.Preset, form)
	}
	first, unsigned := "", false
	for _, r := range slices.Backward(x.Results) {
		if r.Outcome == auth.Failed {
			first = r.Check
		}
	}
	const columns = "%-7s%-12s%s\n"
	for _, r := range x.Results {
		if r.Unsigned && !unsigned {
			unsigned = true
			fmt.Fprintf(&b, columns, "", "", "The signature is not verified: anybody can have written the claims below.")
		}
		fmt.Fprintf(&b, columns, r.Outcome, r.Check, r.Detail)
		if r.Cure != "" {
			fmt.Fprintf(&b, columns, "", "", r.Cure)
		}
	}
	b.WriteString("\n")
	if x.Err != nil {
		fmt.Fprintf(&b, "REFUSED. The first check that fails: %s.\nThe server answers %s\n", first, answer(x.Err))
		return b.String()
	}
	fmt.Fprintf(&b, "ACCEPTED until %s, in %s. This includes %s for clocks that differ.\n", x.Claims.Expires.UTC().Format(time.RFC3339),
		time.Until(x.Claims.Expires).Round(time.Second), auth.Leeway)
	fmt.Fprintf(&b, "  issuer   %q\n  subject  %q\n  roles    %s\n  email    %s\n  caller   %s\n",
		x.Claims.Issuer, x.Claims.Subject, roleNames(x.Claims.Roles), c.email(x.Claims.Email), standing(x.Claims.Roles))
	return b.String()
}

// answer returns the answer of a server to a refused token.
func answer(err error) string {
	if invalid, ok := errors.AsType[*auth.InvalidError](err); ok {
		return "401 UNAUTHENTICATED: " + invalid.Description + "."
	}
	if forbidden, ok := errors.AsType[*auth.ForbiddenError](err); ok {
		return "403 FORBIDDEN: " + forbidden.Description + "."
	}
	return "503 UNAVAILABLE as long as it does not have the keys of the provider."
}

func roleNames(roles []rules.Role) string {
	if len(roles) == 0 {
		return "none"
	}
	var names []string
	for _, role := range roles {
		names = append(names, string(role))
	}
	return strings.Join(names, ", ")
}

// email returns what an email address is good for. It is empty unless it is verified.
func (c *tokenExplain) email(address string) string {
	switch {
	case address == "":
		return "none that is verified"
	case c.AuthLinkByEmail:
		return fmt.Sprintf("%q: the caller gets the user with this address, unless one of them is linked already", address)
	}
	return fmt.Sprintf("%q: not used, because --auth-link-by-email is off", address)
}

// standing returns what a caller with roles may do.
func standing(roles []rules.Role) string {
	switch {
	case slices.Contains(roles, rules.Admin):
		return "an ADMIN, who may do everything"
	case slices.Contains(roles, rules.Member):
		return "a MEMBER, if a user has this issuer and subject as its identity. Otherwise it may select viewer alone"
	}
	return "without a role: it may select viewer alone"
}
