package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// setting returns a flag with its environment variable.
func setting(flag string) string {
	return flag + " (ROSTER_" + strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_")) + ")"
}

// What to change after a check. err is that of the check, or nil.

func (i *inspection) cureMode(err error) string {
	if err == nil {
		return ""
	}
	return "To accept tokens, leave out " + setting("--auth-keys-only") + ", and set " + setting("--auth-preset") + ", " +
		setting("--auth-discovery") + ", " + setting("--auth-jwks-url") + " or ROSTER_AUTH_HS256_SECRET."
}

// cureForm says what the text is instead of a signed token.
func (i *inspection) cureForm(err error) string {
	if err == nil {
		return ""
	}
	opaque := i.preset.opaqueCure
	if opaque == "" {
		opaque = "Configure the provider to give access tokens that are signed JSON Web Tokens: docs/providers.md says how."
	}
	switch parts := strings.Count(i.text, ".") + 1; {
	case len(i.text) > MaxTokenBytes:
		return fmt.Sprintf("A token has at most %d bytes. Let the provider write fewer roles and groups into it.", MaxTokenBytes)
	case strings.HasPrefix(i.text, "{"):
		return "This is a JSON object, perhaps the answer of a provider. Give the value of its access_token alone, without quotes."
	case strings.HasPrefix(i.text, `"`):
		return "The token is in quotes: leave them out. jq -r prints a value without them."
	case strings.ContainsAny(i.text, " \t\r\n"):
		return "There is white space in the token: give it in one line."
	case parts == encryptedParts:
		return "Five parts are an encrypted token, which only its recipient can read. " + opaque
	case parts == 1:
		return "A text without dots is an opaque token, which only its provider can read. " + opaque
	}
	return "A signed token has three parts with dots between them, of letters, digits, - and _. Copy all of it."
}

// encryptedParts is the number of parts of an encrypted token (RFC 7516, section 7.1).
const encryptedParts = 5

// cureText is for parts that are damaged, or that the provider writes in another form than the standards.
func (i *inspection) cureText(err error) string {
	if err == nil {
		return ""
	}
	return "No setting changes this. Send the token as the provider gave it."
}

func (i *inspection) cureAlgorithm(err error) string {
	switch algorithm, _ := i.header["alg"].(string); {
	case err == nil:
		return ""
	case algorithm == string(jose.HS256):
		return "A token of HS256 needs the secret of its issuer: set ROSTER_AUTH_HS256_SECRET instead of " +
			setting("--auth-discovery") + " or " + setting("--auth-jwks-url") + "."
	case len(i.Secrets) > 0:
		return "This server has a secret, for HS256 alone. For tokens that a provider signs, set " + setting("--auth-preset") + ", " +
			setting("--auth-discovery") + " or " + setting("--auth-jwks-url") + " instead of ROSTER_AUTH_HS256_SECRET."
	}
	return "Let the provider sign with one of: " + i.algorithms() + "."
}

// algorithms lists the algorithms of the configured keys.
func (i *inspection) algorithms() string {
	var names []string
	for _, algorithm := range i.keys.algorithms {
		names = append(names, string(algorithm))
	}
	return strings.Join(names, ", ")
}

func (i *inspection) cureType(err error) string {
	switch {
	case err == nil:
		return ""
	case i.RequireAccessToken:
		return setting("--auth-require-at-jwt") + " is set: leave it out, or let the provider give tokens of the type at+jwt (RFC 9068)."
	}
	return "Send an access token. Tokens for other purposes have other types."
}

func (i *inspection) cureSignature(err error) string {
	var invalid *InvalidError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &invalid) && i.KeysURL != "":
		return "The server must reach the key set at " + setting("--auth-jwks-url") + ", which is " + quote(safeAddress(i.KeysURL)) + "."
	case !errors.As(err, &invalid):
		return "The provider must answer with its keys. Its address comes from " + setting("--auth-issuer") + ", which is " + quote(i.Issuer) +
			". A slash at its end counts."
	case len(i.Secrets) > 0:
		return "ROSTER_AUTH_HS256_SECRET, or " + setting("--auth-hs256-secret-file") + ", must have the secret that signed the token, " +
			"byte for byte: a line break at its end counts."
	case i.KeysURL != "":
		return "The key set at " + setting("--auth-jwks-url") + ", " + quote(safeAddress(i.KeysURL)) + ", must be that of the issuer of the token. " +
			"If the key has just been added, try again after 10 seconds."
	}
	return setting("--auth-issuer") + ", " + quote(i.Issuer) + ", must be the issuer of the token. Copy all of the token. " +
		"If the provider has just made this key, try again after 10 seconds."
}

func (i *inspection) cureIssuer(err error) string {
	if err == nil {
		return ""
	}
	iss, ok := i.claims["iss"].(string)
	if !ok {
		return "Send a token with the claim iss."
	}
	cure := setting("--auth-issuer") + " is " + quote(i.Issuer) + ". If the token is from the right provider, set it to " + quote(iss) + ", byte for byte."
	if strings.TrimSuffix(iss, "/") == strings.TrimSuffix(i.Issuer, "/") {
		cure += " They differ in the slash at the end."
	}
	return cure
}

func (i *inspection) curePreset(err error) string {
	if err == nil {
		return ""
	}
	return i.idToken() + i.preset.shapeCure + " If the provider is another one, change " + setting("--auth-preset") + "."
}

func (i *inspection) cureAudience(err error) string {
	if err == nil {
		return ""
	}
	cure := i.idToken() + setting("--auth-audience") + " is " + quote(i.Audience) + ". Let the provider write this into aud, or change the setting."
	if i.preset.audienceCure != "" {
		cure += " " + i.preset.audienceCure
	}
	return cure
}

// idToken says that the token looks like an ID token, with a space after it.
func (i *inspection) idToken() string {
	for _, name := range []string{"at_hash", "c_hash", "nonce"} {
		if i.claims[name] != nil {
			return "It has " + name + ", so it looks like an ID token, which is for the client alone: send the access token. "
		}
	}
	if i.claims["typ"] == "ID" {
		return "Its typ is ID, so it is an ID token, which is for the client alone: send the access token. "
	}
	return ""
}

func (i *inspection) cureExpiry(err error) string {
	if err == nil {
		return ""
	}
	if _, ok := date(i.claims["exp"]); !ok {
		return "Let the provider write exp, in seconds since 1970."
	}
	return "It expired at " + i.moment("exp") + ". Get a new token. If it is new, correct the clocks: here it is " + i.now() + "."
}

func (i *inspection) cureStart(err error) string {
	if err == nil {
		return ""
	}
	if _, ok := date(i.claims["nbf"]); !ok {
		return "Let the provider write nbf in seconds since 1970, or leave it out."
	}
	return "It is valid from " + i.moment("nbf") + ". If it is new, correct the clocks of the provider and of this server: here it is " + i.now() + "."
}

func (i *inspection) now() string { return i.Clock().UTC().Format(time.RFC3339) }

func (i *inspection) cureSubject(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("Each token needs sub. %s is %s, and must lead to a text of 1 to %d bytes.",
		setting("--auth-subject-claim"), quote(i.SubjectClaim), MaxIdentityBytes)
}

func (i *inspection) cureRoles(err error) string {
	if err == nil && len(i.bearer.Roles) > 0 {
		return ""
	}
	where := setting("--auth-roles-claim") + " is " + quote(i.RolesClaim) + "."
	if err != nil {
		return where + " It must lead to a text or a list of texts. " + setting("--auth-preset") + "=zitadel also reads an object."
	}
	if names, _ := i.roleNames(); len(names) > 0 {
		return "None of these names counts. " + setting("--auth-role-map") + " gives them a meaning, such as NAME=MEMBER. " +
			"Without it, ADMIN and MEMBER count."
	}
	cure := "The token has no role. " + where + " " + setting("--auth-default-role") + " can give one to all."
	if i.preset.rolesCure != "" {
		cure += " " + i.preset.rolesCure
	}
	return cure
}

func (i *inspection) cureOverage(err error) string {
	if err == nil {
		return ""
	}
	return "In Entra, emit no groups claim for this application (Token configuration), and use app roles. " +
		"Requests with this token get 403 FORBIDDEN."
}

func (i *inspection) cureEmail(error) string { return "" }
