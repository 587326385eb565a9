package transfer

import (
	"bufio"
	"strings"

	"roster/ent/rules"
	"roster/internal/directory"
)

// Texts returns the values of a row with the names of their fields, in order.
func (r *Row) Texts() string {
	var b strings.Builder
	b.WriteString(string(r.Kind))
	say := func(field, text string) {
		if text != "" {
			b.WriteString(" " + field + "=" + text)
		}
	}
	u, p := r.record.User(), r.record.Post()
	switch {
	case u != nil:
		say("id", u.ID.String())
		say("username", u.Username)
		say("email", u.Email)
		if u.Status != rules.Active {
			say("status", string(u.Status))
		}
		if i := directory.IdentityOf(u); i != nil {
			say("identity", i.Issuer+"|"+i.Subject)
		}
	case p != nil:
		say("id", p.ID.String())
		say("author", p.AuthorID.String())
		if r.author != nil {
			say("of", r.author.record.User().Username)
		}
		say("title", p.Title)
		say("body", p.Body)
	}
	return b.String()
}

// Neutral is a text as a spreadsheet has it, and Plain the text of that.
func Neutral(text string) string { return neutral(text) }

// Plain is the text that Neutral had.
func Plain(text string) string { return plain(text) }

// ReadCSV reads the records of a text, with those that are wrong as nil.
func ReadCSV(text string, comma byte, limit int) (records [][]string) {
	s := &csvScanner{in: bufio.NewReader(strings.NewReader(text)), comma: comma, limit: limit, line: 1}
	for {
		_, fault, err := s.next()
		if err != nil {
			return records
		}
		var record []string
		for i := range s.ends {
			record = append(record, string(s.field(i)))
		}
		if fault != nil {
			record = nil
		}
		records = append(records, record)
	}
}
