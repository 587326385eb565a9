package servers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// isolation is the file in the directory of an isolated server that has the name of its table of nftables. The guard of the directory
// deletes the table.
const isolation = "isolation"

// CheckIsolate returns an error that says what Isolate lacks on this machine.
func CheckIsolate() error {
	const table = "roster_test"
	return nft(creation(table, 0) + deletion(table))
}

// Isolate drops all packets to and from the server, as a cut network does: nobody is told, and nobody can connect. Its replicas
// lose it too. This ends with the server. Isolate needs Linux, the program nft, and the rights of root.
func (s *Server) Isolate() error {
	if _, err := s.site.write(isolation, s.table()); err != nil {
		return err
	}
	return nft(creation(s.table(), s.port))
}

// rejoin lets packets through again. It does nothing to a server that is not isolated.
func (s *Server) rejoin() error {
	path := s.site.path(isolation)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(nft(deletion(s.table())), os.Remove(path))
}

// table is the name of the server's table of nftables.
func (s *Server) table() string { return fmt.Sprintf("roster_test_%d", s.port) }

// creation returns the commands that create a table which drops all packets to and from a port.
func creation(table string, port int) string {
	return fmt.Sprintf("table inet %s { chain input { type filter hook input priority 0; tcp dport %[2]d drop; tcp sport %[2]d drop; }; }\n", table, port)
}

// deletion returns the commands that delete a table, if there is one.
func deletion(table string) string {
	return fmt.Sprintf("add table inet %[1]s\ndelete table inet %[1]s\n", table)
}

// nft changes the rules of the kernel's packet filter. It waits for nobody, so it needs no context.
func nft(commands string) error {
	path, err := exec.LookPath("nft")
	if err != nil {
		return fmt.Errorf("the package nftables is missing: %w", err)
	}
	cmd := &exec.Cmd{Path: path, Args: []string{path, "-f", "-"}, Stdin: strings.NewReader(commands)}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft, which needs root: %w: %s", err, out)
	}
	return nil
}
