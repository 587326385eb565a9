package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"time"

	"roster/internal/dbtest/process"
)

// The times that a program has to start and to end.
const (
	startLimit = 5 * time.Minute
	stopLimit  = 30 * time.Second
)

// build builds the programs into dir.
func build(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir, "roster", "roster/bench/floor") //nolint:gosec // its own directory
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")                                                        //nolint:forbidigo // as make builds it, also where the race detector is on
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// A program is a server that runs.
type program struct {
	*process.Process
	address string
}

// start runs a program, and returns when it has printed its URL.
func start(cmd *exec.Cmd) (*program, error) {
	found := make(chan string, 1)
	cmd.Stdout = &addressFinder{found: found}
	p, err := process.Start(cmd, process.Options{Group: true, Orphaned: syscall.SIGKILL})
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case address := <-found:
		return &program{Process: p, address: address}, nil
	case <-p.Done():
		return nil, fmt.Errorf("%s ended before it served: %w", cmd.Path, p.Err())
	case <-timer.C:
		return nil, errors.Join(fmt.Errorf("%s does not say which URL it serves", cmd.Path), p.Signal(syscall.SIGKILL))
	}
}

// stop ends a program by a signal, and waits.
func (p *program) stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-p.Done():
		return p.Err()
	case <-timer.C:
		return errors.Join(errors.New("the program does not end"), p.Signal(syscall.SIGKILL))
	}
}

// addressFinder gets the output of a program until it has printed its URL.
type addressFinder struct {
	found   chan<- string
	written []byte
	done    bool
}

var serverURL = regexp.MustCompile(`http://([^/\s]+)[/\n]`)

func (f *addressFinder) Write(p []byte) (int, error) {
	if !f.done {
		f.written = append(f.written, p...)
		if m := serverURL.FindSubmatch(f.written); m != nil {
			f.found <- string(m[1])
			f.done = true
		}
	}
	return len(p), nil
}
