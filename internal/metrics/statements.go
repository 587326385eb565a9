package metrics

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"roster/internal/record"
)

// otherValue stands for all other values of a label, by the OpenTelemetry conventions.
const otherValue = "_OTHER"

// statements are the metrics of all statements, by the OpenTelemetry conventions: db.client.operation.duration.
type statements struct {
	durations *series[statement, prometheus.Observer]
}

type statement struct {
	operation string
	failed    bool
}

func newStatements(r prometheus.Registerer, system string) statements {
	durations := newHistogram(r, "db_client_operation_duration_seconds", "Time of a statement, until its last row is read.",
		[]float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}, "db_system_name", "db_operation_name", "error_type")
	return statements{newSeries(func(s statement) prometheus.Observer {
		failure := ""
		if s.failed {
			failure = otherValue
		}
		return durations.WithLabelValues(system, s.operation, failure)
	})}
}

// Sent measures a statement. It is for database.Options.
func (m *Metrics) Sent(ctx context.Context, s record.Statement) {
	observe(m.statements.durations.get(statement{operationOf(s.Text), s.Failed}), s.Took.Seconds(), exemplarOf(ctx))
}

// operationOf returns what a statement does: db.operation.name.
func operationOf(text string) string {
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "COPY", "SAVEPOINT", "ROLLBACK", "RELEASE":
		return word
	case "WITH": // of all of Roster's, the last part does what the statement is about
		for _, operation := range []string{"INSERT", "UPDATE", "DELETE"} {
			if strings.Contains(rest, operation+" ") {
				return operation
			}
		}
		return "SELECT"
	}
	return otherValue
}
