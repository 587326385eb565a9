// Command testserver serves the schema of package streamtest with Roster's own transports, for tests
// of clients: subscriptions of every kind, and no database.
//
//	testserver [--listen=127.0.0.1:0] [--cors-origins=ORIGIN,…] [--ping-interval=15s]
//
// It prints the URL of its endpoint in a line and serves until it is interrupted or terminated, which
// ends all streams. Query.active says how many subscriptions are under way. Started again with the
// port that it had, it is what a client that reconnects finds.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"roster/internal/server"
	"roster/internal/server/streamtest"
)

// What Roster allows a client by default.
const (
	maxStreams    = 4096
	maxOperations = 100
	maxBodyBytes  = 1 << 20
	initTimeout   = 5 * time.Second
	writeTimeout  = 10 * time.Second
)

// shutdownTimeout is how long the queries under way may take to end.
const shutdownTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "testserver: %s\n", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("testserver", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	origins := flags.String("cors-origins", "", "origins whose pages may use the endpoint, with commas between them, or *")
	ping := flags.Duration("ping-interval", 15*time.Second, "time between two signs of life")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	listener, err := server.Listen(ctx, *listen)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "http://%s/graphql\n", listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	streams := server.NewStreams(server.StreamOptions{
		MaxStreams:    maxStreams,
		MaxOperations: maxOperations,
		PingInterval:  *ping,
		InitTimeout:   initTimeout,
		WriteTimeout:  writeTimeout,
	})
	handler := server.New(server.Options{
		Executor:      streamtest.New().Executor(),
		Authenticator: streamtest.NewAuthenticator(),
		Ready:         func(context.Context, bool) error { return nil },
		SDL:           streamtest.SDL(),
		Logger:        logger,
		Clock:         time.Now,
		NewRequestID:  rand.Text,
		MaxBodyBytes:  maxBodyBytes,
		Origins:       strings.FieldsFunc(*origins, func(r rune) bool { return r == ',' }),
		Streams:       streams,
	})
	return server.Serve(ctx, listener, nil, handler, streams, server.Timeouts{
		ReadHeader: initTimeout,
		Write:      writeTimeout + time.Minute,
		Shutdown:   shutdownTimeout,
	}, logger)
}
