package directory

import (
	"roster/ent"
	"roster/ent/rules"
)

// A text and the key by which it is compared are set together, by the functions of this file alone. A text that breaks
// its rule leaves the key as it is: the input has a fault then, and nothing is written.

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

func set(text, key *string, value string, rule func(string) (string, *rules.Fault)) *rules.Fault {
	*text = value
	computed, fault := rule(value)
	if fault == nil {
		*key = computed
	}
	return fault
}

// setUser gives a user the texts of another one, with their keys. An address that the user has already may be older than
// its rule: its key stays then.
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
