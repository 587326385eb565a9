package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Auth has the settings of authentication. A server without a mode, which is --auth-keys-only, a secret, --auth-jwks-url
// or --auth-discovery, has no authentication. A preset without a mode means --auth-discovery. The secrets themselves are not among the settings: every user of a machine
// can read the flags of its programs.
type Auth struct {
	AuthPreset              string   `enum:"none,keycloak,entra,zitadel,auth0" default:"none" placeholder:"NAME" help:"Identity provider: keycloak, entra, zitadel or auth0. The preset sets --auth-discovery unless there is a secret or a key set, and the claims of subject and roles. Only access tokens of this provider are accepted. docs/providers.md says what to configure there. none: no preset."`
	AuthKeysOnly            bool     `help:"Accept API keys only, and no tokens."`
	AuthHS256SecretFile     string   `name:"auth-hs256-secret-file" env:"ROSTER_AUTH_HS256_SECRET_FILE" placeholder:"FILE" help:"File with the secret of tokens that are signed with HS256, of 32 bytes or more. A line break at its end is part of the secret. ROSTER_AUTH_HS256_SECRET can have the secret itself. No flag can."`
	AuthHS256SecretNextFile string   `name:"auth-hs256-secret-next-file" env:"ROSTER_AUTH_HS256_SECRET_NEXT_FILE" placeholder:"FILE" help:"File with a second secret, to replace the first one. Tokens of both are valid. ROSTER_AUTH_HS256_SECRET_NEXT can have the secret itself."`
	AuthJWKSURL             string   `name:"auth-jwks-url" env:"ROSTER_AUTH_JWKS_URL" placeholder:"URL" help:"Accept tokens that are signed with a key of the JSON Web Key Set at this address."`
	AuthDiscovery           bool     `help:"Accept tokens that are signed with a key of the issuer. OpenID Connect Discovery finds the keys."`
	AuthIssuer              string   `placeholder:"ISSUER" help:"Issuer of the tokens, which is their claim iss, byte for byte. Required with tokens."`
	AuthAudience            string   `placeholder:"AUDIENCE" help:"Audience of the tokens, which is in their claim aud. Required with tokens."`
	AuthSubjectClaim        string   `placeholder:"POINTER" help:"JSON Pointer to the subject in the claims of a token. Default: that of the preset, or /sub."`
	AuthRolesClaim          string   `placeholder:"POINTER" help:"JSON Pointer to the roles in the claims of a token, such as /realm_access/roles. Default: that of the preset, or /roles."`
	AuthRoleMap             []string `placeholder:"NAME=ROLE" help:"Names of roles in tokens, and the role that each stands for, such as staff-admins=ADMIN. Other names do not count. A comma in a name is written as \\,. Without the flag: ADMIN and MEMBER count."`
	AuthDefaultRole         string   `enum:"none,MEMBER,ADMIN" default:"none" placeholder:"ROLE" help:"Role of a valid token without a role: none, MEMBER or ADMIN."`
	AuthRequireATJWT        bool     `name:"auth-require-at-jwt" env:"ROSTER_AUTH_REQUIRE_AT_JWT" help:"Accept only tokens of the type at+jwt (RFC 9068)."`
	AuthLinkByEmail         bool     `help:"Give a caller the user that has its verified email address, when it comes for the first time."`
	AuthAnonymous           string   `enum:"none,read" default:"none" placeholder:"WHAT" help:"What callers without a token or an API key may do: none, or read, which is what a MEMBER may read."`
}

// AuthModes are the settings that turn authentication on, for error messages.
const AuthModes = "--auth-preset, --auth-discovery, --auth-jwks-url, ROSTER_AUTH_HS256_SECRET or --auth-keys-only"

// setting is a setting that may have been made.
type setting struct {
	name string
	made bool
}

// Enabled reports whether there is authentication. hs256 says that there is a secret. The error names settings that do
// not go together, and says what to do.
func (a Auth) Enabled(hs256 bool) (bool, error) {
	var modes []string
	for _, mode := range []setting{
		{"--auth-keys-only", a.AuthKeysOnly},
		{"ROSTER_AUTH_HS256_SECRET", hs256},
		{"--auth-jwks-url", a.AuthJWKSURL != ""},
		{"--auth-discovery", a.AuthDiscovery},
	} {
		if mode.made {
			modes = append(modes, mode.name)
		}
	}
	ofTokens := []setting{
		{"--auth-preset", a.Preset() != ""},
		{"--auth-issuer", a.AuthIssuer != ""},
		{"--auth-audience", a.AuthAudience != ""},
		// Earlier releases had these defaults, so they may be written down anywhere.
		{"--auth-subject-claim", a.AuthSubjectClaim != "" && a.AuthSubjectClaim != "/sub"},
		{"--auth-roles-claim", a.AuthRolesClaim != "" && a.AuthRolesClaim != "/roles"},
		{"--auth-role-map", len(a.AuthRoleMap) > 0},
		{"--auth-default-role", a.AuthDefaultRole != "none"},
		{"--auth-require-at-jwt", a.AuthRequireATJWT},
		{"--auth-link-by-email", a.AuthLinkByEmail},
	}
	ofAll := slices.Concat(ofTokens, []setting{{"--auth-anonymous", a.AuthAnonymous != "none"}})
	switch {
	case len(modes) > 1:
		return false, fmt.Errorf("%s cannot be set together: set one of them", strings.Join(modes, " and "))
	case len(modes) == 0 && a.Preset() != "":
		return true, nil
	case len(modes) == 0:
		if name := firstMade(ofAll); name != "" {
			return false, fmt.Errorf("%s has no effect without authentication: also set %s", name, AuthModes)
		}
	case a.AuthKeysOnly:
		if name := firstMade(ofTokens); name != "" {
			return false, fmt.Errorf("%s is for tokens, which --auth-keys-only refuses: leave one of them out", name)
		}
	}
	return len(modes) == 1, nil
}

// Preset returns the name of the preset. It is empty without one.
func (a Auth) Preset() string {
	if a.AuthPreset == "none" {
		return ""
	}
	return a.AuthPreset
}

// Discovery reports whether discovery finds the keys of tokens, by its flag or by a preset alone. hs256 says that there is a
// secret.
func (a Auth) Discovery(hs256 bool) bool {
	return a.AuthDiscovery || a.Preset() != "" && !hs256 && a.AuthJWKSURL == "" && !a.AuthKeysOnly
}

// firstMade returns the name of the first setting that was made, or "".
func firstMade(settings []setting) string {
	at := slices.IndexFunc(settings, func(s setting) bool { return s.made })
	if at < 0 {
		return ""
	}
	return settings[at].name
}

// RoleMap returns the roles of AuthRoleMap by the names in tokens. The error names the flag and says what to do.
func (a Auth) RoleMap() (map[string]string, error) {
	roles := make(map[string]string, len(a.AuthRoleMap))
	for _, entry := range a.AuthRoleMap {
		at := max(strings.LastIndexByte(entry, '='), 0) // a name can have the character
		name, role := entry[:at], strings.TrimPrefix(entry[at:], "=")
		if name == "" || role != "ADMIN" && role != "MEMBER" {
			return nil, fmt.Errorf("--auth-role-map must have entries such as staff-admins=ADMIN or staff=MEMBER, not %q", entry)
		}
		if _, twice := roles[name]; twice {
			return nil, fmt.Errorf("--auth-role-map has the name %q twice: leave one out", name)
		}
		roles[name] = role
	}
	return roles, nil
}

// Token has the contents of a token that is made.
type Token struct {
	Subject  string        `env:"-" required:"" placeholder:"TEXT" help:"Subject of the token: the name of its bearer."`
	Roles    []string      `env:"-" enum:"ADMIN,MEMBER" placeholder:"ROLE" help:"Roles of the bearer: ADMIN, MEMBER or both. Without the flag: none."`
	Lifetime time.Duration `env:"-" default:"1h" placeholder:"DURATION" help:"Time for which the token is valid, in whole seconds."`
}

// Doors has the settings that decide whose requests the server answers, and over which connections.
type Doors struct {
	Mode           string   `enum:"development,production" default:"development" placeholder:"MODE" help:"development or production. production turns off introspection and the playground. It requires authentication."`
	AllowedHosts   []string `placeholder:"HOST" help:"Hosts that requests may name in their header Host, with any port, such as roster.example.com. Other requests are answered with 403. Without the flag: all hosts. It requires authentication, without which only localhost, 127.0.0.1 and [::1] are allowed."`
	InsecureNoAuth bool     `help:"Listen on any address without authentication, and answer requests for all hosts and from proxies. Everyone whose request comes to the server may do everything."`
	TLSCert        string   `name:"tls-cert" env:"ROSTER_TLS_CERT" placeholder:"FILE" help:"PEM file with the certificate of the server, then those of its issuers. It is loaded again when it changes. Without the flag: no TLS."`
	TLSKey         string   `name:"tls-key" env:"ROSTER_TLS_KEY" placeholder:"FILE" help:"PEM file with the private key of the certificate."`
}

// Production reports whether the mode is production.
func (d Doors) Production() bool { return d.Mode == "production" }

// Check checks which settings go together. authentication says whether there is any. The error names the settings and
// says what to do.
func (d Doors) Check(authentication bool) error {
	switch {
	case d.InsecureNoAuth && authentication:
		return errors.New("--insecure-no-auth is for servers without authentication: leave it out")
	case d.InsecureNoAuth && d.Production():
		return errors.New("--insecure-no-auth is refused with --mode=production: instead of it, set " + AuthModes)
	case d.Production() && !authentication:
		return errors.New("--mode=production requires authentication: set " + AuthModes)
	case len(d.AllowedHosts) > 0 && !authentication:
		return errors.New("--allowed-hosts has no effect without authentication: also set " + AuthModes)
	case (d.TLSCert == "") != (d.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key belong together: set both")
	}
	for _, host := range d.AllowedHosts {
		if !isHost(host) {
			return fmt.Errorf("--allowed-hosts must have names and addresses such as roster.example.com or [::1], "+
				"in lower case and without a port, not %q", host)
		}
	}
	return nil
}

// isHost reports whether a host has the form that browsers send: a name of ASCII characters in lower case, or an IP
// address.
func isHost(text string) bool {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && ip.Is6() && ip.Zone() == "" && "["+ip.String()+"]" == text
	}
	u, err := url.Parse("//" + text)
	return err == nil && text != "" && u.Host == text && u.Port() == "" && !strings.ContainsAny(text, "*:@") &&
		strings.ToLower(text) == text && !strings.ContainsFunc(text, func(r rune) bool { return r > '~' })
}
