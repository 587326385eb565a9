package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"roster/internal/dbtest/process"
)

// The programs that are driven.
const (
	roster = "roster"
	floor  = "floor"
)

// How long a program may take until it serves and until it has ended.
const (
	startLimit = 30 * time.Second
	stopLimit  = 30 * time.Second
)

// build builds the programs into dir.
func build(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", dir, "roster", "roster/bench/floor").CombinedOutput() //nolint:gosec // its own directory
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// A program runs and serves.
type program struct {
	*process.Process
	address string
}

// start runs one of the programs in dir on a database and returns when it serves.
func start(ctx context.Context, dir, name, databaseURL string, stderr io.Writer) (*program, error) {
	arguments := map[string][]string{roster: {"serve", "--listen=127.0.0.1:0"}}[name]
	cmd := exec.CommandContext(ctx, filepath.Join(dir, name), arguments...) //nolint:gosec // what build has built
	cmd.Env = []string{"DATABASE_URL=" + databaseURL}                       // and no setting of the user's own
	found := make(chan string, 1)
	cmd.Stdout, cmd.Stderr = &addressFinder{found: found}, stderr
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
		return nil, fmt.Errorf("%s ended: %w", name, p.Err())
	case <-timer.C:
		return nil, errors.Join(fmt.Errorf("%s does not say its address", name), p.Signal(syscall.SIGKILL))
	}
}

// stop ends a program in its own way.
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

// addressFinder is what a program writes to until it has named the URL that it serves.
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
