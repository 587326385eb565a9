package servers

import (
	"fmt"
	"os/exec"
	"strings"
)

// Isolate drops all packets to and from the server, as a cut network does: nobody is told, and nobody can connect. Its replicas
// lose it too. Rejoin ends this. Isolate needs Linux, the program nft, and the rights of root.
func (s *Server) Isolate() error {
	s.isolated = true
	return nft(fmt.Sprintf("table inet %s { chain input { type filter hook input priority 0; tcp dport %[2]d drop; tcp sport %[2]d drop; }; }",
		s.table(), s.port))
}

// Rejoin lets packets through again. It does nothing to a server that is not isolated.
func (s *Server) Rejoin() error {
	if !s.isolated {
		return nil
	}
	s.isolated = false
	return nft("delete table inet " + s.table())
}

// table is the name of the server's table of nftables.
func (s *Server) table() string { return fmt.Sprintf("roster_test_%d", s.port) }

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
