package cli_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

var update = flag.Bool("update", false, "write the table of settings in docs/operations.md")

// The files of operations, which name metrics and exit codes.
const (
	operationsFile = "../../docs/operations.md"
	alertsFile     = "../../ops/prometheus/alerts.yml"
	dashboardFile  = "../../ops/grafana/roster.json"
	unitFile       = "../../ops/systemd/roster.service"
)

func textOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// measured is a metric as a server has it.
type measured struct {
	kind   string
	labels map[string]bool
}

// allMetrics returns the metrics of servers that have done something of everything: of one on SQLite, and of one with a replica.
func allMetrics(t *testing.T) map[string]measured {
	t.Helper()
	s := serveWithAdmin(t, dbtest.Empty(t, dbtest.SQLite))
	s.ask(t, createAda)
	s.ask(t, `query Read { users { nodes { posts { nodes { id } } } } }`)
	s.ask(t, `{ nothing }`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/graphql?query=subscription{changes{kind}}", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	s.eventually(t, "after a stream", figures{`roster_streams_ended_total{code="disconnected",kind="event_stream"}`: 1})
	all := map[string]measured{}
	s.addMetrics(t, all)
	replicated(t).addMetrics(t, all)
	return all
}

// replicated runs a server whose database has a replica that answers queries.
func replicated(t *testing.T) *rosterServer {
	t.Helper()
	primary := dbtest.Keep(t)(servers.StartPostgresPrimary(t.Context()))
	replica := dbtest.Keep(t)(servers.StartPostgresStandby(t.Context(), primary, "replica"))
	s := serveWithAdmin(t, primary.URL(), "--database-replica-urls="+replica.URL())
	s.eventually(t, "the replica answers", figures{`roster_replica_used{replica="PostgreSQL (` + replica.Addr() + `/postgres)"}`: 1})
	return s
}

// addMetrics adds the metrics of the server that are not there.
func (s *rosterServer) addMetrics(t *testing.T, all map[string]measured) {
	t.Helper()
	kinds := regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	_, text := get(t, s.admin, "http://admin/metrics")
	for _, found := range kinds.FindAllStringSubmatch(text, -1) {
		if _, ok := all[found[1]]; !ok {
			all[found[1]] = measured{found[2], map[string]bool{}}
		}
	}
	label := regexp.MustCompile(`(\w+)="`)
	for series := range s.figures(t) {
		name, labels, _ := strings.Cut(series, "{")
		if _, ok := all[name]; !ok {
			name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		}
		for _, found := range label.FindAllStringSubmatch(labels, -1) {
			all[name].labels[found[1]] = true
		}
	}
}

// TestMetricsAreDocumented compares the table of metrics with those of a server.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (counter|gauge|histogram) \\| (.*?) ?\\| (.+) \\|$")
	name := regexp.MustCompile("`(\\w+)`")
	_, text, _ := strings.Cut(textOf(t, operationsFile), "\n## Metrics\n")
	text, _, _ = strings.Cut(text, "\n## ")
	documented := map[string]bool{}
	all := allMetrics(t)
	for _, found := range row.FindAllStringSubmatch(text, -1) {
		metric, kind, labels := found[1], found[2], map[string]bool{}
		for _, label := range name.FindAllStringSubmatch(found[3], -1) {
			labels[label[1]] = true
		}
		documented[metric] = true
		got, ok := all[metric]
		delete(got.labels, "le")
		switch {
		case !ok:
			t.Errorf("%s is documented, but a server has no such metric", metric)
		case got.kind != kind:
			t.Errorf("%s is documented as a %s, but is a %s", metric, kind, got.kind)
		case !maps.Equal(got.labels, labels):
			t.Errorf("%s has the labels %v, documented are %v", metric, slices.Sorted(maps.Keys(got.labels)), slices.Sorted(maps.Keys(labels)))
		}
	}
	for metric := range all {
		if !documented[metric] && !strings.HasPrefix(metric, "go_") && !strings.HasPrefix(metric, "process_") && !strings.HasPrefix(metric, "promhttp_") {
			t.Errorf("%s is not in the table of docs/operations.md", metric)
		}
	}
}

// TestOpsNameMetrics looks for metrics and labels that the alerts and the dashboard name, but that no server has.
func TestOpsNameMetrics(t *testing.T) {
	t.Parallel()
	all := allMetrics(t)
	all["up"] = measured{"gauge", map[string]bool{}} // of Prometheus
	everyLabel := map[string]bool{"job": true, "instance": true, "le": true}
	for _, m := range all {
		maps.Copy(everyLabel, m.labels)
	}
	word := regexp.MustCompile(`\b(?:roster|http|db|go|process)_\w+|\bup\b`)
	selector := regexp.MustCompile(`(\w+)\{([^{}]*)\}`)
	matcher := regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping := regexp.MustCompile(`\b(?:by|on|ignoring|without) \(([^()]*)\)`)
	family := func(name string) (measured, bool) {
		m, ok := all[name]
		if !ok {
			m, ok = all[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")]
			ok = ok && m.kind == "histogram"
		}
		return m, ok
	}
	checked := 0
	for file, expressions := range map[string][]string{alertsFile: alertExpressions(t), dashboardFile: dashboardExpressions(t)} {
		for _, e := range expressions {
			checked++
			for _, found := range word.FindAllString(e, -1) {
				if _, ok := family(found); !ok && !everyLabel[found] {
					t.Errorf("%s: %s: no server has %s", file, e, found)
				}
			}
			for _, found := range selector.FindAllStringSubmatch(e, -1) {
				m, ok := family(found[1])
				if !ok {
					t.Errorf("%s: %s: no server has %s", file, e, found[1])
				}
				for _, label := range matcher.FindAllStringSubmatch(found[2], -1) {
					if l := label[1]; !m.labels[l] && l != "job" && l != "instance" {
						t.Errorf("%s: %s: %s has no label %s", file, e, found[1], l)
					}
				}
			}
			for _, found := range grouping.FindAllStringSubmatch(e, -1) {
				for l := range strings.SplitSeq(found[1], ",") {
					if !everyLabel[strings.TrimSpace(l)] {
						t.Errorf("%s: %s: no metric has the label %s", file, e, l)
					}
				}
			}
		}
	}
	if checked < 80 {
		t.Errorf("got %d expressions, want those of both files", checked)
	}
}

// alertExpressions returns the expressions of the rules.
func alertExpressions(t *testing.T) (expressions []string) {
	t.Helper()
	expression := regexp.MustCompile(`expr: >-\n((?: {10}.*\n)+)`)
	for _, found := range expression.FindAllStringSubmatch(textOf(t, alertsFile), -1) {
		expressions = append(expressions, strings.ReplaceAll(strings.Join(strings.Fields(found[1]), " "), "roster:", "recorded:"))
	}
	return expressions
}

// dashboardExpressions returns the expressions of the panels and variables.
func dashboardExpressions(t *testing.T) (expressions []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Definition string } }
	}
	if err := json.Unmarshal([]byte(textOf(t, dashboardFile)), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	for _, v := range dashboard.Templating.List {
		expressions = append(expressions, v.Definition)
	}
	return expressions
}

// TestAlertsAreExplained looks for what to do at each alert, and for the tests of each.
func TestAlertsAreExplained(t *testing.T) {
	t.Parallel()
	alert := regexp.MustCompile(`- alert: (\w+)\n(?: {8}.*\n)+`)
	heading := regexp.MustCompile(`(?m)^### (\w+)\n\n(.+)`)
	_, text, _ := strings.Cut(textOf(t, operationsFile), "\n## Alerts\n")
	text, _, _ = strings.Cut(text, "\n## ")
	explained := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		explained[found[1]] = true
	}
	tests := textOf(t, strings.Replace(alertsFile, ".yml", "_test.yml", 1))
	alerts := alert.FindAllStringSubmatch(textOf(t, alertsFile), -1)
	if len(alerts) < 20 {
		t.Errorf("got %d alerts, want all", len(alerts))
	}
	for _, found := range alerts {
		name := found[1]
		if !explained[name] {
			t.Errorf("docs/operations.md does not say what to do at %s", name)
		}
		delete(explained, name)
		for _, part := range []string{"summary: ", "description: ", "severity: ", "runbook: docs/operations.md#" + strings.ToLower(name) + "\n"} {
			if !strings.Contains(found[0], part) {
				t.Errorf("%s has no %q", name, part)
			}
		}
		for _, want := range []string{"exp_alerts: []", "exp_alerts:\n"} { // silent and fired
			if !regexp.MustCompile(`alertname: ` + name + `\n +eval_time: \w+\n +` + regexp.QuoteMeta(want)).MatchString(tests) {
				t.Errorf("alerts_test.yml has no test of %s with %q", name, want)
			}
		}
	}
	for name := range explained {
		t.Errorf("docs/operations.md explains %s, which is no alert", name)
	}
}

// TestSettings compares the table of settings with the help. With -update, it writes the table.
func TestSettings(t *testing.T) {
	t.Parallel()
	_, help, _ := run(t, "serve", "--help")
	const begin, end = "<!-- settings -->\n", "<!-- end of settings -->\n"
	text := textOf(t, operationsFile)
	before, rest, ok := strings.Cut(text, begin)
	got, after, also := strings.Cut(rest, end)
	if !ok || !also {
		t.Fatalf("docs/operations.md has no %q and %q", begin, end)
	}
	want := settingsTable(t, help)
	if *update {
		if err := os.WriteFile(operationsFile, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("the table of settings differs from roster serve --help: run go test ./internal/cli -run TestSettings -update; got\n%s\nwant\n%s", got, want)
	}
}

// settingsTable makes the table of settings from the help.
func settingsTable(t *testing.T, help string) string {
	t.Helper()
	flags := regexp.MustCompile(`^ +(?:-\w, )?--([\w\[\]-]+)(=\S+)?(?: +(\S.*))?$`)
	tail := regexp.MustCompile(`^(.*?)(?: Default: (\S+)\.)?(?: Environment: (\w+)\.)?$`)
	table := &strings.Builder{}
	type row struct{ flag, text string }
	var rows []row
	group := ""
	flush := func() {
		if len(rows) == 0 {
			return
		}
		fmt.Fprintf(table, "\n%s\n\n| Flag | Variable | Default | Meaning |\n| --- | --- | --- | --- |\n", group)
		for _, r := range rows {
			found := tail.FindStringSubmatch(r.text)
			cell := func(text string) string {
				if text == "" {
					return ""
				}
				return "`" + text + "`"
			}
			if found == nil || found[1] == "" || found[3] == "" {
				t.Errorf("--%s: got the help %q, want a meaning and a variable", r.flag, r.text)
				continue
			}
			fmt.Fprintf(table, "| `--%s` | %s | %s | %s |\n", r.flag, cell(found[3]), cell(found[2]), strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(found[1]))
		}
		rows = nil
	}
	for line := range strings.Lines(help) {
		line = strings.TrimRight(line, "\n")
		found := flags.FindStringSubmatch(line)
		switch {
		case strings.HasSuffix(line, ":") && !strings.HasPrefix(line, " "):
			flush()
			group = "**" + line + "**"
		case found != nil && found[1] != "help":
			rows = append(rows, row{found[1] + found[2], strings.TrimSpace(found[3])})
		case len(rows) > 0 && strings.HasPrefix(line, "   "):
			last := &rows[len(rows)-1]
			last.text = strings.TrimSpace(last.text + " " + strings.TrimSpace(line))
		}
	}
	flush()
	return strings.TrimPrefix(table.String(), "\n")
}

// TestUnitStartsAgain compares the unit of systemd with the exit codes of a server that cannot start: it starts again until the
// database is there, and never with wrong settings.
func TestUnitStartsAgain(t *testing.T) {
	t.Parallel()
	unit := textOf(t, unitFile)
	setting := func(name string) string {
		match := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(unit)
		if match == nil {
			t.Fatalf("the unit has no %s", name)
		}
		return match[1]
	}
	if limit, restart := setting("StartLimitIntervalSec"), setting("Restart"); limit != "0" || restart != "on-failure" {
		t.Errorf("got StartLimitIntervalSec=%s and Restart=%s, want a start after each failure, for ever", limit, restart)
	}
	final := setting("RestartPreventExitStatus")
	for args, again := range map[string]bool{
		"--database-url=postgres://roster:secret@127.0.0.1:1/roster": true,
		"--listen=0.0.0.0:0": false, // without authentication
	} {
		code, _, stderr := run(t, "serve", "--listen=127.0.0.1:0", args)
		if code == 0 || (strconv.Itoa(code) == final) == again {
			t.Errorf("serve %s: got code %d and %q, want a code with which systemd starts again: %t", args, code, stderr, again)
		}
	}
}
