// Package janitor runs the chores of a server in the background, such as deleting expired rows. It is independent of
// the chores and of the clock: the caller passes both.
package janitor

import (
	"context"
	"log/slog"
	"time"
)

// A Chore is work that Run repeats. It works in small steps, so that it blocks no others for long.
type Chore struct {
	// Name is the name in the log, such as "prune idempotency keys".
	Name string
	// Step does one step at the time now. more says that another step should follow at once.
	Step func(ctx context.Context, now time.Time) (more bool, err error)
}

// Run runs all chores at each tick until ctx or the ticks end. The value of a tick is the current time. Run logs the
// error of a chore and runs the chore again at the next tick.
func Run(ctx context.Context, ticks <-chan time.Time, logger *slog.Logger, chores ...Chore) {
	for {
		select {
		case <-ctx.Done():
			return
		case now, ok := <-ticks:
			if !ok {
				return
			}
			for _, chore := range chores {
				chore.do(ctx, now, logger)
			}
		}
	}
}

func (c Chore) do(ctx context.Context, now time.Time, logger *slog.Logger) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = c.Step(ctx, now); err != nil {
			if ctx.Err() == nil {
				logger.WarnContext(ctx, "a chore failed", "chore", c.Name, "error", err)
			}
			return
		}
	}
}
