package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// maxHeaderBytes is the maximum size of the headers and the URL of a request, in bytes. The URL of a GET contains the
// query.
const maxHeaderBytes = 64 << 10

// maxConcurrentStreams is the maximum number of requests on one HTTP/2 connection at the same time, with event streams.
const maxConcurrentStreams = 100

// Timeouts are the maximum times of a connection. 0: no limit.
type Timeouts struct {
	ReadHeader time.Duration // from the first byte to the end of the headers
	Read       time.Duration // from the first byte to the end of the body
	Write      time.Duration // from the end of the headers to the end of the answer
	Idle       time.Duration // between two requests
	WriteByte  time.Duration // until an HTTP/2 connection accepts another byte of any answer
	Drain      time.Duration // from the order to stop until the server accepts no more requests
	Shutdown   time.Duration // from then until the requests have ended
}

// ErrHandedOver is the cause of the end of Serve's context when another process has a duplicate of the listener and serves.
var ErrHandedOver = errors.New("another process serves")

// Serve answers requests from a listener until ctx ends, with HTTP/1 and HTTP/2. security is the configuration of TLS. If
// it is nil, there is no TLS, and a client must know beforehand that it can use HTTP/2. Serve closes the listener. An error
// says that the listener failed, or that requests were cut off after t.Shutdown.
//
// When ctx ends, Serve goes on for t.Drain. Meanwhile, /readyz says that the server is stopping, so that no more requests are
// sent to it, and each answer closes its connection. Then Serve accepts no new requests, ends the streams, waits for the other
// requests, and returns nil. If the cause is ErrHandedOver, Serve closes the listener at once, and /readyz says nothing of it,
// because a server is ready at this address.
func Serve(
	ctx context.Context, listener net.Listener, security *tls.Config, handler http.Handler, streams *Streams, t Timeouts, logger *slog.Logger,
) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(security != nil)
	protocols.SetUnencryptedHTTP2(security == nil)
	server := &http.Server{
		Handler:                      handler,
		DisableGeneralOptionsHandler: true, // the handler answers OPTIONS *, with its headers
		Protocols:                    &protocols,
		TLSConfig:                    security,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxConcurrentStreams,
			WriteByteTimeout:     t.WriteByte,
		},
		ReadHeaderTimeout: t.ReadHeader,
		ReadTimeout:       t.Read,
		WriteTimeout:      t.Write,
		IdleTimeout:       t.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() {
		if security == nil {
			failed <- server.Serve(listener)
			return
		}
		failed <- server.ServeTLS(listener, "", "") // the files are those of security
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	lost := failed
	if errors.Is(context.Cause(ctx), ErrHandedOver) {
		streams.phase.Store(int32(handedOver))
		_ = listener.Close() // the connections that wait in it are for the other process
		// Wait for its end: a closed listener that Shutdown finds would be an error.
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			logger.WarnContext(ctx, "the socket has failed during the hand-over", "error", err)
		}
		lost = nil
	} else {
		streams.phase.Store(int32(stopping))
	}
	drain := time.NewTimer(t.Drain)
	defer drain.Stop()
	select {
	case err := <-lost:
		logger.WarnContext(ctx, "the socket has failed while the server was stopping", "error", err)
	case <-drain.C:
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Shutdown)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- streams.stop(bound) }()
	if errors.Join(server.Shutdown(bound), <-stopped) != nil { // both errors say that bound has ended
		return errors.Join(fmt.Errorf("requests under way were cut off after %s", t.Shutdown), server.Close())
	}
	return nil
}
