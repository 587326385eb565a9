package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"roster/graph"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/metrics"
	operation "roster/internal/record"
	"roster/internal/server"
	"roster/internal/slowlog"
	"roster/internal/tracing"
)

// insight is what watches a server. What no setting asks for is nil, and costs nothing.
type insight struct {
	config  config.Insight
	metrics *metrics.Metrics
	tracer  *tracing.Tracer
	slow    *slowlog.Log
	close   func()
}

// insight starts what the settings ask for. memory is the limit of Go's memory, in bytes.
func (c *serveCommand) insight(ctx context.Context, e *environment, trusted map[string]string, memory int64, logger *slog.Logger) (*insight, error) {
	i := &insight{config: c.Insight, close: func() {}}
	var err error
	if i.tracer, err = newTracer(ctx, c.Insight, e, c.DatabaseURL, logger); err != nil {
		return nil, err
	}
	if c.AdminListen != "" {
		i.metrics = metrics.New(metrics.Options{
			Version: e.version, System: database.SystemName(c.DatabaseURL), Names: documents.Names(trusted), MemoryLimit: memory,
		})
	}
	var snapshots *slowlog.Snapshots
	if c.SlowTraces != "" {
		if snapshots, err = slowlog.NewSnapshots(c.SlowTraces, time.Now); err != nil {
			return nil, fmt.Errorf("--slow-traces: no file can be written into %s: %w", c.SlowTraces, reason(err))
		}
	}
	if c.SlowOperation > 0 || c.SlowStatement > 0 {
		i.slow = slowlog.New(slowlog.Options{Operation: c.SlowOperation, Statement: c.SlowStatement, Snapshots: snapshots, Logger: logger})
	}
	i.close = func() {
		if snapshots != nil {
			snapshots.Close()
		}
		if i.tracer != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
			defer cancel()
			i.tracer.Close(ctx)
		}
	}
	return i, nil
}

// database sets what is told of statements.
func (i *insight) database(o *database.Options) {
	var sent []func(context.Context, operation.Statement)
	if i.metrics != nil {
		sent = append(sent, i.metrics.Sent)
	}
	if i.config.SlowStatement > 0 {
		sent = append(sent, i.slow.Sent)
	}
	switch len(sent) {
	case 0:
	case 1:
		o.Sent = sent[0]
	default:
		o.Sent = func(ctx context.Context, s operation.Statement) {
			for _, tell := range sent {
				tell(ctx, s)
			}
		}
	}
	if i.tracer != nil && i.config.TraceSQLComments {
		o.Comment = i.tracer.Comment
	}
}

// graph returns what is told of operations, or nil.
func (i *insight) graph() graph.Observer {
	var all graph.Observers
	if i.tracer != nil {
		all = append(all, i.tracer)
	}
	if i.metrics != nil {
		all = append(all, i.metrics)
	}
	if i.config.SlowOperation > 0 {
		all = append(all, i.slow)
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// server returns what is told of requests and streams, or nil.
func (i *insight) server() server.Observer {
	if i.metrics == nil {
		return nil
	}
	return i.metrics
}

// watch adds the figures that are read when somebody asks for the metrics. ctx ends when the server stops.
func (i *insight) watch(ctx context.Context, db *database.DB, changes *graph.Feed) {
	if i.metrics == nil {
		return
	}
	i.metrics.Watch(metrics.Sources{
		Pools:       db.Pools,
		Replication: db.Replication,
		Feed:        changes.Stats,
		Draining:    func() bool { return ctx.Err() != nil },
		Ready:       db.Ready,
		Lag: func(ctx context.Context) (int, time.Duration, error) {
			return changes.Lag(ctx, time.Now())
		},
		Pending: func(ctx context.Context) (int, error) {
			schema, err := db.Schema(ctx)
			return schema.Pending, err
		},
		LastBackup: func(ctx context.Context) (time.Time, error) {
			at, recorded, err := db.LastBackup(ctx)
			if !recorded {
				return time.Time{}, err
			}
			return at, err
		},
	})
}
