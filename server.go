// Roster is a GraphQL server for users and their posts. Everything it does is in internal/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"roster/internal/cli"
)

// version is set by the linker, with -ldflags "-X main.version=…".
// A variable because the linker can set nothing else.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second signal kills.
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, version))
}
