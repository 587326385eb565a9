package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// maxHeaderBytes bounds a request's headers and its URL, which has the whole query of a GET.
const maxHeaderBytes = 64 << 10

// maxConcurrentStreams is how many requests one HTTP/2 connection may have under way, streams included.
const maxConcurrentStreams = 100

// Timeouts bound what one connection may keep the server busy with. Zero means no bound.
type Timeouts struct {
	ReadHeader time.Duration // from the first byte to the end of the headers
	Read       time.Duration // from the first byte to the end of the body
	Write      time.Duration // from the end of the headers to the end of the answer
	Idle       time.Duration // between two requests
	WriteByte  time.Duration // for an HTTP/2 connection to accept one byte more, for whichever request
	Shutdown   time.Duration // for the requests under way when the server stops
}

// Serve answers requests from listener until ctx ends: HTTP/1, and HTTP/2 without TLS by prior knowledge. Then it
// accepts no new requests, ends streams, lets the requests under way finish and returns nil. The streams are those of
// handler. Serve closes the listener.
// An error says that the listener failed, or that requests had to be cut off because they took
// longer than t.Shutdown.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, streams *Streams, t Timeouts, logger *slog.Logger) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:   handler,
		Protocols: &protocols,
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
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Shutdown)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- streams.stop(bound) }()
	if errors.Join(server.Shutdown(bound), <-stopped) != nil { // both say that their time is over
		return errors.Join(fmt.Errorf("requests under way were cut off after %s", t.Shutdown), server.Close())
	}
	return nil
}
