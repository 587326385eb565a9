package provider

import (
	"crypto/sha256"
	"maps"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// A Person signs in at a provider that is Keycloak.
type Person struct {
	Username, Password, Email string
	Roles                     []string // of the realm
}

// Subject returns the subject of the tokens of a person.
func (p Person) Subject() string {
	hash := sha256.Sum256([]byte(p.Username))
	id := uuid.Must(uuid.FromBytes(hash[:16]))
	id[6], id[8] = 0x40|id[6]&0xf, 0x80|id[8]&0x3f // version 4, as Keycloak's
	return id.String()
}

// Admit lets people sign in, if the provider is Keycloak.
func (p *Provider) Admit(people ...Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people = people
}

// grantPath follows the issuer in the address where a person gets a token.
const grantPath = "/protocol/openid-connect/token"

// grant answers a request for a token with a name and a password (RFC 6749, section 4.3), as Keycloak does for a client with
// direct access grants.
func (p *Provider) grant(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodPost || r.PostFormValue("grant_type") != "password" || r.PostFormValue("client_id") == "" {
		w.WriteHeader(http.StatusBadRequest)
		Say(map[string]any{"error": "unsupported_grant_type"})(w, r)
		return
	}
	p.mu.Lock()
	people, issuer := p.people, p.Issuer
	p.mu.Unlock()
	for _, person := range people {
		if person.Username == r.PostFormValue("username") && person.Password == r.PostFormValue("password") {
			token := p.Sign(accessToken(person, issuer, r.PostFormValue("client_id")))
			Say(map[string]any{"access_token": token, "expires_in": 300, "token_type": "Bearer", "scope": "email profile"})(w, r)
			return
		}
	}
	w.WriteHeader(http.StatusUnauthorized)
	Say(map[string]any{"error": "invalid_grant", "error_description": "Invalid user credentials"})(w, r)
}

// accessToken returns an access token of a person, as Keycloak documents it.
func accessToken(person Person, issuer, client string) Document {
	d := Documents("keycloak", issuer, time.Now(), person.Roles...)[0]
	maps.Copy(d.Claims, map[string]any{
		"sub": person.Subject(), "azp": client, "preferred_username": person.Username, "email": person.Email,
		"name": person.Username, "given_name": person.Username, "family_name": "",
	})
	return d
}
