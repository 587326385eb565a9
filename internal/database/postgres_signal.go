package database

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/lib/pq"
)

func (*postgresEngine) signal() string { return "SELECT pg_notify($1, $2)" }

// The wait of the listener before it connects again: the first one and the longest one.
const (
	reconnectFirst = 50 * time.Millisecond
	reconnectMost  = time.Second
)

func (e *postgresEngine) listen(ctx context.Context, o Options, channel string, heard func(text string)) {
	address := e.url
	if config, err := pq.NewConfig(address); err == nil && config.ConnectTimeout == 0 {
		address += fmt.Sprintf("&connect_timeout=%d", max(1, o.ConnectTimeout/time.Second))
	}
	connection := make(chan struct{}, 1) // it is new, or it broke
	changed := func() {
		select {
		case connection <- struct{}{}:
		default:
		}
	}
	l := pq.NewDialListener(endingDialer{ctx}, address, reconnectFirst, reconnectMost, func(event pq.ListenerEventType, err error) {
		if ctx.Err() != nil { // listen has ended the listener
			return
		}
		switch event {
		case pq.ListenerEventDisconnected:
			o.Logger.WarnContext(ctx, "the connection that listens to other servers broke", "error", err)
			changed()
		case pq.ListenerEventReconnected:
			o.Logger.InfoContext(ctx, "listening to other servers again")
		case pq.ListenerEventConnectionAttemptFailed:
			o.Logger.DebugContext(ctx, "no connection to listen to other servers", "error", err)
		case pq.ListenerEventConnected:
		}
	})
	// The listener connects in the background. Its connection ends with ctx, and so does every wait on it.
	go func() {
		if listenUntilHeard(ctx, o, l, channel) {
			changed()
		}
	}()
	for {
		select {
		case <-connection:
			heard("")
		case n := <-l.Notify:
			if n == nil {
				heard("")
				continue
			}
			heard(n.Extra)
		case <-ctx.Done():
			go func() { // Close may block: the listener may be reconnecting, or sending to Notify
				_ = l.Close()
				for range l.Notify {
				}
			}()
			return
		}
	}
}

// listenUntilHeard listens on a channel. A standby refuses to listen. The listener then keeps its connection but does
// not listen, also after a promotion. So listenUntilHeard asks again until the server agrees. It returns false if ctx ends
// before.
func listenUntilHeard(ctx context.Context, o Options, l *pq.Listener, channel string) bool {
	ticker := time.NewTicker(reconnectMost)
	defer ticker.Stop()
	for refused := false; ; refused = true {
		err := l.Listen(channel)
		if err == nil || ctx.Err() != nil {
			return err == nil
		}
		if !refused {
			o.Logger.WarnContext(ctx, "not listening to other servers until the server allows it", "error", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// endingDialer opens connections that end with a context. lib/pq's listener has no context. It connects under a lock,
// and its Close needs the same lock. Its connection may be silent for any time; the operating system detects that the
// server has failed.
type endingDialer struct{ ctx context.Context }

var _ pq.Dialer = endingDialer{}

// Dial implements pq.Dialer. lib/pq does not call it, since its address has a timeout.
func (d endingDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, reconnectMost)
}

// DialTimeout implements pq.Dialer.
func (d endingDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &endingConn{Conn: c, stop: context.AfterFunc(d.ctx, func() { _ = c.Close() })}, nil
}

type endingConn struct {
	net.Conn
	stop func() bool
}

func (c *endingConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
