package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
)

// floorLimit is the greatest CPU time of the database for the floor, in that for pgbench. A floor above it wastes the time of
// the database, and is no floor.
const floorLimit = 1.15

// pgbench is PostgreSQL's own benchmark. It sends the SQL of the floor, and does nothing with the rows.
type pgbench struct {
	path, dir string
	scripts   map[string]string // by workload
}

// newPgbench writes the SQL of the floor, with values of the store.
func newPgbench(ctx context.Context, st *store, dir string) (*pgbench, error) {
	path, err := findPgbench()
	if err != nil {
		return nil, err
	}
	var first []string
	err = database.Each(ctx, st.Session(database.Single), "SELECT id FROM users ORDER BY id LIMIT 50", nil, func(rows *entsql.Rows) error {
		var id string
		err := rows.Scan(&id)
		first = append(first, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	_, after, err := st.ninetyPercent(ctx)
	if err != nil {
		return nil, err
	}
	const (
		user = "SELECT id, username, email, created_at FROM users"
		// A script has no text that differs each time, so the database makes the names: this costs it a little more.
		// The IDs come after all others, so that the first pages stay as they are.
		one = "INSERT INTO users (id, username, username_key, email, email_key, created_at, updated_at, version) " +
			"VALUES (('f' || lpad(:r::text, 31, '0'))::uuid, 'p' || :r::text, 'p' || :r::text, 'p' || :r::text || '@example.com', " +
			"'p' || :r::text || '@example.com', now(), now(), 1);\n"
		change = "INSERT INTO changes (type, node_id, kind, version, fields, at) " +
			"VALUES ('user', ('f' || lpad(:r::text, 31, '0'))::uuid, 'created', 1, '', :at::bigint);\n"
		many = "INSERT INTO users (id, username, username_key, email, email_key, created_at, updated_at, version) " +
			"SELECT ('f' || lpad(:r::text || i, 31, '0'))::uuid, 'p' || :r::text || i, 'p' || :r::text || i, 'p' || :r::text || i || '@example.com', " +
			"'p' || :r::text || i || '@example.com', now(), now(), 1 FROM generate_series(1000, 1999) i;\n"
		changes = "INSERT INTO changes (type, node_id, kind, version, fields, at) " +
			"SELECT 'user', ('f' || lpad(:r::text || i, 31, '0'))::uuid, 'created', 1, '', :at::bigint FROM generate_series(1000, 1999) i;\n"
		random = "\\set r random(1, 1000000000000000)\n"
	)
	ids := "'{" + strings.Join(first, ",") + "}'::uuid[]"
	return &pgbench{path: path, dir: dir, scripts: map[string]string{
		"W1": fmt.Sprintf("\\set i random(0, %d)\n", st.users-1) + user + " WHERE username_key = 'user' || lpad(:i::text, 6, '0');",
		"W2": user + " ORDER BY id LIMIT 100;",
		"W3": "SELECT id, username FROM users ORDER BY id LIMIT 50;\n" +
			"SELECT p.id, p.title, p.author_id FROM unnest(" + ids + ") WITH ORDINALITY k (id, n) CROSS JOIN LATERAL " +
			"(SELECT id, title, author_id FROM posts WHERE author_id = k.id ORDER BY id LIMIT 10) p ORDER BY k.n, p.id;\n" +
			"SELECT id, username FROM users WHERE id = ANY(" + ids + ");",
		"W4": random + "BEGIN;\n" + one + change + "COMMIT;",
		"W5": random + "BEGIN;\n" + many + changes + "COMMIT;",
		"W6": user + " WHERE id > '" + after.UUID().String() + "' ORDER BY id LIMIT 100;",
		"W7": "BEGIN;\n" + random + one + change + random + one + change + "COMMIT;",
	}}, nil
}

// findPgbench returns the path of pgbench, which Debian keeps beside the server.
func findPgbench() (string, error) {
	if path, err := exec.LookPath("pgbench"); err == nil {
		return path, nil
	}
	paths, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil || len(paths) == 0 {
		return "", errors.New("pgbench is not installed: it belongs to the PostgreSQL server")
	}
	slices.Sort(paths)
	return paths[len(paths)-1], nil
}

var transactionsPerSecond = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// run sends the SQL of a workload n times or a little more.
func (p *pgbench) run(ctx context.Context, b *bench, w workload, n int) (figures, error) {
	script := filepath.Join(p.dir, w.name+".sql")
	if err := os.WriteFile(script, []byte(p.scripts[w.name]+"\n"), 0o600); err != nil {
		return figures{}, err
	}
	each := (n + b.connections - 1) / b.connections
	before := familyTime(b.databaseServer)
	//nolint:gosec // the program of the server, and a script of this one
	out, err := exec.CommandContext(ctx, p.path, "--no-vacuum", "--protocol=prepared", "--client="+strconv.Itoa(b.connections),
		"--define=at="+strconv.FormatInt(time.Now().UnixMicro(), 10), "--transactions="+strconv.Itoa(each), "--file="+script, b.store.url).CombinedOutput()
	found := transactionsPerSecond.FindSubmatch(out)
	if err != nil || found == nil {
		return figures{}, fmt.Errorf("pgbench of %s: %w: %s", w.name, err, out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	return figures{perSecond: rate, server: unknown, database: share(before, familyTime(b.databaseServer), each*b.connections)}, err
}

// share returns the share of one of n requests in the time between two readings.
func share(before, after time.Duration, n int) time.Duration {
	if before == unknown || after == unknown {
		return unknown
	}
	return (after - before) / time.Duration(n)
}
