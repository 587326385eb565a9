//go:build !unix

package handover

import (
	"context"
	"errors"
	"os"
	"time"
)

// Systems without SIGUSR2 and inherited file descriptors have no hand-over. Each process opens its own sockets.

func notify(chan<- os.Signal) {}

func (*Process) receive() error { return nil }

type predecessor struct{}

func (*predecessor) release() {}

func (*predecessor) alive() bool { return false }

type successor struct{ ended chan error }

func (*successor) pid() int { return 0 }

func (*successor) await(context.Context, time.Duration) error { return errors.ErrUnsupported }

func (*Process) start([]socket) (*successor, error) { return nil, errors.ErrUnsupported }
