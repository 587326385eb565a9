package seed

import (
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// person is the identity of a user. No two people of one seed share a username or an address.
type person struct {
	username, email string
	crowd           *crowd
}

// crowd generates the people of one culture.
type crowd struct {
	culture
	given, family []name
	made          int
	first, stride int // the order of the pairs of names, which depends on the seed
}

// name is a given name or a family name. The ASCII form has only lower-case letters.
type name struct{ written, ascii string }

// people generates people, one after the other.
type people struct {
	random *rand.Rand
	crowds []*crowd
}

func newPeople(random *rand.Rand) *people {
	p := &people{random: random}
	for _, c := range cultures() {
		w := &crowd{culture: c, given: names(c.given), family: names(c.family)}
		w.first, w.stride = random.IntN(w.pairs()), 1+random.IntN(w.pairs()-1)
		for new(big.Int).GCD(nil, nil, big.NewInt(int64(w.stride)), big.NewInt(int64(w.pairs()))).Int64() > 1 {
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

// plain returns a Latin text in lower case without its accents.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(strings.ToLower(s)))
	return strings.NewReplacer("ß", "ss", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "æ", "ae", "ı", "i").Replace(s)
}

// pairs returns the number of pairs of a given name and a family name.
func (c *crowd) pairs() int { return len(c.given) * len(c.family) }

// numbers is the number of different numbers for people with the same name. It is a prime.
const numbers = 997

// next returns the next person.
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
	if p.random.IntN(8) == 0 { // RFC 6531 allows letters beyond ASCII
		local = strings.ToLower(given.written + "." + family.written)
	}
	return person{username: username, email: local + number + "@" + c.domain, crowd: c}
}

// crowd returns a random crowd, weighted by the shares of the cultures.
func (p *people) crowd() *crowd {
	n := p.random.IntN(100)
	for _, c := range p.crowds {
		if n -= c.share; n < 0 {
			return c
		}
	}
	panic("seed: the cultures have less than 100 people of 100")
}

// join returns a name as one word, in a random style.
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
