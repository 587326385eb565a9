package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/graph"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/idempotency"
	"roster/internal/typeid"
)

type userCommand struct {
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
	Export          userExport `cmd:"" help:"Write all data about one person as JSON."`
	Erase           userErase  `cmd:"" help:"Erase all data about one person."`
}

// userID is the argument of a command about one user.
type userID struct {
	ID string `arg:"" help:"ID of the user, as roster export users writes it."`
}

// Validate checks the argument. kong calls it, also without the argument.
func (c userID) Validate() error {
	if id, _ := typeid.Parse(c.ID); c.ID != "" && id.Type() != user.Label {
		return fmt.Errorf("<id> must be the ID of a user, such as user_01jvsz5r0xe3k8m1p4s6t9w2yb, not %q", c.ID)
	}
	return nil
}

// parse returns the ID.
func (c userID) parse() (typeid.ID, error) {
	id, err := typeid.Parse(c.ID)
	if err != nil { // an empty text, which Validate takes for no argument
		return id, misuse(errors.New("<id> must be the ID of a user, and not empty"))
	}
	return id, nil
}

// words returns the names of types and the values of enums of the contract. Most answers have some of them.
func words() map[string]bool {
	words := map[string]bool{}
	for name, t := range gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()}).Types {
		words[name] = true
		for _, value := range t.EnumValues {
			words[value.Name] = true
		}
	}
	return words
}

// A person is all that finds the data about a user.
type person struct {
	id       typeid.ID
	words    map[string]bool // texts that say nothing about a person
	texts    map[string]bool // the ID, and each username, email address and subject that the user has had meanwhile
	subjects []string        // the actors of its changes
}

func newPerson(id typeid.ID) *person {
	return &person{id: id, words: words(), texts: map[string]bool{id.String(): true}}
}

// learn adds the texts of the user, and reports whether one is new.
func (p *person) learn(u *ent.User) bool {
	before := len(p.texts) + len(p.subjects)
	p.add(u.Username)
	p.add(u.Email)
	if i := directory.IdentityOf(u); i != nil {
		p.add(i.Subject)
		if !slices.Contains(p.subjects, i.Subject) {
			p.subjects = append(p.subjects, i.Subject)
		}
	}
	return len(p.texts)+len(p.subjects) > before
}

// add adds a text, unless it is a word of the contract: a user can be named User.
func (p *person) add(text string) {
	if !p.words[text] {
		p.texts[text] = true
	}
}

// knows reports whether the user has no new text.
func (p *person) knows(u *ent.User) bool {
	other := &person{words: p.words, texts: maps.Clone(p.texts), subjects: slices.Clone(p.subjects)}
	return !other.learn(u)
}

// answers returns the answers of a page that are the person's own, or that have a text of the person or the ID of one of
// its posts. postsOf returns the posts of the person among IDs.
func (p *person) answers(page []idempotency.Answer, postsOf func(ids []typeid.ID) (map[typeid.ID]bool, error)) (of []idempotency.Answer, err error) {
	var ids []typeid.ID
	texts := make([][]string, len(page))
	for i := range page {
		if texts[i], err = page[i].Texts(); err != nil {
			return nil, err
		}
		for _, text := range texts[i] {
			if id, ok := postID(text); ok {
				ids = append(ids, id)
			}
		}
	}
	posts, err := postsOf(ids)
	if err != nil {
		return nil, err
	}
	for i := range page {
		about := page[i].Authority == p.id.String()
		for _, text := range texts[i] {
			id, ok := postID(text)
			about = about || p.texts[text] || ok && posts[id]
		}
		if about {
			of = append(of, page[i])
		}
	}
	return of, nil
}

// postID returns the ID of a post that a text is.
func postID(text string) (id typeid.ID, ok bool) {
	id, err := typeid.Parse(text)
	return id, err == nil && id.Type() == post.Label
}

// findUser returns a user with all columns, or nil.
func findUser(ctx context.Context, session *database.Session, id typeid.ID) (*ent.User, error) {
	users, err := ent.NewClient(ent.Driver(session)).User.Reader().ByIDs(rules.WithCaller(ctx, rules.Everyone()), query.All, id)
	return users[id], err
}
