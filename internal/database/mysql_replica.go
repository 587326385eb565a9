package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"roster/internal/consistency"
)

// mariadbReplication is replication by GTIDs, as MariaDB has it. A position is the last GTID of the domain in which the primary
// writes.
type mariadbReplication struct{}

func (*mysqlEngine) replication() replication { return mariadbReplication{} }

// kind implements replication: each transaction has a number. Servers commit fewer than 200,000 in a second.
func (mariadbReplication) kind() (consistency.Log, uint64) { return consistency.GTID, 200_000 }

func (mariadbReplication) check(ctx context.Context, q querier) error {
	var version string
	if err := q.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return err
	}
	if !strings.Contains(version, "MariaDB") {
		return &ReplicaError{"the database is MySQL, whose replicas Roster does not know: only those of PostgreSQL and MariaDB"}
	}
	var logs bool
	if err := q.QueryRowContext(ctx, "SELECT @@global.log_bin").Scan(&logs); err != nil {
		return err
	}
	if !logs {
		return errors.New("the primary writes no binary log, from which replicas read: set log_bin on the server")
	}
	return nil
}

// lastOf returns the last GTID of a domain in a list. With an empty list, nothing is in the log, and the number is 0. Otherwise the
// domain must be there: changes of another domain would seem to be on each replica.
func lastOf(current string, domain, server uint32) (gtid, error) {
	list, err := parseGTIDs(current)
	if err != nil || len(list) == 0 {
		return gtid{domain: domain, server: server}, err
	}
	for _, g := range list {
		if g.domain == domain {
			return g, nil
		}
	}
	return gtid{}, fmt.Errorf("the primary has written nothing with its gtid_domain_id %d: its log has %s", domain, current)
}

// look implements replication.
func (mariadbReplication) look(ctx context.Context, q querier) (standing, error) {
	const query = "SELECT @@global.gtid_current_pos, @@global.gtid_binlog_state, @@global.server_id, @@global.gtid_domain_id, " +
		"@@session.gtid_domain_id, @@global.read_only NOT IN ('0', 'OFF')" // a number, or a word
	var logged string
	var s mariadbStanding
	if err := q.QueryRowContext(ctx, query).Scan(&s.text, &logged, &s.own, &s.domain, &s.session, &s.readOnly); err != nil {
		return nil, err
	}
	var err error
	if s.current, err = parseGTIDs(s.text); err != nil {
		return nil, err
	}
	s.logged, err = parseGTIDs(logged)
	return s, err
}

// refuses implements replication.
func (mariadbReplication) refuses(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && slices.Contains([]uint16{myAccessDenied, myNoPassword, myNoDatabase, myDatabaseDenied, myNotFromHere}, e.Number)
}

// mariadbStanding has the last GTID of each domain, and the last logged GTID of each domain and server.
type mariadbStanding struct {
	current, logged []gtid
	text            string // of current
	own             uint32 // the number of the server
	domain, session uint32 // in which the server writes, and in which this connection does
	readOnly        bool
}

func (s mariadbStanding) takesChanges() bool { return !s.readOnly }

// replays implements standing. A server that was promoted replays as long as it has written nothing.
func (s mariadbStanding) replays() bool {
	return !slices.ContainsFunc(s.current, func(g gtid) bool { return g.server == s.own })
}

// decides implements standing: a server gives its own numbers. They have no order with those of another one.
func (s mariadbStanding) decides(to consistency.Position) bool {
	return !to.IsAhead() && to.Server == s.own
}

func (s mariadbStanding) server() serverID { return serverID{number: s.own, changes: !s.readOnly} }

func (s mariadbStanding) end(d consistency.Database) (consistency.Position, error) {
	if s.domain != s.session {
		return consistency.Position{}, fmt.Errorf("gtid_domain_id is now %d, and a connection still writes in %d: restart Roster", s.domain, s.session)
	}
	last, err := lastOf(s.text, s.domain, s.own)
	if err != nil {
		return consistency.Position{}, err
	}
	return consistency.Position{Database: d, Log: consistency.GTID, Branch: last.domain, Number: last.number, Server: last.server}, nil
}

// compatible implements standing. After a failover to a server with another domain, later changes would not have greater positions.
func (s mariadbStanding) compatible(end consistency.Position) error {
	if s.domain == end.Branch {
		return nil
	}
	return fmt.Errorf("its gtid_domain_id is %d, and that of the primary is %d: give all servers the same one", s.domain, end.Branch)
}

// reached compares GTIDs of one server alone: after a failover, the old primary may have written transactions that are lost, and
// their numbers may be greater than those of the new primary. If the replica follows another server by now, it has what it has
// logged of the first one. The log alone proves nothing, because a transaction is logged just before its commit.
func (s mariadbStanding) reached(to consistency.Position) bool {
	if to.Log != consistency.GTID || to.IsAhead() {
		return false
	}
	for _, at := range s.current {
		switch {
		case at.domain != to.Branch || at.number < to.Number:
		case at.server == to.Server, slices.ContainsFunc(s.logged, func(g gtid) bool {
			return g.domain == to.Branch && g.server == to.Server && g.number >= to.Number
		}):
			return true
		}
	}
	return to.Number == 0
}

// gtid is a global transaction ID of MariaDB.
type gtid struct {
	domain, server uint32
	number         uint64
}

// parseGTIDs reads a list such as 0-1-100,1-1-7.
func parseGTIDs(text string) (list []gtid, err error) {
	if text == "" {
		return nil, nil
	}
	for one := range strings.SplitSeq(text, ",") {
		parts := strings.Split(strings.TrimSpace(one), "-")
		if len(parts) != 3 {
			return nil, fmt.Errorf("database: %q is no list of GTIDs", text)
		}
		domain, err1 := strconv.ParseUint(parts[0], 10, 32)
		server, err2 := strconv.ParseUint(parts[1], 10, 32)
		number, err3 := strconv.ParseUint(parts[2], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("database: %q is no list of GTIDs: %w", text, err)
		}
		list = append(list, gtid{uint32(domain), uint32(server), number})
	}
	return list, nil
}
