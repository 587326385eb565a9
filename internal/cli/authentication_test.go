package cli_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/cli"
)

// secret is a secret of HS256, with a line break as in a file.
const secret = "s3cret-s3cret-s3cret-s3cret-s3cr\n"

// TestAuthenticationSettings has settings that cannot be right, one line each. The server does not start, and no error
// shows a secret.
func TestAuthenticationSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, data := range map[string]string{"secret": secret, "short": "s3cret", "large": strings.Repeat("s3cret", 1000)} {
		if err := os.WriteFile(at(name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const tokens = " --auth-issuer=https://idp.test/ --auth-audience=roster"
	for _, test := range []struct {
		flags, environment string
		code               int
		says               string
	}{
		{"--auth-keys-only --auth-discovery", "", 2, "--auth-keys-only and --auth-discovery cannot be set together: set one of them; see roster serve --help"},
		{"--auth-jwks-url=https://idp.test/keys", "ROSTER_AUTH_HS256_SECRET=" + secret, 2, "ROSTER_AUTH_HS256_SECRET and --auth-jwks-url cannot be set together"},
		{"--auth-keys-only --auth-hs256-secret-file=" + at("secret"), "", 2, "--auth-keys-only and ROSTER_AUTH_HS256_SECRET cannot be set together"},
		{"--auth-issuer=https://idp.test/", "", 2, "--auth-issuer has no effect without authentication: also set --auth-preset, --auth-discovery"},
		{"--auth-anonymous=read", "", 2, "--auth-anonymous has no effect without authentication"},
		{"--auth-keys-only --auth-link-by-email", "", 2, "--auth-link-by-email is for tokens, which --auth-keys-only refuses"},
		{"--auth-preset=Keycloak" + tokens, "", 2, `--auth-preset must be none, keycloak, entra, zitadel or auth0, not "Keycloak"; see roster serve --help`},
		{"--auth-preset=" + tokens, "", 2, `--auth-preset must be none, keycloak, entra, zitadel or auth0, not ""`},
		{"--auth-preset=okta" + tokens, "", 2, `--auth-preset must be none, keycloak, entra, zitadel or auth0, not "okta"`},
		{"--auth-preset=none" + tokens, "", 2, "--auth-issuer has no effect without authentication"},
		{"--auth-preset=keycloak --auth-keys-only", "", 2, "--auth-preset is for tokens, which --auth-keys-only refuses: leave one of them out"},
		{"--auth-preset=keycloak --auth-audience=roster", "", 2, "--auth-issuer must be the issuer of the tokens, of 1 to 255 bytes, such as https://HOST/realms/REALM"},
		{"--auth-preset=auth0 --auth-issuer=https://idp.test/", "", 2, "--auth-audience must be the audience"},
		{"--auth-preset=keycloak --auth-issuer=http://idp.test/realms/a --auth-audience=roster", "", 2, "--auth-issuer must be an address with https"},
		{"--auth-preset=keycloak --auth-jwks-url=https://idp.test/keys" + tokens, "ROSTER_AUTH_HS256_SECRET=" + secret, 2, "cannot be set together"},
		{"--auth-preset=entra --auth-link-by-email" + tokens, "", 2, "--auth-link-by-email has no effect with --auth-preset=entra, because its tokens have no email_verified: leave it out"},
		{"--auth-anonymous=write", "", 2, `--auth-anonymous must be none or read, not "write"`},
		{"--auth-default-role=OWNER", "", 2, `--auth-default-role must be none, MEMBER or ADMIN, not "OWNER"`},
		{"--auth-discovery --auth-audience=roster", "", 2, "--auth-issuer must be the issuer"},
		{"--auth-discovery --auth-issuer=https://idp.test/", "", 2, "--auth-audience must be the audience"},
		{"--auth-discovery --auth-issuer=http://idp.test/ --auth-audience=roster", "", 2, "--auth-issuer must be an address with https"},
		{"--auth-discovery --auth-role-map=staff" + tokens, "", 2, "--auth-role-map must have entries such as"},
		{"--auth-discovery --auth-roles-claim=roles" + tokens, "", 2, "--auth-roles-claim "},
		{tokens, "ROSTER_AUTH_HS256_SECRET=s3cret", 2, "must have 32 bytes or more, not 6"},
		{"--auth-hs256-secret-file=" + at("short") + tokens, "", 2, "must have 32 bytes or more, not 6"},
		{"--auth-hs256-secret-file=" + at("secret") + tokens, "ROSTER_AUTH_HS256_SECRET_NEXT=s3cret", 2, "must have 32 bytes or more, not 6"},
		{"--auth-hs256-secret-file=" + at("secret") + tokens, "ROSTER_AUTH_HS256_SECRET=" + secret, 2, "ROSTER_AUTH_HS256_SECRET and --auth-hs256-secret-file have the same secret: leave one of them out"},
		{tokens, "ROSTER_AUTH_HS256_SECRET_NEXT=" + secret, 2, "ROSTER_AUTH_HS256_SECRET_NEXT is the second secret: also set ROSTER_AUTH_HS256_SECRET"},
		{"--auth-hs256-secret=" + secret + tokens, "", 2, "unknown flag --auth-hs256-secret"},
		{"--auth-hs256-secret-file=" + at("missing") + tokens, "", 1, "--auth-hs256-secret-file: there is no such file: correct the path"},
		{"--auth-hs256-secret-file=" + dir + tokens, "", 1, "this is a directory"},
		{"--auth-hs256-secret-file=" + at("large") + tokens, "", 1, "the secret has more than 4096 bytes"},
		{"--mode=production", "", 2, "--mode=production requires authentication: set --auth-preset"},
		{"--mode=production --insecure-no-auth", "", 2, "--insecure-no-auth is refused with --mode=production"},
		{"--mode=test", "", 2, `--mode must be development or production, not "test"`},
		{"--auth-keys-only --insecure-no-auth", "", 2, "--insecure-no-auth is for servers without authentication"},
		{"--allowed-hosts=roster.test", "", 2, "--allowed-hosts has no effect without authentication"},
		{"--auth-keys-only --allowed-hosts=roster.test:80", "", 2, `not "roster.test:80"`},
		{"--tls-cert=" + at("secret"), "", 2, "--tls-cert and --tls-key belong together: set both"},
		{"--tls-key=" + at("secret"), "", 2, "--tls-cert and --tls-key belong together: set both"},
		{"--tls-cert=" + at("missing") + " --tls-key=" + at("secret"), "", 1, "--tls-cert and --tls-key: " + at("missing") + ": there is no such file"},
		{"--tls-cert=" + at("secret") + " --tls-key=" + at("secret"), "", 1, "--tls-cert and --tls-key: " + at("secret") + " and "},
		{"--tls-cert=" + dir + " --tls-key=" + at("secret"), "", 1, "cannot be read: is a directory"},
		{"--cors-origins=*", "", 2, "--cors-origins=* lets every page of the web change everything, because there is no authentication: list origins, or set"},
		{"--cors-origins=*", "", 2, "ROSTER_INSECURE_NO_AUTH=true lets everyone do everything"},
		{"--listen=0.0.0.0:0", "", 2, "--listen=0.0.0.0:0 can be reached from other machines, and there is no authentication: listen on 127.0.0.1, or set"},
		{"--listen=:0", "", 2, "ROSTER_INSECURE_NO_AUTH=true lets everyone do everything"},
		{"--listen=[::]:0", "", 2, "can be reached from other machines"},
		{"--listen=192.0.2.1:0", "", 2, "can be reached from other machines"},
		{"--trusted-proxies=10.0.0.0/8", "", 2, "--trusted-proxies has no effect without authentication, because the server refuses requests from proxies"},
		{"--auth-keys-only --trusted-proxies=10.0.0.1/8", "", 2, `--trusted-proxies has "10.0.0.1/8", whose network is 10.0.0.0/8`},
		{"--auth-keys-only --trusted-proxies=10.0.0.1,0.0.0.0/0", "", 2, `--trusted-proxies must not have "0.0.0.0/0"`},
		{"--insecure-no-auth --trusted-proxies=proxy.test", "", 2, `--trusted-proxies must have addresses and networks such as 192.0.2.1 or 10.0.0.0/8, not "proxy.test"`},
		{"--rate-limit=-1", "", 2, "--rate-limit must be from 0 to 1000000000, not -1"},
		{"--rate-limit=1000000001", "", 2, "--rate-limit must be from 0 to 1000000000, not 1000000001"},
		{"--rate-limit=many", "", 2, "--rate-limit"},
	} {
		var stdout, stderr bytes.Buffer
		args := []string{"serve", "--database-url=sqlite:" + at("roster.db")}
		if !strings.Contains(test.flags, "--listen") {
			args = append(args, "--listen=127.0.0.1:0")
		}
		variable, value, _ := strings.Cut(test.environment, "=")
		getenv := func(name string) string { return map[string]string{variable: value}[name] }
		code := cli.Run(t.Context(), slices.Concat(args, strings.Fields(test.flags)), getenv, strings.NewReader(""), &stdout, &stderr, "1.2.3")
		got := stderr.String()
		if code != test.code || stdout.Len() > 0 || !strings.Contains(got, test.says) || strings.Contains(got, "s3cr") || strings.Count(got, "\n") != 1 {
			t.Errorf("%s %s: got code %d, stdout %q, stderr\n%s, want code %d and %s", test.flags, variable, code, &stdout, got, test.code, test.says)
		}
	}
	if _, err := os.Stat(at("roster.db")); !os.IsNotExist(err) {
		t.Errorf("the database: got %v, want none", err)
	}
}

// TestInsecureNoAuth starts a server on all addresses. It warns in its log and where it prints its addresses.
func TestInsecureNoAuth(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stderr bytes.Buffer
	stdout := &onWrite{first: stop}
	code := cli.Run(ctx, []string{
		"serve", "--listen=:0", "--drain=0s", "--insecure-no-auth", "--cors-origins=*", "--log-level=warn", "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db"),
	}, noEnvironment, strings.NewReader(""), stdout, &stderr, "1.2.3")
	if code != 0 || !strings.Contains(stdout.String(), "WARNING     There is no authentication") ||
		!strings.Contains(stderr.String(), "level=WARN") || !strings.Contains(stderr.String(), "ROSTER_INSECURE_NO_AUTH") {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 0 and warnings", code, stdout, &stderr)
	}
}

// TestTokenMint verifies the tokens that the command prints.
func TestTokenMint(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Options{
		Secrets: [][]byte{[]byte(secret)}, Issuer: "https://idp.test/", Audience: "roster",
		RoleMap: map[string]rules.Role{"staff-admins": rules.Admin, "MEMBER": rules.Member},
	})
	if err != nil {
		t.Fatal(err)
	}
	common := []string{
		"token", "mint", "--auth-issuer=https://idp.test/", "--auth-audience=roster",
		"--auth-role-map=staff-admins=ADMIN,MEMBER=MEMBER",
	}
	for _, test := range []struct {
		flags    string
		roles    []rules.Role
		lifetime time.Duration
	}{
		{"", nil, time.Hour},
		{"--roles=ADMIN", []rules.Role{rules.Admin}, time.Hour},
		{"--roles=MEMBER,ADMIN --lifetime=5m", []rules.Role{rules.Member, rules.Admin}, 5 * time.Minute},
	} {
		for variable, flag := range map[string]string{"": " --auth-hs256-secret-file=" + file, "ROSTER_AUTH_HS256_SECRET": ""} {
			var stdout, stderr bytes.Buffer
			getenv := func(name string) string { return map[string]string{variable: secret}[name] }
			began := time.Now()
			code := cli.Run(t.Context(), slices.Concat(common, []string{"--subject=Ada Lovelace"}, strings.Fields(test.flags+flag)),
				getenv, strings.NewReader(""), &stdout, &stderr, "1.2.3")
			token, ended := strings.CutSuffix(stdout.String(), "\n")
			claims, err := verifier.Verify(t.Context(), token)
			if code != 0 || stderr.Len() > 0 || !ended || err != nil {
				t.Fatalf("%s: got code %d, stdout %q, stderr %q, %v, want a valid token", test.flags, code, &stdout, &stderr, err)
			}
			if claims.Subject != "Ada Lovelace" || claims.Issuer != "https://idp.test/" || !slices.Equal(claims.Roles, test.roles) {
				t.Errorf("%s: got %+v, want the subject and %v", test.flags, claims, test.roles)
			}
			const leeway = 30 * time.Second
			if least, most := began.Add(test.lifetime+leeway-time.Second), time.Now().Add(test.lifetime+leeway); claims.Expires.Before(least) || claims.Expires.After(most) {
				t.Errorf("%s: got the end %v, want from %v to %v", test.flags, claims.Expires, least, most)
			}
		}
	}
}

func TestTokenMintErrors(t *testing.T) {
	t.Parallel()
	const with = " --subject=ada --auth-issuer=https://idp.test/ --auth-audience=roster"
	for _, test := range []struct {
		flags  string
		secret bool
		code   int
		says   string
	}{
		{"", true, 2, "missing flags: --subject=TEXT; see roster token mint --help"},
		{"--subject= --auth-issuer=https://idp.test/ --auth-audience=roster", true, 2, "--subject must have 1 to 255 bytes"},
		{"--subject=" + strings.Repeat("a", 256) + " --auth-issuer=https://idp.test/ --auth-audience=roster", true, 2, "--subject must have 1 to 255 bytes"},
		{with, false, 2, "--auth-issuer has no effect without authentication"},
		{"--subject=ada", false, 2, "ROSTER_AUTH_HS256_SECRET signs the token: set it, or --auth-hs256-secret-file; see roster token mint --help"},
		{"--auth-discovery" + with, false, 2, "ROSTER_AUTH_HS256_SECRET signs the token"},
		{"--auth-keys-only --subject=ada", false, 2, "ROSTER_AUTH_HS256_SECRET signs the token"},
		{"--subject=ada --auth-audience=roster", true, 2, "--auth-issuer must be the issuer"},
		{"--roles=OWNER" + with, true, 2, `--roles must be ADMIN or MEMBER, not "OWNER"`},
		{"--lifetime=0s" + with, true, 2, "--lifetime must be longer than 0s"},
		{"--lifetime=10ms" + with, true, 2, "--lifetime must be 1s or more"},
		{"--lifetime=1y" + with, true, 2, "--lifetime must be a number with its unit"},
		{"--auth-preset=auth0" + with, true, 1, "the token would be refused: the token is not an access token of the preset auth0"},
		{"--roles=ADMIN --auth-role-map=staff=MEMBER" + with, true, 1, `--auth-role-map has no name for the role "ADMIN"`},
	} {
		var stdout, stderr bytes.Buffer
		getenv := func(name string) string {
			if test.secret && name == "ROSTER_AUTH_HS256_SECRET" {
				return secret
			}
			return ""
		}
		code := cli.Run(t.Context(), append([]string{"token", "mint"}, strings.Fields(test.flags)...), getenv, strings.NewReader(""), &stdout, &stderr, "1.2.3")
		if got := stderr.String(); code != test.code || stdout.Len() > 0 || !strings.Contains(got, test.says) || strings.Contains(got, "s3cr") {
			t.Errorf("%.40s: got code %d, stdout %q, stderr %q, want code %d and %s", test.flags, code, &stdout, got, test.code, test.says)
		}
	}
}
