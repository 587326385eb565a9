// Command release builds all files of a release from the tree in the working directory: archives, packages for Debian and for
// RPM, a bill of materials for each platform, and checksums. `make release` runs it.
//
// The same tree with the same flags always gives the same bytes, in any folder: nothing of a file is taken but its content,
// and the time of all files is that of the commit.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1) //nolint:gocritic // the signals end with the process
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	version := flags.String("version", "", "version of the release, as git describe prints it")
	seconds := flags.Int64("time", 0, "time of the commit, in seconds since 1970")
	out := flags.String("out", "dist", "folder of the files; it must not exist, or be empty")
	platforms := flags.String("platforms", strings.Join(everyPlatform(), ","), "platforms, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version == "" || *seconds <= 0 {
		return fmt.Errorf("-version and -time are missing: run make release")
	}
	files, err := filepath.Glob(filepath.Join(*out, "*"))
	if err != nil {
		return fmt.Errorf("-out %s: %w", *out, err)
	}
	if len(files) > 0 {
		return fmt.Errorf("-out %s has files of another release: delete them", *out)
	}
	work, err := os.MkdirTemp("", "roster-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary directory
	r := release{version: *version, time: time.Unix(*seconds, 0).UTC(), out: *out, work: work, stdout: stdout}
	for name := range strings.SplitSeq(*platforms, ",") {
		p, err := parsePlatform(name)
		if err != nil {
			return err
		}
		r.platforms = append(r.platforms, p)
	}
	return r.make(ctx)
}
