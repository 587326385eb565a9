package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"roster/graph"
	"roster/internal/dbtest"
	"roster/internal/profile"
)

// profiled is a response with a profile.
type profiled struct {
	Data       json.RawMessage
	Errors     json.RawMessage
	Extensions struct{ Profile *profile.Profile }
}

// profile sends a step or an operation with the header, and returns the answer without the profile.
func (s *tester) profile(send func(headers ...string) (head, []byte), header string) (p *profile.Profile, response head, plain string) {
	s.Helper()
	response, body := send("X-Roster-Profile", header)
	var answer struct {
		Extensions map[string]json.RawMessage
	}
	var a profiled
	if err := json.Unmarshal(body, &answer); err != nil {
		s.Fatalf("%v in %s", err, body)
	}
	if err := json.Unmarshal(body, &a); err != nil {
		s.Fatalf("%v in %s", err, body)
	}
	plain = string(body)
	raw := `"profile":` + string(answer.Extensions["profile"])
	for _, part := range []string{"," + raw, raw, `"extensions":{},`, `,"extensions":{}`} {
		plain = strings.Replace(plain, part, "", 1)
	}
	return a.Extensions.Profile, response, plain
}

// TestProfilesOfSuite sends the requests of each file of testdata with the header of a profile. The answers are the same but for
// it, and it has the statements that the driver got, on each engine and both ways.
func TestProfilesOfSuite(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
				for _, test := range []struct {
					header   string
					compiled bool
				}{{"explain", true}, {"1", false}} {
					scenario, kept := readScenario(t, file), map[string]string{}
					s := serve(t, e, settings{graph: func(o *graph.Options) { o.CompiledReads = test.compiled }})
					for _, step := range scenario.Steps {
						s.statements.take()
						p, response, plain := s.profile(func(headers ...string) (head, []byte) { return sendStep(s, step, kept, headers...) }, test.header)
						if want := answerOf(step).Text; layout([]byte(plain)) != want {
							t.Errorf("%s: got\n%s\nwant\n%s", step.Name, layout([]byte(plain)), want)
						}
						if p == nil && len(s.statements.take()) > 0 {
							t.Errorf("%s: got no profile of what sent statements", step.Name)
						}
						if p != nil {
							s.checkProfile(step.Name, p, test.header, response)
						}
						keep(s, step, kept, []byte(plain))
					}
				}
			})
		})
	}
}

// checkProfile compares a profile with the statements that the driver got.
func (s *tester) checkProfile(name string, p *profile.Profile, header string, response head) {
	s.Helper()
	var listed []string
	for i := range p.Statements {
		st := &p.Statements[i]
		listed = append(listed, st.Text)
		explainable := regexp.MustCompile(`^(SELECT|INSERT|UPDATE|DELETE|WITH)\b`).MatchString(st.Text) &&
			(s.engine != dbtest.SQLite || !regexp.MustCompile(`^INSERT .*\) VALUES \(`).MatchString(st.Text)) // SQLite has no plan for it
		if (st.Plan != "") != (header == "explain" && explainable) {
			s.Errorf("%s: got the plan %q of %s", name, st.Plan, st.Text)
		}
		if strings.Contains(strings.ReplaceAll(st.Plan, "'…'", ""), "'") {
			s.Errorf("%s: got values in the plan %s", name, st.Plan)
		}
	}
	sent := slices.DeleteFunc(s.statements.take(), func(text string) bool { return strings.HasPrefix(text, "EXPLAIN ") })
	if p.Totals.Statements != len(sent) || p.Omitted != 0 {
		s.Errorf("%s: got %d statements, %d of them omitted, want the %d of the driver", name, p.Totals.Statements, p.Omitted, len(sent))
	}
	slices.Sort(listed)
	slices.Sort(sent)
	if !slices.Equal(listed, sent) {
		s.Errorf("%s: got the statements\n%s\nwant\n%s", name, strings.Join(listed, "\n"), strings.Join(sent, "\n"))
	}
	if got := response.Header.Get("Server-Timing"); got != p.ServerTiming() {
		s.Errorf("%s: got the header %q, want %q", name, got, p.ServerTiming())
	}
}

// TestProfile reads the parts of a profile.
func TestProfile(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		c := populate(s, 2, 2)
		ask := func(header, document string, headers ...string) (*profile.Profile, head, string) {
			return s.profile(func(more ...string) (head, []byte) {
				return s.send(http.MethodPost, s.url, s.body(document), append(more, headers...)...)
			}, header)
		}
		const document = `{ a: users(first: 2) { n: nodes { p: posts { nodes { title } totalCount } q: posts { nodes { title } } } } }`
		p, _, _ := ask("1", document)
		got := map[string]int64{}
		for _, st := range p.Statements {
			got[strings.Join(st.Fields, " ")] += st.Rows
		}
		if len(got) != 3 || got["a"] != 2 || got["a.n.p a.n.q"] != 4 || got["a.n.p.totalCount"] != 2 {
			t.Errorf("got the rows %v, want those of a, a.n.p with a.n.q, and a.n.p.totalCount", got)
		}
		way := string(graph.ByPlan)
		if !value[bool]("compiled") {
			way = string(graph.ByResolvers)
		}
		if p.Totals.Statements != 3 || p.Totals.Rows != 8 || p.Totals.Way != way || p.Totals.Cost == 0 || p.Totals.DatabaseTimeMS <= 0 || p.Totals.TimeMS <= 0 {
			t.Errorf("got the totals %+v, want 3 statements, 8 rows, the way %q, a cost and times", p.Totals, way)
		}
		p, _, _ = ask("1", `mutation { m: deletePost(input: {id: "`+c.postIDs[0]+`"}) { deletedId author { id } } }`)
		for i, st := range p.Statements {
			if i < 2 && !slices.Equal(st.Fields, []string{"m"}) { // the last ones are of the transaction
				t.Errorf("got the fields %q of %s, want m", st.Fields, st.Text)
			}
		}

		// A replay has its own profile. It costs the statement that finds the stored answer.
		create := `mutation { createUser(input: {username: "replayed", email: "replayed@example.com"}) { user { username } } }`
		first, _, want := ask("1", create, "Idempotency-Key", "k")
		second, response, again := ask("explain", create, "Idempotency-Key", "k")
		if again != want || response.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("got %s, %v, want the replay of %s", again, response.Header, want)
		}
		if second.Totals.Statements >= first.Totals.Statements || second.Totals.Statements == 0 {
			t.Errorf("got %d statements, then %d, want fewer for a replay", first.Totals.Statements, second.Totals.Statements)
		}
		if _, text := s.send(http.MethodPost, s.url, s.body(create), "Idempotency-Key", "k"); string(text) != want {
			t.Errorf("got %s, want %s: the stored answer has no profile", text, want)
		}
		if response, text := s.send(http.MethodPost, s.url, s.body(document)); response.Header.Get("Server-Timing") != "" || strings.Contains(string(text), "profile") {
			t.Errorf("without the header: got %v, %s, want no profile", response.Header, text)
		}

		// A query by GET, and one whose answer is an event.
		p, _, _ = s.profile(func(more ...string) (head, []byte) {
			return s.send(http.MethodGet, s.url+"?query=%7Busers%7BtotalCount%7D%7D", nil, more...)
		}, "1")
		if p == nil || p.Totals.Statements != 2 {
			t.Errorf("by GET: got %+v, want 2 statements", p)
		}
		for header, status := range map[string]int{"": 400, "0": 400, "true": 400, "EXPLAIN": 400, "1": 200, "explain": 200} {
			if response, text := s.send(http.MethodPost, s.url, s.body(`{__typename}`), "X-Roster-Profile", header); response.StatusCode != status ||
				status == 400 && !strings.Contains(string(text), "BAD_REQUEST") {
				t.Errorf("%q: got %d %s, want %d", header, response.StatusCode, text, status)
			}
		}
	})
}

// TestProfileFits asks for more than an answer may have, and for more statements than a profile lists.
func TestProfileFits(t *testing.T) {
	t.Parallel()
	s := serve(t, dbtest.SQLite, settings{answers: answersOf(1_500)})
	populate(s, 1, 1)
	var document strings.Builder
	document.WriteString("{")
	for i := range profile.MaxStatements + 10 {
		fmt.Fprintf(&document, " a%d: users(first: 1) { nodes { id createdAt } }", i)
	}
	document.WriteString("}")
	_, body := s.send(http.MethodPost, s.url, s.body(document.String()), "X-Roster-Profile", "explain")
	if !strings.Contains(string(body), "COST_LIMIT") { // it is too large without the profile
		t.Errorf("got %.300s, want COST_LIMIT", body)
	}
	one := `{ users { nodes { posts { nodes { author { username } } totalCount } } totalCount } }`
	_, plain := s.send(http.MethodPost, s.url, s.body(one))
	_, body = s.send(http.MethodPost, s.url, s.body(one), "X-Roster-Profile", "explain")
	var a profiled
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	if p := a.Extensions.Profile; len(body) > 1_500+100 || p.Omitted == 0 || p.Totals.Statements != 5 || len(p.Statements)+p.Omitted != 5 {
		t.Errorf("got %d bytes, %d of them without the profile, and %+v, want at most 1500 bytes and 5 statements", len(body), len(plain), p)
	}
	many := serve(t, dbtest.SQLite, settings{})
	_, body = many.send(http.MethodPost, many.url, many.body(document.String()), "X-Roster-Profile", "1")
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	if p := a.Extensions.Profile; len(p.Statements) != profile.MaxStatements || p.Omitted != p.Totals.Statements-profile.MaxStatements {
		t.Errorf("got %d statements and %d omitted of %d, want %d", len(p.Statements), p.Omitted, p.Totals.Statements, profile.MaxStatements)
	}
}
