// Package abuse is a corpus of hostile requests. Each has a file with its refusal. The server must refuse it before it does
// anything expensive:
//
//	A sentence on the attack.
//	--- document
//	{ users { {{repeat 1500 "nodes { id } "}} } }
//	--- variables
//	{"n": 1}
//	--- refusal 400 COST_LIMIT
//	the document has 3001 fields; the limit is 2000
//
// The texts are templates of text/template, which has loops, with the functions repeat and add. Other sections:
//
//	--- body       a whole body instead of a document
//	--- padding    the number of bytes of white space after the body
//
// N in a message is a number that grows with the schema.
package abuse

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

//go:embed *.txt
var files embed.FS

// A Request is one of the corpus.
type Request struct {
	Name     string // of the file
	Document string // when there is no Body
	// Variables are JSON, or nothing.
	Variables json.RawMessage
	// Body is the body, without the white space after it.
	Body    []byte
	Padding int64 // bytes

	// The refusal: the HTTP status for a client that accepts application/graphql-response+json, and the code and the message
	// of the first error.
	Status  int
	Code    string
	Message string
}

// Requests returns all requests, in the order of their names.
func Requests() ([]Request, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	requests := make([]Request, len(entries))
	for i, entry := range entries {
		text, err := fs.ReadFile(files, entry.Name())
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(entry.Name(), ".txt")
		if requests[i], err = parse(name, string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return requests, nil
}

// RefusedWith reports whether a message is that of the refusal.
func (r *Request) RefusedWith(message string) bool {
	want := strings.ReplaceAll(regexp.QuoteMeta(r.Message), " N;", ` [1-9][0-9]*;`)
	return regexp.MustCompile("^(?:" + want + ")$").MatchString(message)
}

func parse(name, text string) (Request, error) {
	r := Request{Name: name}
	sections := strings.Split(text, "\n--- ")
	for _, section := range sections[1:] {
		title, content, _ := strings.Cut(section, "\n")
		filled, err := fill(strings.TrimSuffix(content, "\n"))
		if err != nil {
			return r, err
		}
		switch title {
		case "document":
			r.Document = filled
		case "variables":
			r.Variables = json.RawMessage(filled)
		case "body":
			r.Body = []byte(filled)
		case "padding":
			if r.Padding, err = strconv.ParseInt(filled, 10, 64); err != nil {
				return r, err
			}
		default:
			if _, err := fmt.Sscanf(title, "refusal %d %s", &r.Status, &r.Code); err != nil {
				return r, fmt.Errorf("there is no section %q: %w", title, err)
			}
			r.Message = filled
		}
	}
	if r.Message == "" {
		return r, errors.New("no section says with what it is refused")
	}
	if r.Body == nil {
		var err error
		r.Body, err = json.Marshal(struct {
			Query     string          `json:"query"`
			Variables json.RawMessage `json:"variables,omitempty"`
		}{r.Document, r.Variables})
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

func fill(text string) (string, error) {
	functions := template.FuncMap{
		"repeat": func(n int, s string) string { return strings.Repeat(s, n) },
		"add":    func(a, b int) int { return a + b },
	}
	t, err := template.New("").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = t.Execute(&b, nil)
	return b.String(), err
}
