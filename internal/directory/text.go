package directory

import (
	"roster/ent"
	"roster/ent/rules"
)

// Only the functions of this file set a text, together with the key by which it is compared. A text that breaks its
// rule leaves the key unchanged: then the input has a fault, and nothing is written.

func setUsername(u *ent.User, text string) *rules.Fault {
	return set(&u.Username, &u.UsernameKey, text, rules.Username)
}

func setEmail(u *ent.User, text string) *rules.Fault {
	return set(&u.Email, &u.EmailKey, text, rules.Email)
}

func setTitle(p *ent.Post, text string) *rules.Fault {
	return set(&p.Title, &p.TitleKey, text, rules.Title)
}

func setBody(p *ent.Post, text string) *rules.Fault {
	p.Body = text
	return rules.Body(text)
}

// setIdentity gives a user an identity; nil removes it.
func setIdentity(u *ent.User, identity *rules.Identity) {
	u.IdentityIssuer, u.IdentitySubject = nil, nil
	if identity != nil {
		u.IdentityIssuer, u.IdentitySubject = &identity.Issuer, &identity.Subject
	}
}

// IdentityOf returns the identity of a user, or nil.
func IdentityOf(u *ent.User) *rules.Identity {
	if u.IdentityIssuer == nil || u.IdentitySubject == nil {
		return nil
	}
	return &rules.Identity{Issuer: *u.IdentityIssuer, Subject: *u.IdentitySubject}
}

func set(text, key *string, value string, rule func(string) (string, *rules.Fault)) *rules.Fault {
	*text = value
	computed, fault := rule(value)
	if fault == nil {
		*key = computed
	}
	return fault
}

// setUser gives a user the values of another user, with their keys. If the user already has the email, its key stays: the
// key may be older than the rule.
func setUser(to, from *ent.User) {
	to.Username, to.UsernameKey = from.Username, from.UsernameKey
	if to.Email != from.Email {
		to.Email, to.EmailKey = from.Email, from.EmailKey
	}
}

// setPost gives a post the values of another one, with the key of the title.
func setPost(to, from *ent.Post) {
	to.Title, to.TitleKey, to.Body, to.AuthorID = from.Title, from.TitleKey, from.Body, from.AuthorID
}
