package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"roster/internal/database"
	"roster/internal/feed"
)

// askTimeout is the maximum time for which a scrape waits for the database.
const askTimeout = 2 * time.Second

// Sources have the figures that are read when they are asked for. Each of them is required unless its comment says what nil
// means.
type Sources struct {
	// Pools, Replication and Feed ask nobody. Replication may be nil.
	Pools       func() []database.PoolStats
	Replication func() database.ReplicationStats
	Feed        func() feed.Stats
	// Draining reports whether the server is stopping.
	Draining func() bool
	// Ready, Lag and Pending ask the database. Ready returns nil if the server can execute all operations.
	Ready   func(ctx context.Context) error
	Lag     func(ctx context.Context) (changes int, age time.Duration, err error)
	Pending func(ctx context.Context) (migrations int, err error)
	// LastBackup returns the time of the last backup that was recorded. The zero time: none was.
	LastBackup func(ctx context.Context) (time.Time, error)
}

// Watch adds the figures of sources. It is called once.
func (m *Metrics) Watch(s Sources) { m.registry.MustRegister(newWatch(s)) }

// watch is the collector of sources.
type watch struct {
	Sources
	asking singleflight.Group // shares the answers of the database

	poolConnections, poolMax, poolPending, poolTimeouts, poolWaits, poolWaited *prometheus.Desc
	subscribers, slow, listening, lagChanges, lagAge                           *prometheus.Desc
	draining, ready, pending, backup                                           *prometheus.Desc
	reads, fallbacks, replicaUsed, replicaOut, replicaStaleness                *prometheus.Desc
}

var _ prometheus.Collector = (*watch)(nil)

func newWatch(s Sources) *watch {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	const pool, state = "db_client_connection_pool_name", "db_client_connection_state"
	return &watch{
		Sources:          s,
		poolConnections:  desc("db_client_connection_count", "Open connections, by their pool and by whether an operation uses them.", pool, state),
		poolMax:          desc("db_client_connection_max", "Maximum number of connections that operations use at the same time.", pool),
		poolPending:      desc("db_client_connection_pending_requests", "Operations that wait for a connection.", pool),
		poolTimeouts:     desc("db_client_connection_timeouts_total", "Operations that have got no connection in time.", pool),
		poolWaits:        desc("roster_pool_waits_total", "Operations that have waited for a connection.", pool),
		poolWaited:       desc("roster_pool_wait_seconds_total", "Time for which operations have waited for a connection.", pool),
		subscribers:      desc("roster_feed_subscribers", "Subscribers that follow the end of the change feed."),
		slow:             desc("roster_feed_slow_subscribers_total", "Subscribers that were ended because they were too slow."),
		listening:        desc("roster_feed_listening", "1 if the signals of other servers arrive, 0 if this server polls for changes."),
		lagChanges:       desc("roster_feed_lag_changes", "Committed changes that subscribers of this server cannot have got yet."),
		lagAge:           desc("roster_feed_lag_seconds", "Age of the oldest of these changes."),
		draining:         desc("roster_draining", "1 if the server is stopping."),
		ready:            desc("roster_ready", "1 if the server can execute all operations, as /readyz says."),
		pending:          desc("roster_migrations_pending", "Migrations of this program that are not applied."),
		reads:            desc("roster_reads_total", "Queries that a server of the database has answered, if there are replicas: the primary, or a replica by its address.", "server"),
		fallbacks:        desc("roster_replica_fallbacks_total", "Queries that went to the primary, by the reason.", "reason"),
		replicaUsed:      desc("roster_replica_used", "1 if queries go to the replica, 0 if it is left out.", "replica"),
		replicaOut:       desc("roster_replica_out", "1 for the reason for which the replica is left out, 0 for the others.", "replica", "reason"),
		replicaStaleness: desc("roster_replica_staleness_seconds", "Age from which every committed change is on the replica.", "replica"),
		backup:           desc("roster_last_backup_timestamp_seconds", "Time of the last backup, in seconds since 1970. 0: there was none."),
	}
}

// Describe implements prometheus.Collector.
func (w *watch) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		w.poolConnections, w.poolMax, w.poolPending, w.poolTimeouts, w.poolWaits, w.poolWaited, w.subscribers, w.slow, w.listening,
		w.lagChanges, w.lagAge, w.draining, w.ready, w.pending, w.backup, w.reads, w.fallbacks, w.replicaUsed, w.replicaOut,
		w.replicaStaleness,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector. If the database does not answer in time, the metrics that it would tell are missing,
// and the server is not ready.
func (w *watch) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	answers := w.ask()
	for _, p := range w.Pools() {
		gauge(w.poolConnections, float64(p.Idle), p.Name, "idle")
		gauge(w.poolConnections, float64(p.Used), p.Name, "used")
		gauge(w.poolMax, float64(p.Max), p.Name)
		gauge(w.poolPending, float64(p.Waiting), p.Name)
		counter(w.poolTimeouts, float64(p.Timeouts), p.Name)
		counter(w.poolWaits, float64(p.Waits), p.Name)
		counter(w.poolWaited, p.Waited.Seconds(), p.Name)
	}
	w.collectReplication(gauge, counter)
	f := w.Feed()
	gauge(w.subscribers, float64(f.Subscribers))
	counter(w.slow, float64(f.Slow))
	gauge(w.listening, number(f.Listening))
	draining := w.Draining()
	gauge(w.draining, number(draining))
	gauge(w.ready, number(answers.ready && !draining))
	if answers.lag {
		gauge(w.lagChanges, float64(answers.changes))
		gauge(w.lagAge, answers.age.Seconds())
	}
	if answers.versions {
		gauge(w.pending, float64(answers.migrations))
	}
	if answers.backups {
		seconds := 0.0
		if !answers.backup.IsZero() {
			seconds = float64(answers.backup.UnixMilli()) / 1e3
		}
		gauge(w.backup, seconds)
	}
}

// collectReplication collects the figures of the replicas, if there are any.
func (w *watch) collectReplication(gauge, counter func(d *prometheus.Desc, value float64, labels ...string)) {
	if w.Replication == nil {
		return
	}
	r := w.Replication()
	if len(r.Replicas) == 0 {
		return
	}
	counter(w.reads, float64(r.Primary), "primary")
	for reason, n := range r.Fallbacks {
		counter(w.fallbacks, float64(n), reason)
	}
	for _, one := range r.Replicas {
		counter(w.reads, float64(one.Reads), one.Name)
		gauge(w.replicaUsed, number(one.Reason == database.InUse), one.Name)
		for _, reason := range database.OutReasons() {
			gauge(w.replicaOut, number(one.Reason == reason), one.Name, reason.String())
		}
		if one.Known {
			gauge(w.replicaStaleness, one.Staleness.Seconds(), one.Name)
		}
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// answers are what the database says.
type answers struct {
	ready, lag, versions, backups bool // whether the fields below are known
	changes                       int
	age                           time.Duration
	migrations                    int
	backup                        time.Time
}

// ask asks the database. It waits no longer than askTimeout, also for a driver that does not notice that its time is up: then
// the answers are empty. Scrapes at the same time share the answers.
func (w *watch) ask() answers {
	asked := w.asking.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		var a answers
		var err error
		a.ready = w.Ready(ctx) == nil
		a.changes, a.age, err = w.Lag(ctx)
		a.lag = err == nil
		a.migrations, err = w.Pending(ctx)
		a.versions = err == nil
		a.backup, err = w.LastBackup(ctx)
		a.backups = err == nil
		return a, nil
	})
	late := time.NewTimer(askTimeout)
	defer late.Stop()
	select {
	case r := <-asked:
		return r.Val.(answers) //nolint:errcheck // it is what the function returns
	case <-late.C:
		return answers{}
	}
}
