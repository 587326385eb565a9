package janitor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/internal/janitor"
)

func TestRun(t *testing.T) {
	t.Parallel()
	var did []string
	var log bytes.Buffer
	ticks := make(chan time.Time, 2)
	ticks <- time.Unix(1, 0)
	ticks <- time.Unix(2, 0)
	close(ticks)
	left := 2
	janitor.Run(t.Context(), ticks, slog.New(slog.NewTextHandler(&log, nil)),
		janitor.Chore{Name: "sweep", Step: func(_ context.Context, now time.Time) (bool, error) {
			did = append(did, "sweep at "+now.UTC().Format("05"))
			left--
			return left > 0, nil
		}},
		janitor.Chore{Name: "fix", Step: func(context.Context, time.Time) (bool, error) {
			did = append(did, "fix")
			return true, errors.New("no hammer")
		}},
	)
	if want := []string{"sweep at 01", "sweep at 01", "fix", "sweep at 02", "fix"}; !slices.Equal(did, want) {
		t.Errorf("got %q, want %q", did, want)
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || strings.Count(got, `level=WARN msg="a chore failed" chore=fix error="no hammer"`) != 2 {
		t.Errorf("got the log %s, want two warnings of fix", got)
	}
}

// TestRunEnds ends the context in the middle of a chore that would never be done.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	ticks := make(chan time.Time, 1)
	ticks <- time.Unix(1, 0)
	steps := 0
	janitor.Run(ctx, ticks, slog.New(slog.NewTextHandler(&log, nil)), janitor.Chore{Step: func(ctx context.Context, _ time.Time) (bool, error) {
		if steps++; steps == 3 {
			cancel()
		}
		return true, ctx.Err()
	}})
	if steps != 3 || log.Len() > 0 {
		t.Errorf("got %d steps and the log %q, want 3 and none", steps, log.String())
	}
}
