//go:build cluster

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/dbtest/process"
	"roster/internal/dbtest/servers"
)

// patroniPackages are what TestPatroni needs on Debian and Ubuntu, beside PostgreSQL.
const patroniPackages = "patroni etcd-server python3-etcd"

// TestPatroni switches a cluster of Patroni over, and kills its leader, under load. Patroni decides who is the primary. Roster
// only knows the three hosts.
func TestPatroni(t *testing.T) {
	for _, name := range []string{"patroni", "patronictl", "etcd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is missing; on Debian or Ubuntu: sudo apt-get install -y --no-install-recommends %s", name, patroniPackages)
		}
	}
	binary := program.Build(t)
	c := newPatroni(t)
	address := c.address("roster", c.nodes...)
	roster := []*server{start(t, binary, address), start(t, binary, address)}
	l := newLoad(t, roster...)
	deadline := time.Now().Add(*length)
	for round := 0; round < 2 || time.Now().Before(deadline); round++ {
		l.busy()
		c.await("a synchronous standby", func() bool { return c.has("sync_standby") })
		old := c.leader()
		how := "a switchover"
		if round%2 == 0 {
			c.control("switchover", "roster", "--force")
		} else {
			how = "SIGKILL of the leader"
			old.kill()
		}
		c.await("another leader", func() bool { now := c.leader(); return now != nil && now != old })
		l.back(how, serviceLimit)
		if old.process == nil {
			old.start()
		}
	}
	l.finish()
	contiguous(t, c.address("roster", c.leader()))
	for _, p := range roster {
		p.stop(t)
	}
}

// patroni is a cluster of three nodes on etcd, in a temporary folder and on loopback ports.
type patroni struct {
	*testing.T
	dir     string
	account *user.User // nil: as this process
	etcd    string     // its address
	nodes   []*patroniNode
}

// patroniNode is a Patroni and its PostgreSQL server.
type patroniNode struct {
	*patroni
	name           string
	rest, postgres string // addresses
	process        *process.Process
}

const patroniPassword = "secret"

// endPatroni is the shell script that ends all PostgreSQL servers of the folder $0, and removes the folder. Patroni is not
// their parent.
const endPatroni = `for d in "$0"/node*/data; do
	if read -r pid <"$d/postmaster.pid"; then kill -QUIT "$pid"; fi
done 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" && exit; sleep 1; done; exit 1`

func newPatroni(t *testing.T) *patroni {
	t.Helper()
	c := &patroni{T: t}
	var err error
	if c.dir, err = os.MkdirTemp("", "roster-patroni-"); err != nil { //nolint:usetesting // other accounts cannot reach t.TempDir
		t.Fatal(err)
	}
	guard, err := process.NewGuard(t.Context(), endPatroni, c.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"etcd", "node0", "node1", "node2"} {
				text, _ := os.ReadFile(filepath.Join(c.dir, name+".log"))
				t.Logf("the log of %s:\n%s", name, text[max(0, len(text)-2000):])
			}
		}
		if err := guard.Release(); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		if c.account, err = user.Lookup("postgres"); err != nil {
			t.Fatal(err)
		}
		uid, gid, err := process.IDs(c.account)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(c.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	c.etcd = c.free()
	peers := "http://" + c.free()
	c.run("etcd", "etcd", "--data-dir="+filepath.Join(c.dir, "etcd"), "--listen-client-urls=http://"+c.etcd, "--advertise-client-urls=http://"+c.etcd,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=default="+peers)
	for i := range 3 {
		c.nodes = append(c.nodes, &patroniNode{patroni: c, name: fmt.Sprint("node", i), rest: c.free(), postgres: c.free()})
	}
	for i, n := range c.nodes {
		n.configure()
		n.start()
		if i == 0 {
			c.await("a leader", func() bool { return c.leader() != nil })
		}
	}
	c.await("three members", func() bool { return c.has("sync_standby") && c.has("replica") })
	execute(t, c.address("postgres", c.leader()), "CREATE DATABASE roster TEMPLATE template0 ENCODING 'UTF8'")
	return c
}

// address returns the URL of a database on nodes.
func (c *patroni) address(database string, nodes ...*patroniNode) string {
	var hosts []string
	for _, n := range nodes {
		hosts = append(hosts, n.postgres)
	}
	return "postgres://postgres:" + patroniPassword + "@" + strings.Join(hosts, ",") + "/" + database + "?sslmode=disable"
}

// free returns a free loopback address.
func (c *patroni) free() string {
	c.Helper()
	address, err := servers.FreeAddress(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	return address
}

// run starts a program with its output in a file. It is killed at the end of the test.
func (c *patroni) run(name, command string, args ...string) *process.Process {
	c.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.Fatal(err)
	}
	defer log.Close()
	p, err := process.Start(c.command(log, command, args...), process.Options{Account: c.account, Group: true, Orphaned: syscall.SIGKILL})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		if err := p.Signal(syscall.SIGKILL); err != nil {
			c.Error(err)
		}
		<-p.Done()
	})
	return p
}

func (c *patroni) command(out *os.File, command string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(c.Context()), command, args...)
	cmd.Dir = c.dir
	cmd.Env = append(slices.DeleteFunc(cmd.Environ(), func(variable string) bool {
		return !strings.HasPrefix(variable, "PATH=")
	}), "HOME="+c.dir, "LC_ALL=C.UTF-8", "TMPDIR="+c.dir)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd
}

// control runs patronictl.
func (c *patroni) control(args ...string) {
	c.Helper()
	cmd := c.command(nil, "patronictl", append([]string{"-c", filepath.Join(c.dir, "node0.yml")}, args...)...)
	cmd.Stdout, cmd.Stderr = nil, nil
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Fatalf("patronictl %v: %v\n%s", args, err, out)
	}
}

// configure writes the configuration of a node. The times are the shortest that Patroni takes. The bootstrap of the first node
// counts for all.
func (n *patroniNode) configure() {
	n.Helper()
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bin) == 0 {
		n.Fatalf("got no /usr/lib/postgresql/*/bin (%v), want the programs of PostgreSQL", err)
	}
	data := filepath.Join(n.dir, n.name)
	if err := os.Mkdir(data, 0o700); err != nil {
		n.Fatal(err)
	}
	text := fmt.Sprintf(`scope: roster
name: %[1]s
restapi: {listen: "%[2]s", connect_address: "%[2]s"}
etcd3: {hosts: "%[3]s"}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    maximum_lag_on_failover: 1048576
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {wal_keep_size: 256MB, max_connections: 100, shared_buffers: 32MB, wal_log_hints: "on"}
  initdb: [{encoding: UTF8}, {locale: C}, no-sync]
postgresql:
  listen: "%[4]s"
  connect_address: "%[4]s"
  data_dir: %[5]s/data
  bin_dir: %[6]s
  pgpass: %[5]s/pgpass
  authentication:
    superuser: {username: postgres, password: %[7]s}
    replication: {username: replicator, password: %[7]s}
    rewind: {username: rewind, password: %[7]s}
  pg_hba:
  - host all all 127.0.0.1/32 scram-sha-256
  - host replication all 127.0.0.1/32 scram-sha-256
  parameters: {unix_socket_directories: ""}
`, n.name, n.rest, n.etcd, n.postgres, data, bin[len(bin)-1], patroniPassword)
	file := filepath.Join(n.dir, n.name+".yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.Fatal(err)
	}
	if n.account == nil {
		return
	}
	uid, gid, err := process.IDs(n.account)
	if err != nil {
		n.Fatal(err)
	}
	for _, path := range []string{data, file} {
		if err := os.Chown(path, uid, gid); err != nil {
			n.Fatal(err)
		}
	}
}

func (n *patroniNode) start() {
	n.Helper()
	n.process = n.run(n.name, "patroni", filepath.Join(n.dir, n.name+".yml"))
}

// kill kills Patroni and its PostgreSQL server, as a power failure does.
func (n *patroniNode) kill() {
	n.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, n.name, "data", "postmaster.pid"))
	if err != nil {
		n.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		n.Fatal(err)
	}
	if err := n.process.Signal(syscall.SIGKILL); err != nil {
		n.Fatal(err)
	}
	<-n.process.Done()
	n.process = nil
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil { // its own processes see that and end
		n.Fatal(err)
	}
}

// await waits until a condition is true.
func (c *patroni) await(what string, condition func() bool) {
	c.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-ticker.C {
		if time.Now().After(deadline) || c.Failed() {
			c.Fatalf("got no %s within %s, want it", what, patience)
		}
	}
}

// leader returns the node whose server takes changes, or nil.
func (c *patroni) leader() *patroniNode {
	for _, n := range c.nodes {
		if n.process != nil && n.answers("/primary", nil) {
			return n
		}
	}
	return nil
}

// has reports whether a node runs with a role.
func (c *patroni) has(role string) bool {
	for _, n := range c.nodes {
		var cluster struct {
			Members []struct{ Name, Role, State string }
		}
		if n.process == nil || !n.answers("/cluster", &cluster) {
			continue
		}
		for _, m := range cluster.Members {
			if m.Role == role && (m.State == "running" || m.State == "streaming") {
				return true
			}
		}
		return false
	}
	return false
}

// answers asks the API of Patroni, and reports whether the answer is 200.
func (n *patroniNode) answers(path string, into any) bool {
	ctx, cancel := context.WithTimeout(n.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.rest+path, http.NoBody)
	if err != nil {
		n.Fatal(err)
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	if into != nil && json.NewDecoder(response.Body).Decode(into) != nil {
		return false
	}
	return response.StatusCode == http.StatusOK
}
