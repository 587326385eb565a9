// Package stats counts what a database holds: each figure is one set-based statement, written by hand, since no entity
// is loaded for it. It knows the tables, and neither ent's clients nor GraphQL.
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

// MaxPeriods is the most periods that SignUps counts.
const MaxPeriods = 1000

// A Period is a part of the calendar, in UTC.
type Period string

// The periods. A week starts on Monday, as in ISO 8601.
const (
	Day   Period = "DAY"
	Week  Period = "WEEK"
	Month Period = "MONTH"
)

// Start is the start of the period in which t lies.
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

// Add is the start of the n-th period after the one that starts at t, or before it.
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

// Stats counts in a session: several figures in one snapshot are of one moment.
type Stats struct{ driver dialect.Driver }

// New counts what the session reads. The error is a rules.ForbiddenError when the caller in ctx may not know.
func New(ctx context.Context, d dialect.Driver) (*Stats, error) {
	if err := rules.Permit(ctx, rules.Read, "Stats"); err != nil {
		return nil, err
	}
	return &Stats{d}, nil
}

// UserCount counts all users.
func (s *Stats) UserCount(ctx context.Context) (int, error) { return s.count(ctx, s.all(user.Table)) }

// PostCount counts all posts.
func (s *Stats) PostCount(ctx context.Context) (int, error) { return s.count(ctx, s.all(post.Table)) }

// UsersWithoutPosts counts the users that have no post.
func (s *Stats) UsersWithoutPosts(ctx context.Context) (int, error) {
	users, posts := entsql.Table(user.Table).As("u"), entsql.Table(post.Table).As("p")
	build := entsql.Dialect(s.driver.Dialect())
	none := build.Select(posts.C(post.FieldID)).From(posts).Where(entsql.ColumnsEQ(posts.C(post.FieldAuthorID), users.C(user.FieldID)))
	return s.count(ctx, build.Select(entsql.Count("*")).From(users).Where(entsql.NotExists(none)))
}

func (s *Stats) all(table string) *entsql.Selector {
	return entsql.Dialect(s.driver.Dialect()).Select(entsql.Count("*")).From(entsql.Table(table))
}

func (s *Stats) count(ctx context.Context, q *entsql.Selector) (int, error) {
	query, args := q.Query()
	n := 0
	err := database.Each(ctx, s.driver, query, args, func(rows *entsql.Rows) error { return rows.Scan(&n) })
	return n, err
}

// SignUps is how many users came in one period, or in that part of it that was asked for.
type SignUps struct {
	From  time.Time // inclusive
	To    time.Time // exclusive
	Users int
}

// SignUps counts the users who were created from one moment, inclusive, to another, exclusive, for each period that
// overlaps that range, in order, those without users too. The error is rules.Faults of from and to.
func (s *Stats) SignUps(ctx context.Context, from, to time.Time, by Period) ([]SignUps, error) {
	periods, faults := divide(from.UTC(), to.UTC(), by)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	days, err := s.days(ctx, from.UTC(), to.UTC())
	if err != nil {
		return nil, err
	}
	for i := range periods {
		p := &periods[i]
		for day := Day.Start(p.From); day.Before(p.To); day = Day.Add(day, 1) {
			p.Users += days[day.Format(time.DateOnly)]
		}
	}
	return periods, nil
}

// divide cuts a range where periods start.
func divide(from, to time.Time, by Period) (periods []SignUps, faults rules.Faults) {
	if !from.Before(to) {
		faults.Add(&rules.Fault{Code: rules.Invalid, Message: "must be after from"}, "to")
		return nil, faults
	}
	for from.Before(to) {
		if len(periods) == MaxPeriods {
			faults.Add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be so that there are at most %d periods", MaxPeriods)}, "to")
			return nil, faults
		}
		end := by.Add(by.Start(from), 1)
		if end.After(to) {
			end = to
		}
		periods = append(periods, SignUps{From: from, To: end})
		from = end
	}
	return periods, nil
}

// days counts users by the day of their creation, such as 2026-01-31. Weeks and months are whole days, so the engines do no
// more than this.
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
