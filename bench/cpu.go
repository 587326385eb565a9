package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
)

// unknown is the CPU time of a process that cannot be watched: not on Linux, or in another container.
const unknown time.Duration = -1

// processTime returns the CPU time of the threads of a process. Ended threads do not count. The threads of servers live as long as
// their connections, and so through a measurement.
func processTime(pid int) time.Duration {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return unknown
	}
	var total time.Duration
	for _, path := range threads {
		content, err := os.ReadFile(path) //nolint:gosec // a file of the kernel
		if err != nil {
			continue // the thread has just ended
		}
		field, _, _ := strings.Cut(string(content), " ")
		nanoseconds, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return unknown
		}
		total += time.Duration(nanoseconds)
	}
	return total
}

// familyTime returns the CPU time of a process and its children, also of those that have ended.
func familyTime(pid int) time.Duration {
	total, ended := processTime(pid), endedTime(pid)
	if total == unknown || ended == unknown {
		return unknown
	}
	total += ended
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return unknown
	}
	for _, path := range stats {
		if child, parent := relation(path); parent == pid {
			if t := processTime(child); t != unknown {
				total += t
			}
		}
	}
	return total
}

// tick is the unit of times in /proc/PID/stat on Linux, for all architectures of Go.
const tick = 10 * time.Millisecond

// endedTime returns the CPU time of the children of a process that have ended, in ticks.
func endedTime(pid int) time.Duration {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return unknown
	}
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	user, err1 := strconv.ParseInt(string(fields[13]), 10, 64) // cutime
	system, err2 := strconv.ParseInt(string(fields[14]), 10, 64)
	if err1 != nil || err2 != nil {
		return unknown
	}
	return time.Duration(user+system) * tick
}

// relation reads /proc/PID/stat: the process and its parent; zeros when it has ended.
func relation(path string) (pid, parent int) {
	content, err := os.ReadFile(path) //nolint:gosec // a file of the kernel
	if err != nil {
		return 0, 0
	}
	// PID (NAME) STATE PARENT …: the name may contain anything.
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	pid, err1 := strconv.Atoi(filepath.Base(filepath.Dir(path)))
	parent, err2 := strconv.Atoi(string(fields[1]))
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return pid, parent
}

// serverProcess returns the process of the database server, which is the parent of its other processes. It is 0 for SQLite, and
// when it is unknown.
func (st *store) serverProcess(ctx context.Context) (int, error) {
	switch st.Dialect() {
	case dialect.Postgres:
		backend, err := st.text(ctx, "SELECT pg_backend_pid()")
		if err != nil {
			return 0, err
		}
		if name, _ := os.ReadFile(filepath.Join("/proc", backend, "comm")); !strings.HasPrefix(string(name), "postgres") { //nolint:gosec // a file of the kernel
			return 0, nil // the server runs elsewhere
		}
		_, postmaster := relation(filepath.Join("/proc", backend, "stat"))
		return postmaster, nil
	case dialect.MySQL:
		path, err := st.text(ctx, "SELECT @@pid_file")
		if err != nil {
			return 0, err
		}
		content, err := os.ReadFile(path) //nolint:gosec // where the server says
		if err != nil {
			return 0, nil //nolint:nilerr // the server runs elsewhere, or as someone else
		}
		return strconv.Atoi(strings.TrimSpace(string(content)))
	default:
		return 0, nil
	}
}

// text reads the value of a query.
func (st *store) text(ctx context.Context, query string) (value string, err error) {
	err = database.Each(ctx, st.Session(database.Single), query, nil, func(r *entsql.Rows) error { return r.Scan(&value) })
	return value, err
}
