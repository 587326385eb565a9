package provider

import (
	"maps"
	"time"
)

// A Document is a token before it is signed, as the documentation of a provider has it.
type Document struct {
	Name string
	// Type is the typ of the header.
	Type   string
	Claims map[string]any
	// Access says that it is an access token, which an API may accept.
	Access bool
}

// Tenant is the tenant of entra.
const Tenant = "8d1b2c6e-52f1-4c0f-9d0e-6f5b3c1a7e10"

// Be gives a provider that has just started the form of issuers of a preset.
func (p *Provider) Be(preset string) {
	p.Move(map[string]string{"keycloak": "/realms/acme", "entra": "/" + Tenant + "/v2.0", "auth0": "/"}[preset])
}

// Sign returns a token with a document.
func (p *Provider) Sign(d Document) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signer.SignDocument(d)
}

// SignDocument returns a token with a document.
func (k *Key) SignDocument(d Document) string {
	header := map[string]any{"alg": k.Algorithm, "typ": d.Type}
	if k.ID != "" {
		header["kid"] = k.ID
	}
	return k.Sign(text(header), text(d.Claims))
}

// Documents returns tokens of the provider of a preset, with the roles, as an issuer gives them at a time. All are for
// Audience, also those that real providers give to others, so that only their shape differs. They are valid for an hour.
func Documents(preset, issuer string, now time.Time, roles ...string) []Document {
	claims := map[string]any{"iss": issuer, "aud": Audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	with := func(claims map[string]any, more map[string]any) map[string]any {
		claims = maps.Clone(claims)
		maps.Copy(claims, more)
		return claims
	}
	switch preset {
	case "keycloak":
		return keycloak(claims, with, issuer, roles)
	case "entra":
		return entra(claims, with, roles)
	case "zitadel":
		return zitadel(claims, with, roles)
	case "auth0":
		return auth0(claims, with, issuer, roles)
	}
	return nil
}

type extend = func(claims, more map[string]any) map[string]any

func keycloak(common map[string]any, with extend, issuer string, roles []string) []Document {
	access := with(common, map[string]any{
		"jti": "onrtac:0f3c4a51-6f3e-4a7e-9a0e-2f6d1f1c9b11", "aud": []any{Audience, "account"}, "typ": "Bearer", "azp": "web",
		"sub": "36fa0f91-f94d-4a0c-afed-6b7d952e47da", "acr": "1", "allowed-origins": []any{"https://app.example.com"},
		"realm_access":    map[string]any{"roles": append([]string{"offline_access", "default-roles-acme", "uma_authorization"}, roles...)},
		"resource_access": map[string]any{"account": map[string]any{"roles": []any{"manage-account", "view-profile"}}},
	})
	user := with(access, map[string]any{
		"auth_time": common["iat"], "sid": "2a88c258-f73a-4103-b862-e1fbd8f4e04e", "scope": "openid email profile", "email_verified": true,
		"name": "Ada Lovelace", "preferred_username": "ada", "given_name": "Ada", "family_name": "Lovelace", "email": "ada@example.com",
	})
	machine := with(access, map[string]any{
		"azp": "nightly", "scope": "email profile", "email_verified": false, "clientHost": "192.0.2.7", "clientAddress": "192.0.2.7",
		"client_id": "nightly", "preferred_username": "service-account-nightly",
	})
	old := with(user, map[string]any{"nbf": 0, "auth_time": 0, "session_state": user["sid"]})
	delete(old, "sid")
	id := with(user, map[string]any{"typ": "ID", "aud": Audience, "at_hash": "Zt1LQ8Qq0XyGxqmlCj1n0w", "nonce": "n-0S6_WzA2Mj"})
	delete(id, "realm_access")
	return []Document{
		{"user", "JWT", user, true},
		{"machine", "JWT", machine, true},
		{"user, old version", "JWT", old, true},
		{"user, lower case", "JWT", with(user, map[string]any{"typ": "bearer"}), true},
		{"user, at+jwt", "at+jwt", user, true},
		{"ID token", "JWT", id, false},
		{"refresh token", "JWT", with(user, map[string]any{"typ": "Refresh", "aud": []any{issuer, Audience}}), false},
		{"DPoP", "JWT", with(user, map[string]any{"typ": "DPoP", "cnf": map[string]any{"jkt": "x"}}), false},
	}
}

func entra(common map[string]any, with extend, roles []string) []Document {
	access := with(common, map[string]any{
		"nbf": common["iat"], "aio": "AXQAi/8TAAAA", "azp": "0f2d5b8a-7e0b-4b0d-8c6e-1d0e6a3b5c77", "azpacr": "0",
		"oid": "6b1c8f2e-3a4d-4e5f-8a9b-0c1d2e3f4a5b", "rh": "0.AXEA", "sub": "x0Zk3vQ8pW2yT7uR5sN1mL4kJ6hG9fD", "tid": Tenant,
		"uti": "f1xQ2r3S4t5U6v7W", "ver": "2.0",
	})
	user := with(access, map[string]any{
		"name": "Ada Lovelace", "preferred_username": "ada@example.com", "email": "ada@example.com", "scp": "access", "roles": roles,
	})
	machine := with(access, map[string]any{"azpacr": "1", "sub": access["oid"], "roles": roles})
	idtyp := with(machine, map[string]any{"idtyp": "app"})
	id := with(user, map[string]any{"nonce": "678910"})
	for _, name := range []string{"azp", "azpacr", "scp"} {
		delete(id, name)
	}
	one := with(user, map[string]any{"ver": "1.0", "appid": user["azp"], "appidacr": "0", "upn": "ada@example.com"})
	delete(one, "azp")
	delete(one, "azpacr")
	return []Document{
		{"user", "JWT", user, true},
		{"machine", "JWT", machine, true},
		{"machine, with idtyp", "JWT", idtyp, true},
		{"ID token", "JWT", id, false},
		{"version 1.0", "JWT", one, false},
		{"another tenant", "JWT", with(user, map[string]any{"tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}), false},
	}
}

// Overage returns the claims that entra adds to a token of a user with too many groups, in the two ways that it has.
func Overage() []map[string]any {
	return []map[string]any{
		{
			"_claim_names":   map[string]any{"groups": "src1"},
			"_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.example.com/users/1/getMemberObjects"}},
		},
		{"hasgroups": true},
	}
}

func zitadel(common map[string]any, with extend, roles []string) []Document {
	granted := map[string]any{}
	for _, role := range roles {
		granted[role] = map[string]any{"170086774599581953": "acme.login.example.com"}
	}
	user := with(common, map[string]any{
		"nbf": common["iat"], "aud": []any{"170086824411201794", Audience}, "client_id": "170086824411201794", "jti": "252862212748621310",
		"sub": "170848145649959169", "urn:zitadel:iam:org:project:roles": granted, "urn:zitadel:iam:org:project:170086824411201793:roles": granted,
	})
	machine := with(user, map[string]any{"sub": "170848145649959999", "client_id": "nightly"})
	old := maps.Clone(user)
	delete(old, "client_id")
	id := with(user, map[string]any{
		"azp": "170086824411201794", "amr": []any{"password"}, "at_hash": "1Kk5Gp8f", "auth_time": common["iat"], "sid": "V1_2528",
		"email": "ada@example.com", "email_verified": true,
	})
	delete(id, "jti")
	delete(id, "nbf")
	return []Document{
		{"user", "JWT", user, true},
		{"machine", "JWT", machine, true},
		{"user, old version", "JWT", old, true},
		{"ID token", "JWT", id, false},
	}
}

func auth0(common map[string]any, with extend, issuer string, roles []string) []Document {
	user := with(common, map[string]any{
		"sub": "auth0|6553da60a54af58e29493993", "aud": []any{Audience, issuer + "userinfo"}, "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
		"scope": "openid profile email", "permissions": roles,
	})
	machine := with(common, map[string]any{
		"sub": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients", "azp": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx", "gty": "client-credentials", "permissions": roles,
	})
	old := with(machine, map[string]any{"scope": "read:users"})
	delete(old, "azp")
	rfc := func(claims map[string]any) map[string]any {
		claims = with(claims, map[string]any{"client_id": claims["azp"], "jti": "73WakrfVbNJBaAmhQtEeDv"})
		delete(claims, "azp")
		delete(claims, "gty")
		return claims
	}
	id := with(common, map[string]any{
		"sub": user["sub"], "name": "Ada Lovelace", "nickname": "ada", "email": "ada@example.com", "email_verified": true,
		"nonce": "crypto-value", "sid": "s1", "permissions": roles,
	})
	return []Document{
		{"user", "JWT", user, true},
		{"machine", "JWT", machine, true},
		{"machine, old version", "JWT", old, true},
		{"user, RFC 9068", "at+jwt", rfc(user), true},
		{"machine, RFC 9068", "at+jwt", rfc(machine), true},
		{"ID token", "JWT", id, false},
	}
}
