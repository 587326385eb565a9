package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roster/ent/rules"
	"roster/internal/config"
	"roster/internal/seed"
)

type seedCommand struct {
	config.Seed     `group:"Data:"`
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
}

// Run fills the database and prints the numbers.
func (c *seedCommand) Run(ctx context.Context, e *environment) (err error) {
	logger := c.Logger(e.stderr)
	db, err := e.openDatabase(ctx, c.Database, logger, migrating)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	started, told := time.Now(), 0
	rows := c.Users * (1 + c.PostsPerUser)
	err = seed.Fill(rules.WithCaller(ctx, rules.Everyone()), db, seed.Options{
		Users:        c.Users,
		PostsPerUser: c.PostsPerUser,
		Seed:         c.Number,
		Now:          started,
		Progress: func(users, posts int) {
			if tenths := (users + posts) * 10 / rows; tenths > told {
				told = tenths
				logger.InfoContext(ctx, "seeding", "percent", 10*tenths, "users", users, "posts", posts)
			}
		},
	})
	if err != nil {
		return failed(ctx, fmt.Sprintf("seed %v", db), err)
	}
	_, err = fmt.Fprintf(e.stdout, "%d users and %d posts in %.1f s\n", c.Users, c.Users*c.PostsPerUser, time.Since(started).Seconds())
	return err
}
