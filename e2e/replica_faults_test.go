package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"

	"roster/internal/consistency"
	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// TestFormerPrimary promotes a replica while a server keeps its connections to the former primary, which nobody stops, and which has
// a replica of its own. A client that has written on the new primary, through another server, reads that through the first one.
func TestFormerPrimary(t *testing.T) {
	t.Parallel()
	binary := build(t)
	eachPair(t, func(t *testing.T, p pair) {
		p.create(t)
		first, other := p.failOver(t, binary, p.second(t), "1h")
		token := other.rename(t, "third@example.com")
		first.email(t, "with the token of the new primary", "third@example.com", tokenHeader, token)
		// The replica of the former primary is fresh enough for others.
		first.email(t, "without a token", "second@example.com")
		other.stop(t, syscall.SIGTERM)
		first.stop(t, syscall.SIGTERM)
	})
}

// TestPromotedReplica is like TestFormerPrimary, but the server knows the promoted replica. So it finds out without a token.
func TestPromotedReplica(t *testing.T) {
	t.Parallel()
	binary := build(t)
	eachPair(t, func(t *testing.T, p pair) {
		p.create(t)
		first, other := p.failOver(t, binary, p.replica, "1h")
		first.leavesOut(t, p.replica, "roster", "takes_changes", "it takes changes itself")
		other.rename(t, "third@example.com")
		first.reads(t, "third@example.com")
		other.stop(t, syscall.SIGTERM)
		first.stop(t, syscall.SIGTERM)
	})
}

// TestReadOnlyPrimary is like TestFormerPrimary, but the former primary takes no changes. So its replica does not count as fresh.
func TestReadOnlyPrimary(t *testing.T) {
	t.Parallel()
	binary := build(t)
	p := mariadbPair(t)
	p.create(t)
	first, other := p.failOver(t, binary, p.second(t), "2s", "SET GLOBAL read_only = 1")
	beyond, err := consistency.Parse(other.rename(t, "third@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	first.reads(t, "third@example.com")
	// While no server takes changes, nobody knows whether a position exists.
	beyond.Number += 1 << 40
	p.execute(t, p.replica, "SET GLOBAL read_only = 1")
	if _, data, code, _ := first.asks(t, adasEmail, tokenHeader, beyond.String()); code != "UNAVAILABLE" {
		t.Errorf("without a primary: got %s and %s, want UNAVAILABLE", data, code)
	}
	p.execute(t, p.replica, "SET GLOBAL read_only = 0")
	first.email(t, "with a primary", "third@example.com", tokenHeader, beyond.String())
	other.stop(t, syscall.SIGTERM)
	first.stop(t, syscall.SIGTERM)
}

const adasEmail = `{ user(by: { username: "ada" }) { email } }`

// reads waits until a query without a token finds an email address of ada.
func (r *replicated) reads(t *testing.T, email string) {
	t.Helper()
	r.wants(t, "a query finds "+email, func() bool {
		_, data, _, _ := r.asks(t, adasEmail)
		return strings.Contains(data, `"`+email+`"`)
	})
}

// failOver promotes the replica of the pair after statements on the primary. The first server reads from a replica, has open
// connections to the former primary, and new ones lead to the new one. The other server begins later.
func (p pair) failOver(t *testing.T, binary string, replica *servers.Server, staleness string, statements ...string) (first, other *replicated) {
	t.Helper()
	behind, proxy := dbtest.ProxyURL(t, databaseOn(t, p.primary))
	first = serveReplicated(t, binary, behind, []string{databaseOn(t, replica)}, "--replica-max-staleness="+staleness)
	first.wants(t, "the replica is used", func() bool { return first.uses(t, replica, "roster") })
	first.rename(t, "second@example.com")
	first.reads(t, "second@example.com")
	p.execute(t, p.primary, statements...)
	if err := p.promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Redirect(p.replica.Addr())
	return first, pair{primary: p.replica, replica: p.primary}.serve(t, binary)
}

// TestUnfitReplicas names servers that are no replicas for this server. Each is left out with its reason, in the log and in the
// metrics, and the primary answers.
func TestUnfitReplicas(t *testing.T) {
	t.Parallel()
	binary := build(t)
	eachPair(t, func(t *testing.T, p pair) {
		p.create(t)
		p.execute(t, p.primary, strings.Replace(p.statement(), "roster", "other", 1))
		other := func(s *servers.Server) string { return namedOn(t, s, "other") }
		for _, args := range [][]string{{databaseOn(t, p.primary), "up"}, {databaseOn(t, p.primary), "down"}, {other(p.primary), "up"}} {
			if code, _, stderr := command(t, binary, args[0], "migrate", args[1]); code != 0 {
				t.Fatal(stderr)
			}
		}
		wrong := databaseOn(t, p.replica)
		u, err := url.Parse(wrong)
		if err != nil {
			t.Fatal("a URL is malformed")
		}
		u.User = url.UserPassword(u.User.Username(), "wrong")
		others := serveReplicated(t, binary, other(p.primary), []string{other(p.replica), u.String(), other(p.primary)}, "--replica-max-staleness=1h")
		others.wants(t, "the replica is used", func() bool { return others.uses(t, p.replica, "other") })
		others.leavesOut(t, p.replica, "roster", "refused", "the server refuses the user or the password")
		others.leavesOut(t, p.primary, "other", "takes_changes", "it takes changes itself: it is the primary, or was promoted")
		if strings.Contains(others.Log.String(), "wrong") {
			t.Errorf("the log has a password:\n%s", others.Log)
		}
		others.rename(t, "second@example.com")
		others.stop(t, syscall.SIGTERM)

		p.execute(t, p.replica, p.hold)
		r := serveReplicated(t, binary, databaseOn(t, p.primary), []string{databaseOn(t, p.replica), other(p.replica)}, "--replica-max-staleness=1h")
		r.leavesOut(t, p.replica, "roster", "no_migration", "it does not have the newest migration: it is at version 20")
		r.leavesOut(t, p.replica, "other", "other_database", "it has the data of another database")
		r.email(t, "without a replica", "second@example.com", tokenHeader, r.rename(t, "second@example.com"))
		r.email(t, "without a replica and a token", "second@example.com")
		if got := r.get(t, "/readyz"); got != `{"status":"ready"}` {
			t.Errorf("readyz: got %s, want ready", got)
		}
		p.execute(t, p.replica, p.goOn)
		r.wants(t, "the replica with the migration is used", func() bool { return r.uses(t, p.replica, "roster") })
		if got := r.metric(t, outMetric(p.replica, "roster", "no_migration")); got != 0 {
			t.Errorf("the replica with the migration: got %v, want no reason to leave it out", got)
		}
		r.stop(t, syscall.SIGTERM)
	})
}

// TestAllReplicasDown kills two replicas, one after the other: no client gets an error.
func TestAllReplicasDown(t *testing.T) {
	t.Parallel()
	binary := build(t)
	eachPair(t, func(t *testing.T, p pair) {
		p.create(t)
		second := p.second(t)
		r := serveReplicated(t, binary, databaseOn(t, p.primary), []string{databaseOn(t, p.replica), databaseOn(t, second)})
		r.wants(t, "both replicas are used", func() bool { return r.uses(t, p.replica, "roster") && r.uses(t, second, "roster") })
		token := r.rename(t, "second@example.com")
		for _, s := range []*servers.Server{p.replica, second} {
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			r.wants(t, "the killed replica is left out", func() bool {
				r.email(t, "while replicas are down", "second@example.com", tokenHeader, token)
				r.answered(t, token)
				return r.leftOut(t, s, "roster", "unreachable", "")
			})
		}
		const primary, stale = `roster_reads_total{server="primary"}`, `roster_replica_fallbacks_total{reason="stale"}`
		reads, fallbacks := r.metric(t, primary), r.metric(t, stale)
		r.email(t, "while all replicas are down", "second@example.com")
		if got := []float64{r.metric(t, primary) - reads, r.metric(t, stale) - fallbacks}; got[0] != 2 || got[1] != 2 {
			t.Errorf("got %v reads of the primary, and fallbacks, want 2 of each", got)
		}
		if err := second.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wants(t, "a replica is used after its start", func() bool { return r.uses(t, second, "roster") })
		r.stop(t, syscall.SIGTERM)
	})
}

// TestReplicaSnapshot reads from the replica while it applies changes: all that a query returns is of one moment. Each mutation
// writes a post and, into the email address of its author, the number of posts.
func TestReplicaSnapshot(t *testing.T) {
	t.Parallel()
	binary := build(t)
	eachPair(t, func(t *testing.T, p pair) {
		p.create(t)
		r := p.serve(t, binary, "--replica-max-staleness=1h")
		r.wants(t, "the replica is used", func() bool { return r.uses(t, p.replica, "roster") })
		r.write(t, 1)
		r.wants(t, "the replica has the first post", func() bool { n, ok := r.moment(t); return ok && n == 1 })
		const onPrimary = `roster_reads_total{server="primary"}`
		before := r.metric(t, onPrimary)
		const last = 60
		var writing sync.WaitGroup
		writing.Go(func() {
			for n := 2; n <= last; n++ {
				r.write(t, n)
			}
		})
		moments, earlier := map[int]bool{}, 0
		r.wants(t, "the replica has the last post", func() bool {
			n, ok := r.moment(t)
			if ok && n < earlier {
				t.Errorf("got the moment %d after %d from one replica", n, earlier)
			}
			moments[n], earlier = true, n
			return n == last || t.Failed()
		})
		writing.Wait()
		if len(moments) < 5 {
			t.Errorf("got the moments %v, want several", moments)
		}
		if after := r.metric(t, onPrimary); after != before {
			t.Errorf("the primary has answered %v queries, want none", after-before)
		}
		r.stop(t, syscall.SIGTERM)
	})
}

// write writes the nth post of ada, and that there are n.
func (r *replicated) write(t *testing.T, n int) {
	t.Helper()
	mutation := `mutation {
		updateUser(input: { id: %[1]q, email: "%[2]d@example.com" }) { user { id } }
		createPost(input: { authorId: %[1]q, title: "%[2]d", body: "" }) { post { id } }
	}`
	if n == 1 {
		r.ada(t)
	}
	if _, data, code, _ := r.asks(t, fmt.Sprintf(mutation, r.ada(t), n)); code != "" {
		t.Errorf("post %d: got %s and %s, want data", n, code, data)
	}
}

// moment reads the number of posts in several ways, by the prepared statements of the query and by resolvers in turn. It reports
// whether there are posts.
func (r *replicated) moment(t *testing.T) (n int, ok bool) {
	t.Helper()
	const query = `{
		user(by: { username: "ada" }) { email posts(last: 1) { totalCount nodes { title author { email } } } }
		users { totalCount nodes { email posts { totalCount } } }
		posts(last: 2) { totalCount nodes { author { email posts { totalCount } } } }
		again: user(by: { username: "ada" }) { email }
	}`
	type count struct{ TotalCount int }
	type author struct {
		Email string
		Posts count
	}
	for _, headers := range [][]string{nil, {"X-Roster-Profile", "1"}} {
		var got struct {
			User *struct {
				Email string
				Posts struct {
					count
					Nodes []struct {
						Title  string
						Author author
					}
				}
			}
			Users struct {
				count
				Nodes []author
			}
			Posts struct {
				count
				Nodes []struct{ Author author }
			}
			Again *author
		}
		_, data, code, _ := r.asks(t, query, headers...)
		if err := json.Unmarshal([]byte(data), &got); err != nil || code != "" {
			t.Fatalf("got %v, %s and %s, want data", err, code, data)
		}
		if got.User == nil || got.Posts.TotalCount == 0 {
			return 0, false
		}
		n = got.Posts.TotalCount
		email := fmt.Sprintf("%d@example.com", n)
		same := got.User.Email == email && got.User.Posts.TotalCount == n && got.Users.TotalCount == 1 && got.Again.Email == email &&
			got.User.Posts.Nodes[0].Title == fmt.Sprint(n) && got.User.Posts.Nodes[0].Author.Email == email &&
			got.Users.Nodes[0].Email == email && got.Users.Nodes[0].Posts.TotalCount == n
		for _, node := range got.Posts.Nodes {
			same = same && node.Author.Email == email && node.Author.Posts.TotalCount == n
		}
		if !same {
			t.Errorf("%v: got more than one moment: %s", headers, data)
		}
	}
	return n, true
}
