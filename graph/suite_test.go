package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"roster/graph"
	"roster/internal/dbtest"
)

// TestSuite sends the requests of each file of testdata, in their order, to a server with an empty database, and wants
// the answers that stand there: the same bytes from every engine. The files say what Roster does:
//
//	=== What the request is about
//	query ($id: ID!) { post(id: $id) { title } }
//	--- variables
//	{"id": "{{hello}}"}
//	--- keep
//	title = data.post.title
//	--- answer 200
//	{"data": …}
//
// {{name}} in a request stands for what an answer before had at the path that is kept under the name, and {{x*3}} for
// xxx. Answers are laid out for people here and have no white space on the wire. Other sections:
//
//	--- body          a whole body instead of a document
//	--- quoted body   the same, as a string of Go
//	--- get           the query string of a GET request
//	--- headers       lines of "Name: value"
//
// "go test ./graph -run TestSuite -update" writes what SQLite's server answers into the files.
func TestSuite(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			if value[bool]("update") {
				s := readScenario(t, file)
				s.run(serve(t, dbtest.SQLite, settings{}), true)
				if err := os.WriteFile(file, s.text(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := readScenario(t, file)
			if !bytes.Equal(s.text(), s.source) {
				t.Errorf("%s is not in the form that -update writes", file)
			}
			dbtest.Each(t, func(t *testing.T, e dbtest.Engine) { s.run(serve(t, e, settings{}), false) })
		})
	}
}

// scenario is a file of testdata.
type scenario struct {
	source []byte
	prose  string
	steps  []*step
}

// step is a request and its answer.
type step struct {
	name     string
	sections []section // the first one is the document, unless it is empty
}

type section struct{ name, text string }

func (s *step) section(name string) string {
	for _, section := range s.sections {
		if section.name == name {
			return section.text
		}
	}
	return ""
}

// answer is the last section.
func (s *step) answer() *section {
	if last := &s.sections[len(s.sections)-1]; strings.HasPrefix(last.name, "answer ") {
		return last
	}
	s.sections = append(s.sections, section{name: "answer "})
	return &s.sections[len(s.sections)-1]
}

func readScenario(t *testing.T, file string) *scenario {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{source: source}
	into := &s.prose
	for line := range strings.Lines(string(source)) {
		title := strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(title, "=== "); ok {
			s.steps = append(s.steps, &step{name: name, sections: []section{{}}})
			into = &s.steps[len(s.steps)-1].sections[0].text
			continue
		}
		if name, ok := strings.CutPrefix(title, "--- "); ok && len(s.steps) > 0 {
			last := s.steps[len(s.steps)-1]
			last.sections = append(last.sections, section{name: name})
			into = &last.sections[len(last.sections)-1].text
			continue
		}
		*into += line
	}
	for _, step := range s.steps { // the blank lines between the steps
		last := &step.sections[len(step.sections)-1]
		last.text = strings.TrimRight(last.text, "\n") + "\n"
		for _, section := range step.sections {
			if !slices.Contains([]string{"", "variables", "keep", "body", "quoted body", "get", "headers"}, section.name) &&
				!strings.HasPrefix(section.name, "answer ") {
				t.Fatalf("%s: %s: no section is called %q", file, step.name, section.name)
			}
		}
	}
	return s
}

// text is the scenario as it stands in its file.
func (s *scenario) text() []byte {
	var b bytes.Buffer
	b.WriteString(s.prose)
	for i, step := range s.steps {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "=== %s\n", step.name)
		for _, section := range step.sections {
			if section.name != "" {
				fmt.Fprintf(&b, "--- %s\n", section.name)
			}
			b.WriteString(section.text)
		}
	}
	return b.Bytes()
}

// run sends the requests. With update it takes the answers down, otherwise it checks them.
func (s *scenario) run(t *tester, update bool) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()})
	kept := map[string]string{}
	for _, step := range s.steps {
		t.statements.take()
		response, body := step.send(t, kept)
		name, text := fmt.Sprintf("answer %d", response.StatusCode), layout(body)
		if update {
			*step.answer() = section{name, text}
		} else if want := step.answer(); want.name != name || want.text != text {
			t.Errorf("%s: got %s\n%swant %s\n%s", step.name, name, text, want.name, want.text)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err != nil || !bytes.Equal(compact.Bytes(), body) {
			t.Errorf("%s: the answer has white space: %s", step.name, body)
		}
		if got := response.Header.Get("Content-Type"); got != "application/graphql-response+json; charset=utf-8" {
			t.Errorf("%s: the answer is of type %q", step.name, got)
		}
		step.bounded(t, kept, schema, len(reading(t.statements.take())))
		step.keep(t, kept, body)
	}
}

// send sends the request of a step.
func (s *step) send(t *tester, kept map[string]string) (head, []byte) {
	var headers []string
	for line := range strings.Lines(s.section("headers")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		headers = append(headers, name, value)
	}
	section := func(name string) string { return fill(t, s.section(name), kept) }
	switch body, quoted, query := section("body"), section("quoted body"), section("get"); {
	case query != "":
		return t.send(http.MethodGet, t.url+"?"+strings.TrimSpace(query), nil, headers...)
	case body != "":
		return t.send(http.MethodPost, t.url, []byte(body), headers...)
	case quoted != "":
		body, err := strconv.Unquote(strings.TrimSpace(quoted))
		if err != nil {
			t.Fatalf("%s: the quoted body: %v", s.name, err)
		}
		return t.send(http.MethodPost, t.url, []byte(body), headers...)
	}
	request := struct {
		Query     string          `json:"query"`
		Variables json.RawMessage `json:"variables,omitempty"`
	}{section(""), json.RawMessage(section("variables"))}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	return t.send(http.MethodPost, t.url, body, headers...)
}

var (
	repeated    = regexp.MustCompile(`\{\{(\S.*?)\*(\d+)\}\}`)
	placeholder = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// fill replaces what stands in double braces.
func fill(t *tester, text string, kept map[string]string) string {
	text = placeholder.ReplaceAllStringFunc(text, func(found string) string {
		v, ok := kept[found[2:len(found)-2]]
		if !ok {
			t.Fatalf("nothing was kept as %s", found)
		}
		return v
	})
	return repeated.ReplaceAllStringFunc(text, func(found string) string {
		parts := repeated.FindStringSubmatch(found)
		n, err := strconv.Atoi(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Repeat(parts[1], n)
	})
}

// keep keeps parts of the answer for the requests to come.
func (s *step) keep(t *tester, kept map[string]string, body []byte) {
	var data any
	if err := json.Unmarshal(body, &data); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(s.section("keep")) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), " = ")
		found := data
		for part := range strings.SplitSeq(path, ".") {
			switch v := found.(type) {
			case map[string]any:
				found = v[part]
			case []any:
				i, err := strconv.Atoi(part)
				if err != nil || i >= len(v) {
					t.Fatalf("%s: no %s in %s", s.name, path, body)
				}
				found = v[i]
			}
		}
		text, ok := found.(string)
		if !ok {
			t.Fatalf("%s: no text at %s in %s", s.name, path, body)
		}
		kept[name] = text
	}
}

// reading is the statements without those that number changes, which belong to the feed and not to the query that waits
// for them.
func reading(statements []string) []string {
	return slices.DeleteFunc(statements, func(query string) bool {
		return strings.Contains(query, "number IS NULL") || strings.Contains(query, "SET number") || strings.HasPrefix(query, "SELECT last FROM feed") ||
			strings.HasPrefix(strings.NewReplacer("`", "", `"`, "").Replace(query), "UPDATE feed ")
	})
}

// bounded checks that a query did not need more statements than its document tells: the transaction, by which all that
// is read is read at one moment, depends on that.
func (s *step) bounded(t *tester, kept map[string]string, schema *ast.Schema, statements int) {
	document, errs := gqlparser.LoadQueryWithRules(schema, fill(t, s.section(""), kept), rules.NewDefaultRules())
	if len(errs) > 0 || len(document.Operations) != 1 || document.Operations[0].Operation != ast.Query {
		return
	}
	if bound := graph.Statements(document.Operations[0]); statements > bound {
		t.Errorf("%s: %d statements, but the document tells %d", s.name, statements, bound)
	}
}
