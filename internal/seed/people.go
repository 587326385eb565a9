package seed

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// person is who a user is. No two of the people that one seed makes have a username or an address in common.
type person struct {
	username, email string
	crowd           *crowd
}

// crowd is the people of one culture so far.
type crowd struct {
	culture
	given, family []name
	made          int
	first, stride int // the order of the pairs of names, which is the seed's
}

// name is half of a person's name. The form in ASCII has lower-case letters only.
type name struct{ written, ascii string }

// people makes up people, one after the other.
type people struct {
	random *rand.Rand
	crowds []*crowd
}

func newPeople(random *rand.Rand) *people {
	p := &people{random: random}
	for _, c := range cultures() {
		w := &crowd{culture: c, given: names(c.given), family: names(c.family)}
		w.first, w.stride = random.IntN(w.pairs()), 1+random.IntN(w.pairs()-1)
		for divisor(w.stride, w.pairs()) > 1 {
			w.stride++
		}
		p.crowds = append(p.crowds, w)
	}
	return p
}

func names(list string) []name {
	fields := strings.Fields(list)
	all := make([]name, len(fields))
	for i, f := range fields {
		written, ascii, ok := strings.Cut(f, "=")
		if !ok {
			ascii = plain(written)
		}
		all[i] = name{written, ascii}
	}
	return all
}

// plain is a Latin text in lower case without its accents.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(strings.ToLower(s)))
	return strings.NewReplacer("ß", "ss", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "æ", "ae", "ı", "i").Replace(s)
}

// pairs is how many people with names of their own there are.
func (c *crowd) pairs() int { return len(c.given) * len(c.family) }

// numbers is how many numbers tell people of one name apart: a prime.
const numbers = 997

// next is the next person.
func (p *people) next() person {
	c := p.crowd()
	pair := (c.first + c.made%c.pairs()*c.stride) % c.pairs()
	given, family := c.given[pair/len(c.family)], c.family[pair%len(c.family)]
	number := ""
	if others := c.made / c.pairs(); others > 0 {
		number = strconv.Itoa(1 + (others*61+pair*7)%numbers)
	}
	c.made++

	username := p.join(c, given.written, family.written) + number
	local := given.ascii + "." + family.ascii
	if p.random.IntN(8) == 0 { // as RFC 6531 allows; where the names are ASCII this is the same
		local = strings.ToLower(given.written + "." + family.written)
	}
	return person{username: username, email: local + number + "@" + c.domain, crowd: c}
}

// crowd is one of the crowds, the larger ones more often.
func (p *people) crowd() *crowd {
	n := p.random.IntN(100)
	for _, c := range p.crowds {
		if n -= c.share; n < 0 {
			return c
		}
	}
	panic("seed: the cultures have less than 100 people of 100")
}

// join writes a name as one word, in one of the ways that people do.
func (p *people) join(c *crowd, given, family string) string {
	if c.familyFirst {
		return family + given
	}
	switch p.random.IntN(5) {
	case 0:
		return strings.ToLower(given + "." + family)
	case 1:
		return strings.ToLower(given + "_" + family)
	case 2:
		return given + "." + family
	case 3:
		return given + "_" + family
	default:
		return given + family
	}
}

// divisor is the greatest common one of two numbers.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
