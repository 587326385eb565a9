package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Guard runs a shell script when it is released, or when this process ends. This works even if the process is killed:
// the shell waits at a pipe that ends with the process.
type Guard struct {
	process *Process
	pipe    io.Closer
}

// NewGuard starts the shell that will run the script, with the arguments as $0, $1 and so on.
func NewGuard(ctx context.Context, script string, arguments ...string) (*Guard, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	defer reader.Close() //nolint:errcheck // the shell has its own
	arguments = append([]string{"-c", "cat\n" + script}, arguments...)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", arguments...)
	cmd.Dir = "/"
	cmd.Stdin = reader
	// With its own group, the Ctrl-C that ends this process does not end the guard.
	p, err := Start(cmd, Options{Group: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("guard: %w", err), writer.Close())
	}
	return &Guard{process: p, pipe: writer}, nil
}

// Release runs the script and returns when the script has ended. Call it once.
func (g *Guard) Release() error {
	if err := errors.Join(g.pipe.Close(), g.process.Err()); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}
