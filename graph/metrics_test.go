package graph_test

import (
	"net/http"
	"testing"

	"roster/graph"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/metrics"
)

// TestMetricsOfStatements compares the statements that the metrics count with those that the driver gets: for operations of
// both ways, with retries and with errors.
func TestMetricsOfStatements(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		m := metrics.New(metrics.Options{System: string(e)})
		s := serve(t, e, settings{
			database: func(o *database.Options) { o.Sent = m.Sent },
			graph:    func(o *graph.Options) { o.Observer = graph.Observers{m} },
		})
		s.statements.take()
		sent, operations := 0, 0
		ask := func(document string) {
			t.Helper()
			_, text := s.send(http.MethodPost, s.url, s.body(document))
			of := len(s.statements.take())
			sent, operations = sent+of, operations+1
			got, sum := 0.0, uint64(0)
			byDriver := uint64(0)
			families, err := m.Gatherer().Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, metric := range f.GetMetric() {
					switch f.GetName() {
					case "roster_operation_statements":
						got += metric.GetHistogram().GetSampleSum()
						sum += metric.GetHistogram().GetSampleCount()
					case "db_client_operation_duration_seconds":
						byDriver += metric.GetHistogram().GetSampleCount()
					}
				}
			}
			if int(got) != sent || int(sum) != operations || int(byDriver) != sent {
				t.Errorf("%s\n%s\ngot %v statements of %d operations, %d in all, want %d of %d", document, text, got, sum, byDriver, sent, operations)
			}
		}
		const ada = `mutation { createUser(input: {username: "Ada", email: "ada@example.com", posts: [{title: "A"}]}) { user { posts { totalCount } } } }`
		ask(ada)
		ask(ada) // takes another attempt, and fails
		ask(`{ users { totalCount nodes { posts { totalCount nodes { author { username } } } } } }`)
		ask(`{ users { nodes { posts(after: "wrong") { totalCount } } } }`)
		ask(`{ __typename }`)
		ask(`mutation { deleteUser(input: {id: "user_01m82809azeeybdnzk7akyq87h"}) { deletedId } }`)
	})
}
