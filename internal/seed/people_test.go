package seed

import (
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"roster/ent/rules"
)

// What keeps people apart: the tables in culture.go are right.
func TestCultures(t *testing.T) {
	t.Parallel()
	ascii := regexp.MustCompile(`^[a-z]+$`)
	share := 0
	whole, domains := map[string]bool{}, map[string]bool{}
	for _, c := range newPeople(rand.New(rand.NewPCG(1, 1))).crowds {
		share += c.share
		if domains[c.domain] {
			t.Errorf("got two cultures with the domain %s, want one", c.domain)
		}
		domains[c.domain] = true
		if most := MaxUsers * c.share / 100 / c.pairs(); most >= numbers*9/10 { // the shares are those of chance
			t.Errorf("%s: got %d people with one name, want fewer than %d", c.domain, most, numbers*9/10)
		}
		for _, list := range [][]name{c.given, c.family} {
			plain := map[string]bool{}
			for _, n := range list {
				if !ascii.MatchString(n.ascii) || plain[n.ascii] {
					t.Errorf("%s has %s, which in ASCII is %s, like another or wrong", c.domain, n.written, n.ascii)
				}
				plain[n.ascii] = true
			}
		}
		for _, g := range c.given {
			for _, f := range c.family {
				joined := g.written + f.written
				if c.familyFirst {
					joined = f.written + g.written
				}
				key, fault := rules.Username(joined)
				if fault != nil || whole[key] {
					t.Errorf("%s is no name, or that of another: %v", joined, fault)
				}
				whole[key] = true
			}
		}
	}
	if share != 100 {
		t.Errorf("got %d people of 100, want 100", share)
	}
}

func TestPeople(t *testing.T) {
	t.Parallel()
	const many = 200_000
	p := newPeople(rand.New(rand.NewPCG(2, 2)))
	usernames, emails := make(map[string]bool, many), make(map[string]bool, many)
	scripts := map[string]*unicode.RangeTable{
		"Latin": unicode.Latin, "Greek": unicode.Greek, "Cyrillic": unicode.Cyrillic, "Han": unicode.Han, "Hiragana": unicode.Hiragana,
		"Hangul": unicode.Hangul, "Arabic": unicode.Arabic, "Devanagari": unicode.Devanagari,
	}
	for range many {
		next := p.next()
		username, fault := rules.Username(next.username)
		if fault != nil || usernames[username] {
			t.Fatalf("username %s: got %v or a duplicate, want a new valid one", next.username, fault)
		}
		usernames[username] = true
		email, fault := rules.Email(next.email)
		if fault != nil || emails[email] {
			t.Fatalf("email %s: got %v or a duplicate, want a new valid one", next.email, fault)
		}
		emails[email] = true
		for script, table := range scripts {
			if strings.ContainsFunc(next.username, func(r rune) bool { return unicode.Is(table, r) }) {
				delete(scripts, script)
			}
		}
	}
	if len(scripts) > 0 {
		t.Errorf("got no name in %v, want one in each script", slices.Sorted(maps.Keys(scripts)))
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	writer, p := newTexts(random), newPeople(random)
	for range 10_000 {
		title, body := writer.post(p.next().crowd)
		if _, fault := rules.Title(title); fault != nil {
			t.Fatalf("title %q: got %q, want no fault", title, fault.Message)
		}
		if fault := rules.Body(body); fault != nil {
			t.Fatalf("body %q: got %q, want no fault", body, fault.Message)
		}
		if regexp.MustCompile(`[{}]|^[a-z ]|  | $`).MatchString(title + body) {
			t.Fatalf("got %q, %q, want no braces, no small first letter, no double blanks", title, body)
		}
	}
}
