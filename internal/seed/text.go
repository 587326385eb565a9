package seed

import (
	"math/rand/v2"
	"strings"
)

// texts generates titles and bodies.
type texts struct {
	random            *rand.Rand
	words             map[string][]string // the words for {topic} and other placeholders
	titles, sentences []string
}

func newTexts(random *rand.Rand) *texts {
	return &texts{
		random: random,
		words: map[string][]string{
			"topic": {
				"sourdough", "old maps", "city gardens", "chess openings", "night trains", "fountain pens", "local elections",
				"bird song", "distributed systems", "mushrooms", "small databases", "lighthouses", "choir singing", "tide tables",
				"watercolours", "bicycle repair", "winter swimming", "lichens", "typefaces", "compost",
			},
			"place": {
				"Lisbon", "the harbour", "Kraków", "Reykjavík", "the allotment", "Kyoto", "the reading room", "Malmö",
				"the old station", "São Paulo", "Nairobi", "the north",
			},
			"doing": {
				"baking bread", "keeping a diary", "walking to work", "learning Greek", "sleeping early", "writing tests first",
				"growing tomatoes", "fixing radios", "reading aloud", "drawing maps",
			},
			"kind":  {"quiet", "small", "stubborn", "forgotten", "patient", "crooked", "bright", "slow", "borrowed", "plain"},
			"thing": {"notebook", "bridge", "kettle", "garden", "bicycle", "letter", "clock", "window", "recipe", "staircase"},
			"time": {
				"last spring", "on a Tuesday in March", "ten years ago", "before breakfast", "over the holidays",
				"in the first week of autumn", "long after midnight",
			},
			"person": {"my neighbour", "the librarian", "an old friend", "my sister", "the ferryman", "a colleague", "our landlord"},
		},
		titles: []string{
			"Notes on {topic}", "What {topic} taught me", "A short guide to {topic}", "Why I stopped {doing}", "On {doing}, again",
			"The {kind} {thing} of {place}", "Letter from {place}", "Three ways of {doing}", "{doing}: a year later",
			"In praise of the {kind} {thing}", "A weekend in {place}", "{topic} for beginners", "The truth about {topic}",
			"A {kind} {thing} ☕", "How {person} took up {doing}",
		},
		sentences: []string{
			"It all began {time}, with a {kind} {thing}.", "I had never thought much about {topic} before.",
			"Then {person} told me about {topic}, and I was curious.", "There is a {kind} {thing} in {place} that nobody talks about.",
			"It takes longer than you would think.", "The first attempt went wrong, as first attempts do.",
			"What helped in the end was {doing}.", "I wrote it down {time}, so that I would not forget.",
			"Most books about {topic} leave this out.", "In {place} they do it differently.",
			"You need no more than a {kind} {thing} and some patience.", "My advice: start small, and keep at it.",
			"I asked {person}, who only laughed.", "By the time we reached {place}, the rain had stopped.",
			"Somebody had left a {kind} {thing} on the table.", "I still think about {topic} on the way home.",
			"If I could start again, I would begin with {doing}.", "Nothing about this is new, and that is the good part.",
			"We talked about {topic} until it was dark.", "The {thing} was {kind}, but it worked.",
			"There are two opinions on {doing}, and {person} holds both.", "Next time I will tell you about {place}.",
			"A reader asked whether {doing} is worth it.", "It is, if you ask me.",
		},
	}
}

// post generates a post in English or in the language of the crowd.
func (t *texts) post(c *crowd) (title, body string) {
	titles, sentences, gap := t.titles, t.sentences, " "
	if len(c.titles) > 0 && t.random.IntN(3) == 0 {
		titles, sentences, gap = c.titles, c.sentences, c.gap
	}
	title = t.fill(titles)
	if t.random.IntN(50) == 0 { // a post with only a title
		return title, ""
	}
	var b strings.Builder
	for paragraph := range 1 + t.random.IntN(3) {
		if paragraph > 0 {
			b.WriteString("\n\n")
		}
		for sentence := range 2 + t.random.IntN(4) {
			if sentence > 0 {
				b.WriteString(gap)
			}
			b.WriteString(t.fill(sentences))
		}
	}
	return title, b.String()
}

// fill returns a random pattern with words for its placeholders. The first letter is a capital.
func (t *texts) fill(patterns []string) string {
	var b strings.Builder
	rest := patterns[t.random.IntN(len(patterns))]
	for {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			break
		}
		word, after, _ := strings.Cut(after, "}")
		words := t.words[word]
		filled := words[t.random.IntN(len(words))]
		if b.Len() == 0 { // every word starts with an ASCII letter
			filled = strings.ToUpper(filled[:1]) + filled[1:]
		}
		b.WriteString(filled)
		rest = after
	}
	return b.String()
}
