package database

import (
	"context"
	"net"
	"sync"
)

// lines are the open network connections to a replica. A replica whose process is stopped, or that the network does not reach,
// answers nothing, and the drivers wait for it longer than an operation may. Cutting its lines ends all these waits.
type lines struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// dial returns a function that dials like the given one and knows the connections.
func (l *lines) dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.open == nil {
			l.open = map[net.Conn]struct{}{}
		}
		line := &line{c, l}
		l.open[line] = struct{}{}
		return line, nil
	}
}

// cut closes all connections.
func (l *lines) cut() {
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for c := range open {
		_ = c.Close() // whoever uses it gets the error
	}
}

type line struct {
	net.Conn
	of *lines
}

func (l *line) Close() error {
	l.of.mu.Lock()
	delete(l.of.open, l)
	l.of.mu.Unlock()
	return l.Conn.Close()
}
