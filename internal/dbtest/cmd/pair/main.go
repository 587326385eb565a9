// Command pair runs a PostgreSQL primary with a replica, for tests in other languages. It prints the URL of the database roster
// on each of them, in a line. Then it reads lines, and answers each one with done:
//
//	hold     wait until the replica has everything that the primary has, and stop it there
//	release  let the replica go on
//
// It ends the servers at the end of its input.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"roster/internal/dbtest/servers"
)

// holdLimit bounds the wait for the replica.
const holdLimit = time.Minute

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "pair: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdin io.Reader, stdout io.Writer) (err error) {
	primary, err := servers.StartPostgresPrimary(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, primary.Stop()) }()
	if err := primary.Execute(ctx, "CREATE DATABASE roster TEMPLATE template0"); err != nil {
		return err
	}
	replica, err := servers.StartPostgresStandby(ctx, primary, "replica")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, replica.Stop()) }()
	for _, s := range []*servers.Server{primary, replica} {
		address, err := servers.Hosts("roster", s)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(stdout, address); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "hold":
			err = hold(ctx, primary, replica)
		case "release":
			err = replica.Execute(ctx, "SELECT pg_wal_replay_resume()")
		default:
			err = fmt.Errorf("the line %q is none of hold and release", lines.Text())
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(stdout, "done"); err != nil {
			return err
		}
	}
	return lines.Err()
}

// hold stops the replica where it has everything that the primary has now.
func hold(ctx context.Context, primary, replica *servers.Server) (err error) {
	ctx, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	from, err := servers.Open(primary.URL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := servers.Open(replica.URL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	var end string
	if err := from.QueryRowContext(ctx, "SELECT pg_current_wal_flush_lsn()").Scan(&end); err != nil {
		return err
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for reached := false; !reached; <-ticker.C {
		if err := to.QueryRowContext(ctx, "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", end).Scan(&reached); err != nil {
			return err
		}
	}
	_, err = to.ExecContext(ctx, "SELECT pg_wal_replay_pause()")
	return err
}
