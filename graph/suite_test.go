package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"roster/graph"
	"roster/graph/graphtest"
	"roster/internal/dbtest"
)

// TestSuite sends the requests of each file of testdata, in their order, to a server with an empty database, and wants
// the answers that stand there: the same bytes from every engine, with compiled reads and without. The files say what Roster
// does:
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
				run(serve(t, dbtest.SQLite, settings{}), s, true)
				if err := os.WriteFile(file, textOf(s), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := readScenario(t, file)
			if !bytes.Equal(textOf(s), s.Source) {
				t.Errorf("%s: got another form than -update writes, want the same bytes", file)
			}
			dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
				for _, compiled := range []bool{true, false} {
					run(serve(t, e, settings{graph: func(o *graph.Options) { o.CompiledReads = compiled }}), s, false)
				}
			})
		})
	}
}

func readScenario(t *testing.T, file string) *graphtest.Scenario {
	t.Helper()
	s, err := graphtest.ReadScenario(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answerOf returns the last section of a step, which has the answer. It adds the section when it is missing.
func answerOf(s *graphtest.Step) *graphtest.Section {
	if last := &s.Sections[len(s.Sections)-1]; strings.HasPrefix(last.Name, "answer ") {
		return last
	}
	s.Sections = append(s.Sections, graphtest.Section{Name: "answer "})
	return &s.Sections[len(s.Sections)-1]
}

// textOf returns a scenario in the form of its file.
func textOf(s *graphtest.Scenario) []byte {
	var b bytes.Buffer
	b.WriteString(s.Prose)
	for i, step := range s.Steps {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "=== %s\n", step.Name)
		for _, section := range step.Sections {
			if section.Name != "" {
				fmt.Fprintf(&b, "--- %s\n", section.Name)
			}
			b.WriteString(section.Text)
		}
	}
	return b.Bytes()
}

// run sends the requests. With update it takes the answers down, otherwise it checks them.
func run(t *tester, s *graphtest.Scenario, update bool) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()})
	kept := map[string]string{}
	for _, step := range s.Steps {
		t.statements.take()
		response, body := sendStep(t, step, kept)
		name, text := fmt.Sprintf("answer %d", response.StatusCode), layout(body)
		if update {
			*answerOf(step) = graphtest.Section{Name: name, Text: text}
		} else if want := answerOf(step); want.Name != name || want.Text != text {
			t.Errorf("%s: got %s\n%swant %s\n%s", step.Name, name, text, want.Name, want.Text)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err != nil || !bytes.Equal(compact.Bytes(), body) {
			t.Errorf("%s: got white space in the answer, want compact JSON: %s", step.Name, body)
		}
		if got := response.Header.Get("Content-Type"); got != "application/graphql-response+json; charset=utf-8" {
			t.Errorf("%s: got the content type %q, want application/graphql-response+json", step.Name, got)
		}
		bounded(t, step, kept, schema, len(reading(t.statements.take())))
		keep(t, step, kept, body)
	}
}

// sendStep sends the request of a step, with more headers.
func sendStep(t *tester, s *graphtest.Step, kept map[string]string, more ...string) (head, []byte) {
	headers := slices.Clone(more)
	for line := range strings.Lines(s.Section("headers")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		headers = append(headers, name, value)
	}
	section := func(name string) string { return fill(t, s.Section(name), kept) }
	switch body, quoted, query := section("body"), section("quoted body"), section("get"); {
	case query != "":
		return t.send(http.MethodGet, t.url+"?"+strings.TrimSpace(query), nil, headers...)
	case body != "":
		return t.send(http.MethodPost, t.url, []byte(body), headers...)
	case quoted != "":
		body, err := strconv.Unquote(strings.TrimSpace(quoted))
		if err != nil {
			t.Fatalf("%s: the quoted body: %v", s.Name, err)
		}
		return t.send(http.MethodPost, t.url, []byte(body), headers...)
	}
	request := struct {
		Query     string          `json:"query"`
		Variables json.RawMessage `json:"variables,omitempty"`
	}{section(""), json.RawMessage(section("variables"))}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return t.send(http.MethodPost, t.url, body, headers...)
}

// fill replaces what stands in double braces.
func fill(t *tester, text string, kept map[string]string) string {
	text = graphtest.Placeholder().ReplaceAllStringFunc(text, func(found string) string {
		v, ok := kept[found[2:len(found)-2]]
		if !ok {
			t.Fatalf("nothing was kept as %s", found)
		}
		return v
	})
	repetition := graphtest.Repetition()
	return repetition.ReplaceAllStringFunc(text, func(found string) string {
		parts := repetition.FindStringSubmatch(found)
		n, err := strconv.Atoi(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Repeat(parts[1], n)
	})
}

// keep keeps parts of the answer for the requests to come.
func keep(t *tester, s *graphtest.Step, kept map[string]string, body []byte) {
	var data any
	if err := json.Unmarshal(body, &data); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(s.Section("keep")) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), " = ")
		found := data
		for part := range strings.SplitSeq(path, ".") {
			switch v := found.(type) {
			case map[string]any:
				found = v[part]
			case []any:
				i, err := strconv.Atoi(part)
				if err != nil || i >= len(v) {
					t.Fatalf("%s: no %s in %s", s.Name, path, body)
				}
				found = v[i]
			}
		}
		text, ok := found.(string)
		if !ok {
			t.Fatalf("%s: no text at %s in %s", s.Name, path, body)
		}
		kept[name] = text
	}
}

// reading is the statements without those that number changes, which belong to the feed and not to the query that waits
// for them.
func reading(statements []string) []string {
	return slices.DeleteFunc(statements, func(query string) bool {
		plain := strings.NewReplacer("`", "", `"`, "").Replace(query)
		return strings.Contains(plain, "number IS NULL") && !strings.HasPrefix(plain, "SELECT CASE WHEN f.counted") || strings.Contains(plain, "SET number") || strings.Contains(plain, "SET c.number") ||
			strings.Contains(plain, "FROM feed WHERE id = ") && strings.HasSuffix(plain, " FOR UPDATE") || strings.HasPrefix(plain, "UPDATE feed ") ||
			strings.HasSuffix(plain, "FROM feed WHERE id = 1") && strings.Contains(plain, "EXISTS") || strings.HasPrefix(plain, "INSERT INTO counts ")
	})
}

// bounded checks that a query did not need more statements than its document tells: the transaction, by which all that
// is read is read at one moment, depends on that.
func bounded(t *tester, s *graphtest.Step, kept map[string]string, schema *ast.Schema, statements int) {
	document, errs := gqlparser.LoadQueryWithRules(schema, fill(t, s.Section(""), kept), rules.NewDefaultRules())
	if len(errs) > 0 || len(document.Operations) != 1 || document.Operations[0].Operation != ast.Query {
		return
	}
	if bound := graph.Statements(document.Operations[0]); statements > bound {
		t.Errorf("%s: got %d statements, want at most %d", s.Name, statements, bound)
	}
}
