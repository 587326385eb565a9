package servers

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Isolate drops all packets to and from the server, as a cut network does: nobody is told, and nobody can connect. Its replicas
// lose it too. Rejoin ends this. Isolate needs Linux, the program nft, and the rights of root.
func (s *Server) Isolate(ctx context.Context) error {
	s.rejoin = func() error { return nft(context.WithoutCancel(ctx), "delete table inet "+s.table()) }
	return nft(ctx, fmt.Sprintf("table inet %s { chain input { type filter hook input priority 0; tcp dport %[2]d drop; tcp sport %[2]d drop; }; }",
		s.table(), s.port))
}

// Rejoin lets packets through again. It does nothing to a server that is not isolated.
func (s *Server) Rejoin() error {
	if s.rejoin == nil {
		return nil
	}
	rejoin := s.rejoin
	s.rejoin = nil
	return rejoin()
}

// table is the name of the server's table of nftables.
func (s *Server) table() string { return fmt.Sprintf("roster_test_%d", s.port) }

// nft changes the rules of the kernel's packet filter.
func nft(ctx context.Context, commands string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft, which needs root and the package nftables: %w: %s", err, out)
	}
	return nil
}
