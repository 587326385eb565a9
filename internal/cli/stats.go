package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/stats"
)

type statsCommand struct {
	config.Stats    `group:"Sign-ups:"`
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
	Recount         bool `group:"Used most:" env:"-" help:"Compare the counts that the database keeps with the rows of its tables, print the differences, and correct the counts. Nothing else is printed. Needed only after a program other than Roster has written rows."`
}

// Run prints the counts, all of one moment, or corrects them.
func (c *statsCommand) Run(ctx context.Context, e *environment) (err error) {
	db, err := e.openDatabase(ctx, c.Database, c.Logger(e.stderr), checking)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if c.Recount {
		return recount(ctx, e, db)
	}
	session := db.Session(database.Snapshot)
	defer session.Rollback() // it changes nothing
	from, to, by := c.period(time.Now())
	s, err := stats.New(rules.WithCaller(ctx, rules.Everyone()), session)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for name, count := range map[string]func(context.Context) (int, error){
		"users": s.UserCount, "posts": s.PostCount, "users without posts": s.UsersWithoutPosts,
	} {
		if counts[name], err = count(ctx); err != nil {
			return fmt.Errorf("count %s of %v: %w", name, db, err)
		}
	}
	signUps, err := s.SignUps(ctx, from, to, by)
	if faults, ok := errors.AsType[rules.Faults](err); ok {
		return fmt.Errorf("--%v %s", faults[0].Path[0], faults[0].Message)
	}
	if err != nil {
		return fmt.Errorf("count sign-ups of %v: %w", db, err)
	}
	var b strings.Builder
	for _, name := range []string{"users", "posts", "users without posts"} {
		fmt.Fprintf(&b, "%-19s  %*d\n", name, columnWidth, counts[name])
	}
	b.WriteByte('\n')
	chart(&b, signUps, by)
	_, err = io.WriteString(e.stdout, b.String())
	return err
}

// recountTries is the number of snapshots that recount takes if the changes of each are pruned before it can store the counts.
const recountTries = 3

// recount prints the differences between the kept counts and the rows, and corrects the counts.
func recount(ctx context.Context, e *environment, db *database.DB) error {
	for range recountTries {
		r, err := feed.Count(ctx, db, tables())
		if err != nil {
			return fmt.Errorf("count the rows of %v: %w", db, err)
		}
		if r.Known && !r.Differ() {
			_, err := fmt.Fprintf(e.stdout, "All counts of %v are right.\n", db)
			return err
		}
		stored, err := r.Store(ctx, db, true)
		if err != nil {
			_, _ = io.WriteString(e.stdout, described(r)) // the differences are right, also for a user who may not write
			return fmt.Errorf("correct the counts of %v: %w", db, err)
		}
		if !stored {
			continue
		}
		_, err = io.WriteString(e.stdout, described(r)+corrected(r))
		return err
	}
	return fmt.Errorf("correct the counts of %v: servers delete changes as soon as they are written: keep them longer with --keep-changes", db)
}

// corrected says what recount has done.
func corrected(r *feed.Recount) string {
	if !r.Known {
		return "Now they are.\n"
	}
	return "The counts are corrected.\n"
}

// described says what recount has found.
func described(r *feed.Recount) string {
	if !r.Known {
		return "The rows were not counted yet. "
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TYPE\tCOUNT\tROWS\tDIFFERENCE")
	for _, c := range r.Types {
		if c.Kept != c.Rows {
			fmt.Fprintf(table, "%s\t%d\t%d\t%+d\n", c.Type, c.Kept, c.Rows, c.Rows-c.Kept)
		}
	}
	_ = table.Flush() // a strings.Builder has no errors
	return b.String()
}

// tables returns the tables of all entities.
func tables() []*statement.Table {
	var list []*statement.Table
	for _, k := range ent.Kinds() {
		list = append(list, k.Table)
	}
	return list
}

// period returns the range of the flags.
func (c *statsCommand) period(now time.Time) (from, to time.Time, by stats.Period) {
	by = stats.Period(strings.ToUpper(c.By))
	from, to = c.From, c.To
	if to.IsZero() {
		to = now.UTC()
	}
	if from.IsZero() {
		last := by.Start(to)
		if last.Equal(to) { // that period has no part in the range
			last = by.Add(last, -1)
		}
		from = by.Add(last, 1-map[stats.Period]int{stats.Day: 30, stats.Week: 12, stats.Month: 12}[by])
	}
	return from, to, by
}

// Widths of the chart, in characters.
const (
	columnWidth = 10
	barWidth    = 50
)

// chart draws a bar for each period. The longest bar is barWidth long.
func chart(b *strings.Builder, signUps []stats.SignUps, by stats.Period) {
	most, total := 0, 0
	for i := range signUps {
		most, total = max(most, signUps[i].Users), total+signUps[i].Users
	}
	fmt.Fprintf(b, "%-19s  %*d\n", "sign-ups by "+strings.ToLower(string(by)), columnWidth, total)
	for i := range signUps {
		s := &signUps[i]
		line := fmt.Sprintf("%-19s  %*d  %s", periodName(s, by), columnWidth, s.Users, bar(s.Users, most))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// periodName returns the day, the first day of a week, or the month.
func periodName(s *stats.SignUps, by stats.Period) string {
	if by == stats.Month {
		return s.From.Format("2006-01")
	}
	return s.From.Format(time.DateOnly)
}

// bar draws n in proportion to most, in eighths of a character.
func bar(n, most int) string {
	if most == 0 {
		return ""
	}
	const eighths = "▏▎▍▌▋▊▉"
	length := (n*barWidth*8 + most - 1) / most // rounded up: every n above 0 shows
	whole := strings.Repeat("█", length/8)
	if rest := length % 8; rest > 0 {
		whole += string([]rune(eighths)[rest-1])
	}
	return whole
}
