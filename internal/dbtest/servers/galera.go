package servers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Galera is a running MariaDB cluster, whose nodes all write.
type Galera struct {
	// Nodes are its servers. Each has a copy of the data.
	Nodes []*Server
}

// FindGalera returns a *MissingError if MariaDB, its Galera library or rsync is not installed.
func FindGalera() error {
	_, _, err := findGalera()
	return err
}

func findGalera() (programs mariadbPrograms, library string, err error) {
	programs, err = findMariaDB()
	if err != nil {
		return programs, "", err
	}
	if _, ok := find(nil, "rsync"); !ok { // copies the data to a new node
		return programs, "", &MissingError{Software: "rsync", Program: "rsync"}
	}
	for _, dir := range []string{"/usr/lib/galera", "/usr/lib64/galera-4", "/usr/lib64/galera"} {
		library = filepath.Join(dir, "libgalera_smm.so")
		if info, err := os.Stat(library); err == nil && info.Mode().IsRegular() {
			return programs, library, nil
		}
	}
	return programs, "", &MissingError{Software: "Galera", Program: "libgalera_smm.so"}
}

// StartGalera runs a MariaDB cluster with additional settings of each node, each as --name=value. It returns a
// *MissingError if something is not installed. A node that was ended joins again by Start.
func StartGalera(ctx context.Context, size int, settings ...string) (_ *Galera, err error) {
	programs, library, err := findGalera()
	if err != nil {
		return nil, err
	}
	c := &galeraCluster{programs: programs, library: library, name: rand.Text(), settings: settings}
	for range size {
		ports, err := freePorts(ctx, 3)
		if err != nil {
			return nil, err
		}
		c.ports = append(c.ports, galeraPorts{ports[0], ports[1], ports[2]})
	}
	g := &Galera{}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Stop())
		}
	}()
	password := ""
	for i := range size { // one after the other: a node that sends its data serves nobody else
		node := &galeraNode{galeraCluster: c, i: i, founds: i == 0, password: password}
		server, err := node.software().start(ctx)
		if err != nil {
			return nil, err
		}
		node.founds, password = false, server.site.password
		g.Nodes = append(g.Nodes, server)
	}
	return g, nil
}

// Stop ends all nodes and removes their data.
func (g *Galera) Stop() (err error) {
	for _, n := range g.Nodes {
		err = errors.Join(err, n.Stop())
	}
	return err
}

// galeraPorts are the ports of a node for the other nodes: for the group, for missing changes, and for copies of the data.
type galeraPorts struct{ group, changes, copies int }

// galeraCluster has what all nodes share.
type galeraCluster struct {
	programs mariadbPrograms
	library  string
	name     string // at most 32 bytes
	settings []string
	ports    []galeraPorts
}

// members returns the address of the cluster, which names all nodes.
func (c *galeraCluster) members() string {
	var hosts []string
	for _, p := range c.ports {
		hosts = append(hosts, loopback(p.group))
	}
	return "gcomm://" + strings.Join(hosts, ",")
}

// galeraNode is a node before it runs.
type galeraNode struct {
	*galeraCluster
	i        int
	founds   bool   // it begins the cluster; other nodes join it
	password string // of the cluster, empty for the first node
}

func (n *galeraNode) software() software {
	sw := mariadb(n.programs, n.password, n.serve)
	sw.name = "galera"
	if !n.founds { // its data are those of the cluster
		sw.prepare = func(s *site) (program, error) {
			return program{"/bin/mkdir", []string{s.path("data")}}, nil
		}
	}
	sw.ready = galeraReady
	return sw
}

// serve returns the settings of a node. Its limits are short, so that tests do not wait long for the others to notice its end.
func (n *galeraNode) serve(s *site) []string {
	p := n.ports[n.i]
	settings := []string{
		"--binlog-format=ROW", "--default-storage-engine=InnoDB", "--innodb-autoinc-lock-mode=2",
		"--wsrep-on=ON", "--wsrep-provider=" + n.library, "--wsrep-cluster-name=" + n.name, "--wsrep-node-name=node" + strconv.Itoa(n.i+1),
		"--wsrep-cluster-address=" + n.members(), "--wsrep-node-address=" + loopback(p.group),
		"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=" + loopback(p.copies),
		"--wsrep-provider-options=gmcast.listen_addr=tcp://" + loopback(p.group) + ";ist.recv_addr=" + loopback(p.changes) +
			";gcache.size=64M;evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT5S;pc.recovery=FALSE",
	}
	if n.founds {
		settings = append(settings, "--init-file="+s.path("init.sql"), "--wsrep-new-cluster")
	}
	return append(settings, n.settings...)
}

// galeraReady returns an error while a node does not take part in its cluster.
func galeraReady(ctx context.Context, db *sql.DB) error {
	var name, state string
	if err := db.QueryRowContext(ctx, "SHOW STATUS LIKE 'wsrep_local_state_comment'").Scan(&name, &state); err != nil {
		return err
	}
	if state != "Synced" {
		return fmt.Errorf("the node is %s", state)
	}
	return db.QueryRowContext(ctx, "SELECT 1").Scan(new(int))
}
