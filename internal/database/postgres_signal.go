package database

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
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
		share := o.ConnectTimeout / time.Duration(1+len(config.Multi)) // as in connectors
		address += fmt.Sprintf("&connect_timeout=%d", max(1, share/time.Second))
	}
	connection := make(chan struct{}, 1) // it is new, or it broke
	changed := func() {
		select {
		case connection <- struct{}{}:
		default:
		}
	}
	d := &endingDialer{ctx: ctx, lifetime: o.ConnectionLifetime}
	l := pq.NewDialListener(d, address, reconnectFirst, reconnectMost, func(event pq.ListenerEventType, err error) {
		if ctx.Err() != nil { // listen has ended the listener
			return
		}
		switch event {
		case pq.ListenerEventDisconnected:
			if !d.renewing.Load() {
				o.Logger.WarnContext(ctx, "the connection that listens to other servers broke", "error", err)
			}
			changed()
		case pq.ListenerEventReconnected:
			if !d.renewing.Swap(false) {
				o.Logger.InfoContext(ctx, "listening to other servers again")
			}
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
	go d.watch(l, o.ConnectTimeout)
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

// endingDialer opens the connections of a listener. They end with a context. lib/pq's listener has no context. It connects
// under a lock, and its Close needs the same lock.
type endingDialer struct {
	ctx      context.Context //nolint:containedctx // pq.Dialer has none
	lifetime time.Duration   // of a connection; 0 is no limit
	current  atomic.Pointer[endingConn]
	renewing atomic.Bool // the last connection was closed because of its age
}

var _ pq.Dialer = (*endingDialer)(nil)

// Dial implements pq.Dialer. lib/pq does not call it, since its address has a timeout.
func (d *endingDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, reconnectMost)
}

// DialTimeout implements pq.Dialer.
func (d *endingDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &endingConn{Conn: raw, end: endOf(d.lifetime)}
	c.stop = context.AfterFunc(d.ctx, func() { _ = raw.Close() })
	c.heard.Store(time.Now().UnixNano())
	d.current.Store(c)
	return c, nil
}

// quietLimits is the time without a word from the server, in times of its answer, after which the server is asked for one.
const quietLimits = 3

// watch closes the connection of a listener at its end, and when the server does not answer within a limit. A firewall or a
// failed server may have forgotten the connection. Signals also count as words, so a server that sends some is not asked.
func (d *endingDialer) watch(l *pq.Listener, limit time.Duration) {
	ticker := time.NewTicker(limit)
	defer ticker.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-ticker.C:
		}
		c := d.current.Load()
		switch {
		case c == nil:
		case !c.end.IsZero() && time.Now().After(c.end):
			d.renewing.Store(true)
			d.current.CompareAndSwap(c, nil)
			_ = c.Close() // the listener opens another one
		case time.Since(time.Unix(0, c.heard.Load())) >= quietLimits*limit:
			d.ask(l, limit)
		}
	}
}

// ask asks the server for an answer. Each time that it waits for longer than the limit, it closes the connection that the
// listener has then: the listener may also wait for an answer while it connects, with its lock.
func (d *endingDialer) ask(l *pq.Listener, limit time.Duration) {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		defer func() { _ = recover() }() // lib/pq panics if the server answers with an error, such as after a cancellation
		_ = l.Ping()                     // the listener knows the error too
	}()
	ticker := time.NewTicker(limit)
	defer ticker.Stop()
	for {
		select {
		case <-answered:
			return
		case <-ticker.C:
			_ = d.current.Load().Close()
		case <-d.ctx.Done():
			return
		}
	}
}

type endingConn struct {
	net.Conn
	stop  func() bool
	end   time.Time    // of its lifetime; zero is never
	heard atomic.Int64 // the time of the last bytes of the server, in nanoseconds since 1970
}

// Read implements net.Conn.
func (c *endingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (c *endingConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
