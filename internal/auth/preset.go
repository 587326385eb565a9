package auth

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A preset is what Roster knows of the access tokens of one identity provider. The zero preset knows nothing.
type preset struct {
	name string
	// subject and roles are JSON Pointers, for options without SubjectClaim and RolesClaim.
	subject, roles string
	// roleObject says that the roles may also be the names of the members of an object, each of which is an object.
	roleObject bool
	// unverifiedEmail says that no token says whether its email address is verified.
	unverifiedEmail bool

	// shape returns why the claims cannot be those of an access token of the provider. Empty: they can. It asks only for
	// what every documented access token has: those of users and of machines, of old and new versions.
	shape func(claims map[string]any, issuer string) string
	// overage returns the claim by which the provider says that it left claims out. nil: it never does.
	overage func(claims map[string]any) string
	// form sets the claims that shape asks for, in a token of Mint.
	form func(claims map[string]any, issuer string)

	// issuerForm is the form of issuers, for people, and isIssuer reports whether an issuer has it.
	issuerForm string
	isIssuer   func(u *url.URL) bool

	// setup says what to configure at the provider.
	setup string
	// These say what to configure there when a check fails: for the shape, the audience, the roles, and for a token that only
	// the provider can read.
	shapeCure, audienceCure, rolesCure, opaqueCure string
}

// presets returns all presets.
func presets() []preset {
	return []preset{keycloak(), entra(), zitadel(), auth0()}
}

// PresetNames returns the names of all presets.
func PresetNames() []string {
	var names []string
	for _, p := range presets() {
		names = append(names, p.name)
	}
	return names
}

// findPreset returns the preset of a name. No name is the zero preset.
func findPreset(name string) (preset, error) {
	if name == "" {
		return preset{subject: "/sub", roles: "/roles"}, nil
	}
	all := presets()
	at := slices.IndexFunc(all, func(p preset) bool { return p.name == name })
	if at < 0 {
		return preset{}, fmt.Errorf("--auth-preset must be one of %s, not %q", strings.Join(PresetNames(), ", "), name)
	}
	return all[at], nil
}

func keycloak() preset {
	return preset{
		name: "keycloak", subject: "/sub", roles: "/realm_access/roles",
		// ID tokens have ID, refresh tokens Refresh, and tokens that need a proof DPoP. A client can ask for lower case.
		shape: func(claims map[string]any, _ string) string {
			typ, ok := claims["typ"].(string)
			if !ok {
				return "it has no claim typ"
			}
			if !strings.EqualFold(typ, "Bearer") {
				return "its claim typ is not Bearer but " + typ
			}
			return ""
		},
		form:       func(claims map[string]any, _ string) { claims["typ"] = "Bearer" },
		issuerForm: "https://HOST/realms/REALM",
		isIssuer: func(u *url.URL) bool {
			names := strings.Split(u.Path, "/")
			last := len(names) - 1
			return last >= 2 && names[last] != "" && names[last-1] == "realms"
		},
		setup: "add an audience mapper to the client, because aud is account otherwise; " +
			"create the realm roles ADMIN and MEMBER, and give them to users",
		shapeCure: "Keycloak writes typ Bearer into the claims of access tokens. Send access_token, neither id_token nor refresh_token.",
		audienceCure: "In Keycloak, add a mapper of the type Audience to the client or to one of its client scopes, " +
			"with Add to access token. Without it, aud is account, or absent.",
		rolesCure: "In Keycloak, the client scope roles writes realm roles to /realm_access/roles, and the roles of a client to " +
			"/resource_access/CLIENT/roles.",
	}
}

func entra() preset {
	return preset{
		name: "entra", roles: "/roles",
		// sub differs for each application, and only a token shows it. The object ID is the same in the whole tenant, and
		// administrators can look it up, to set identities before a person comes.
		subject:         "/oid",
		unverifiedEmail: true,
		shape:           entraShape,
		overage: func(claims map[string]any) string {
			for _, name := range []string{"_claim_names", "hasgroups"} {
				if value := claims[name]; value != nil && value != false {
					return name
				}
			}
			return ""
		},
		form: func(claims map[string]any, issuer string) {
			claims["ver"], claims["tid"], claims["azp"] = "2.0", tenant(issuer), "roster"
			if claims["tid"] == "" {
				claims["tid"] = "roster"
			}
		},
		issuerForm: "https://login.microsoftonline.com/TENANT/v2.0, with the ID of the tenant",
		isIssuer: func(u *url.URL) bool {
			return !slices.Contains([]string{"", "common", "organizations", "consumers"}, tenant(u.Path))
		},
		setup: "set requestedAccessTokenVersion to 2 in the manifest of the application; create the app roles ADMIN and MEMBER, " +
			"and assign users and groups to them; emit no groups claim",
		shapeCure: "Entra writes ver 2.0, the tenant as tid, and one of azp, azpacr, scp and idtyp into access tokens of version 2.0. " +
			"Set requestedAccessTokenVersion to 2 in the manifest of the application, and send the access token, not the ID token.",
		audienceCure: "In tokens of version 2.0, aud is the application (client) ID of the API, not its address api://…. " +
			"A client must ask for a scope of this API, such as api://ID/access.",
		rolesCure: "In Entra, create app roles with the values ADMIN and MEMBER in the registration of the API, and assign users to them " +
			"under Enterprise applications. The claim roles has the values.",
	}
}

// entraShape is the shape of access tokens of version 2.0. ID tokens have none of the last four claims.
func entraShape(claims map[string]any, issuer string) string {
	if claims["ver"] != "2.0" {
		return "its claim ver is not 2.0"
	}
	tid, _ := claims["tid"].(string)
	if want := tenant(issuer); tid == "" || want != "" && tid != want {
		return "its claim tid is not the tenant of the issuer"
	}
	if !hasText(claims, "azp", "azpacr", "scp", "idtyp") {
		return "it has none of azp, azpacr, scp and idtyp"
	}
	return ""
}

// tenant returns the tenant of an issuer, or the path of one, which ends with /TENANT/v2.0. Without one, it returns "".
func tenant(issuer string) string {
	rest, ok := strings.CutSuffix(strings.TrimSuffix(issuer, "/"), "/v2.0")
	if !ok {
		return ""
	}
	return rest[strings.LastIndexByte(rest, '/')+1:]
}

func zitadel() preset {
	return preset{
		name: "zitadel", subject: "/sub", roles: "/urn:zitadel:iam:org:project:roles", roleObject: true,
		// ID tokens have neither jti nor nbf. Access tokens of old versions have no client_id. No claim is Zitadel's alone,
		// so those that only other providers write are refused.
		shape: func(claims map[string]any, _ string) string {
			if !hasText(claims, "jti") || claims["nbf"] == nil {
				return "it lacks jti or nbf"
			}
			for _, name := range []string{"typ", "tid", "gty", "realm_access"} {
				if claims[name] != nil {
					return "it has the claim " + name
				}
			}
			return ""
		},
		form: func(claims map[string]any, _ string) {
			claims["nbf"], claims["client_id"] = claims["iat"], "roster"
		},
		issuerForm: "https://HOST, without a path and a slash",
		isIssuer:   func(u *url.URL) bool { return u.Path == "" },
		setup: "set the access token type of each application and service account to JWT; create the project roles ADMIN and MEMBER; " +
			"turn on Assert Roles on Authentication. The audience is the ID of the project. Set --auth-roles-claim to " +
			"/urn:zitadel:iam:org:project:ID:roles if machines or clients of other projects get tokens",
		shapeCure: "Zitadel writes jti and nbf into access tokens, and not into ID tokens. Send the access token.",
		audienceCure: "aud has the ID of the project if the client is of this project, or asks for the scope " +
			"urn:zitadel:iam:org:project:id:PROJECT:aud.",
		rolesCure: "In Zitadel, turn on Assert Roles on Authentication in the project, and Add user roles to the access token " +
			"in the application; or let the client ask for the scope urn:zitadel:iam:org:projects:roles, " +
			"whose claim is /urn:zitadel:iam:org:project:PROJECT:roles.",
		opaqueCure: "In Zitadel, set the access token type of the application or service account to JWT. Personal access tokens stay opaque.",
	}
}

func auth0() preset {
	return preset{
		name: "auth0", subject: "/sub", roles: "/permissions",
		// ID tokens have the same kind of sub, but none of the other claims. The first one is for the default profile of
		// access tokens, the second one for RFC 9068, the others for old tokens of machines.
		shape: func(claims map[string]any, _ string) string {
			sub, _ := claims["sub"].(string)
			if !strings.Contains(sub, "|") && !strings.HasSuffix(sub, "@clients") {
				return "its sub has neither | nor @clients"
			}
			if !hasText(claims, "azp", "client_id", "gty", "scope") {
				return "it has none of azp, client_id, gty and scope"
			}
			return ""
		},
		form:       func(claims map[string]any, _ string) { claims["azp"] = "roster" },
		issuerForm: "https://TENANT.auth0.com/, with a slash at the end",
		isIssuer:   func(u *url.URL) bool { return u.Path == "/" },
		setup: "create an API, whose identifier is the audience, and let clients ask for this audience; " +
			"in the API, turn on Enable RBAC and Add Permissions in the Access Token; create the permissions ADMIN and MEMBER",
		shapeCure: "Auth0 writes sub as CONNECTION|ID or CLIENT@clients, and one of azp, client_id, gty and scope into access tokens. " +
			"Send the access token, not the ID token.",
		audienceCure: "The client must send the parameter audience with the identifier of the API. " +
			"The audience of ID tokens is the client.",
		rolesCure: "In the settings of the API, turn on Enable RBAC and Add Permissions in the Access Token, " +
			"and give the permissions ADMIN and MEMBER to roles and users.",
		opaqueCure: "Auth0 gives opaque or encrypted tokens to clients that ask for no API: " +
			"let the client send the parameter audience with the identifier of the API.",
	}
}

// roleClaim returns the claim of names of roles.
func (p preset) roleClaim(names []string) any {
	if !p.roleObject {
		return names
	}
	object := make(map[string]any, len(names))
	for _, name := range names {
		object[name] = map[string]any{"0": "roster"} // the ID and the domain of an organization
	}
	return object
}

// hasText reports whether one of the claims is a text that is not empty.
func hasText(claims map[string]any, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		text, _ := claims[name].(string)
		return text != ""
	})
}

// Setup says what to configure at the provider of the preset. It is empty without a preset.
func (v *Verifier) Setup() string { return v.preset.setup }

// WantIssuer returns the form of issuers of the preset if Issuer does not have it. Otherwise it returns "".
func (v *Verifier) WantIssuer() string {
	if v.preset.isIssuer == nil {
		return ""
	}
	if u, err := url.Parse(v.Issuer); err == nil && u.Host != "" && u.RawQuery == "" && u.Fragment == "" && v.preset.isIssuer(u) {
		return ""
	}
	return v.preset.issuerForm
}

// VerifiesEmail reports whether tokens can say that an email address is verified.
func (v *Verifier) VerifiesEmail() bool { return !v.preset.unverifiedEmail }
