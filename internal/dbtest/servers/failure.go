package servers

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"roster/internal/dbtest/process"
)

// Kill ends the server and its processes at once by SIGKILL, as a power failure does. Its clients are told by the
// operating system. Start runs the server again with what it has written to files.
func (s *Server) Kill() error {
	// A stopped server starts no process that would be missed.
	if err := s.Pause(); err != nil {
		return err
	}
	tree, err := s.process.Tree()
	if err != nil {
		return err
	}
	s.paused = false
	if err := s.signal(append(tree, s.process.ID()), syscall.SIGKILL); err != nil {
		return err
	}
	<-s.process.Done()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for deadline := time.Now().Add(stopLimit); len(tree) > 0; {
		if process.Ended(tree[0]) {
			tree = tree[1:]
			continue
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: the process %d did not end within %s of its kill", s.site.name, tree[0], stopLimit)
		}
		<-ticker.C
	}
	return nil
}

// Start runs the server again at the same address, after Kill or End.
func (s *Server) Start(ctx context.Context) error { return s.again(ctx) }

// End ends the server in order, and keeps its data for Start.
func (s *Server) End() error { return s.end() }

// Pause stops the server and its processes by SIGSTOP. The operating system still accepts connections and data, but
// nobody answers.
func (s *Server) Pause() error {
	s.paused = true
	if err := s.signal([]int{s.process.ID()}, syscall.SIGSTOP); err != nil {
		return err
	}
	tree, err := s.process.Tree()
	if err != nil {
		return err
	}
	return s.signal(tree, syscall.SIGSTOP)
}

// Resume lets a paused server go on. It does nothing to another one.
func (s *Server) Resume() error {
	if !s.paused {
		return nil
	}
	tree, err := s.process.Tree()
	if err != nil {
		return err
	}
	s.paused = false
	return s.signal(append(tree, s.process.ID()), syscall.SIGCONT)
}

// signal sends a signal to processes. It is no error if one has ended.
func (s *Server) signal(pids []int, signal syscall.Signal) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%s: %v to the process %d: %w", s.site.name, signal, pid, err)
		}
	}
	return nil
}
