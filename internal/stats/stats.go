// Package stats counts users and posts. Each figure is one statement that loads no entities. The package knows the
// tables, but neither ent's clients nor GraphQL.
package stats

import (
	"context"
	"fmt"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/statement"
)

// MaxPeriods is the greatest number of periods of SignUps.
const MaxPeriods = 1000

// A Period is a part of the calendar, in UTC.
type Period string

// The periods. A week starts on Monday, as in ISO 8601.
const (
	Day   Period = "DAY"
	Week  Period = "WEEK"
	Month Period = "MONTH"
)

// Start returns the start of the period that contains t.
func (p Period) Start(t time.Time) time.Time {
	t = t.UTC()
	day := t.Day()
	switch p {
	case Week:
		day -= (int(t.Weekday()) + 6) % 7
	case Month:
		day = 1
	case Day:
	}
	return time.Date(t.Year(), t.Month(), day, 0, 0, 0, 0, time.UTC)
}

// Add returns the start of the period that is n periods after the one that starts at t. n may be negative.
func (p Period) Add(t time.Time, n int) time.Time {
	switch p {
	case Week:
		return t.AddDate(0, 0, 7*n)
	case Month:
		return t.AddDate(0, n, 0)
	case Day:
	}
	return t.AddDate(0, 0, n)
}

// Stats counts rows through a driver. In a session of several statements, all figures are of one snapshot.
type Stats struct{ driver dialect.Driver }

// New returns Stats of a driver. The error is a *rules.ForbiddenError when the caller in ctx may not read them.
func New(ctx context.Context, d dialect.Driver) (*Stats, error) {
	if err := rules.Permit(ctx, rules.Read, "Stats"); err != nil {
		return nil, err
	}
	return &Stats{d}, nil
}

// UserCount counts all users. It reads no users, but the counts of the change feed.
func (s *Stats) UserCount(ctx context.Context) (int, error) {
	return s.all(ctx, &statement.Table{Type: user.Label, Name: user.Table})
}

// PostCount counts all posts, as UserCount counts users.
func (s *Stats) PostCount(ctx context.Context) (int, error) {
	return s.all(ctx, &statement.Table{Type: post.Label, Name: post.Table})
}

// UsersWithoutPosts counts the users that have no post. It looks at each user.
func (s *Stats) UsersWithoutPosts(ctx context.Context) (int, error) {
	return s.count(ctx, "SELECT COUNT(*) FROM "+user.Table+
		" WHERE NOT EXISTS (SELECT 1 FROM "+post.Table+" WHERE "+post.FieldAuthorID+" = "+user.Table+"."+user.FieldID+")", nil)
}

// all counts all rows of a table.
func (s *Stats) all(ctx context.Context, t *statement.Table) (int, error) {
	query, args, err := (&statement.Select{Table: t, Count: true}).Build(s.driver.Dialect())
	if err != nil {
		return 0, err
	}
	return s.count(ctx, query, args)
}

// count runs a statement that returns a number.
func (s *Stats) count(ctx context.Context, query string, args []any) (n int, err error) {
	err = database.Each(ctx, s.driver, query, args, func(rows *entsql.Rows) error { return rows.Scan(&n) })
	return n, err
}

// SignUps is the number of users that were created in a period, or in the part of a period that is within the range.
type SignUps struct {
	From  time.Time // inclusive
	To    time.Time // exclusive
	Users int
}

// SignUps counts the users that were created in a range, for each period that overlaps the range, in order. from is
// inclusive, to is exclusive. The error is rules.Faults for the field to, or the driver's.
func (s *Stats) SignUps(ctx context.Context, from, to time.Time, by Period) ([]SignUps, error) {
	from, to = from.UTC(), to.UTC()
	periods, faults := divide(from, to, by)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	days, err := s.days(ctx, from, to)
	for i := range periods {
		p := &periods[i]
		for day := Day.Start(p.From); day.Before(p.To); day = Day.Add(day, 1) {
			p.Users += days[day.Format(time.DateOnly)]
		}
	}
	return periods, err
}

// divide divides a range at the starts of periods.
func divide(from, to time.Time, by Period) (periods []SignUps, faults rules.Faults) {
	if !from.Before(to) {
		faults.Add(&rules.Fault{Code: rules.Invalid, Message: "must be after from"}, "to")
	}
	for from.Before(to) {
		if len(periods) == MaxPeriods {
			faults.Add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be earlier: the range has more than %d periods", MaxPeriods)}, "to")
			break
		}
		end := by.Add(by.Start(from), 1)
		if end.After(to) {
			end = to
		}
		periods = append(periods, SignUps{From: from, To: end})
		from = end
	}
	return periods, faults
}

// days counts the users of each day, such as 2026-01-31. Weeks and months are whole days, so the engines need not know
// them.
func (s *Stats) days(ctx context.Context, from, to time.Time) (map[string]int, error) {
	day := statement.Of(s.driver.Dialect()).Day(user.FieldCreatedAt)
	t := entsql.Table(user.Table)
	q := entsql.Dialect(s.driver.Dialect()).Select().From(t).
		AppendSelectExprAs(entsql.Raw(day), "day").AppendSelectExprAs(entsql.Raw("count(*)"), "users").
		Where(entsql.And(entsql.GTE(t.C(user.FieldCreatedAt), from), entsql.LT(t.C(user.FieldCreatedAt), to))).
		GroupBy("day")
	query, args := q.Query()
	days := map[string]int{}
	err := database.Each(ctx, s.driver, query, args, func(rows *entsql.Rows) error {
		var name string
		var n int
		err := rows.Scan(&name, &n)
		days[name] = n
		return err
	})
	return days, err
}
