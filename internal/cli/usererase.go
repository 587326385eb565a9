package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"time"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/idempotency"
	"roster/internal/typeid"
)

type userErase struct {
	userID
	Posts  string `group:"Used most:" env:"-" enum:"refuse,delete" default:"refuse" placeholder:"WHAT" help:"What to do with the posts of the user: refuse erases nothing if there are any, delete deletes them."`
	DryRun bool   `group:"Used most:" env:"-" help:"Change nothing. Count what would be erased."`
}

// Run erases the data. It can be killed at any moment: the next run completes it.
func (c *userErase) Run(ctx context.Context, e *environment, parent *userCommand) (err error) {
	id, err := c.parse()
	if err != nil {
		return err
	}
	logger := parent.Logger(e.stderr)
	db, err := e.openDatabase(ctx, parent.Database, logger, checking)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	x := &erasure{person: newPerson(id), db: db, deletePosts: c.Posts == "delete", dryRun: c.DryRun, deleted: map[typeid.ID]bool{}, ends: map[string]feed.Cursor{}}
	err = x.run(rules.WithCaller(ctx, rules.Everyone()))
	x.record(ctx, logger, err)
	if has, ok := errors.AsType[*postsError](err); ok {
		return fmt.Errorf("erase %v of %v: %w", id, db, has)
	}
	if err != nil {
		return failed(ctx, fmt.Sprintf("erase %v of %v", id, db), fmt.Errorf("%w: run it again to complete it", err))
	}
	_, err = fmt.Fprint(e.stdout, x.summary())
	return err
}

// postsError is the error of a user with posts that must not be deleted.
type postsError struct {
	posts  int
	erased bool // a part is erased already, since the posts are newer than the start of the command
}

func (e *postsError) Error() string {
	text := fmt.Sprintf("the user has %d posts: --posts=delete deletes them", e.posts)
	if e.posts == 1 {
		text = "the user has 1 post: --posts=delete deletes it"
	}
	if e.erased {
		return text + "; they are new, and the stored answers and the actor of the user are erased already"
	}
	return text + "; nothing is erased"
}

// erasure erases a person. The user goes last, because it has the identity by which the rest is found.
type erasure struct {
	*person

	db          *database.DB
	deletePosts bool
	suspended   bool
	dryRun      bool

	// What is erased and committed. In a dry run: what would be.
	users, posts, actors, answers int

	start   time.Time          // answers that are claimed from then on can be newer than the last look at them
	deleted map[typeid.ID]bool // the posts that are deleted
	ends    map[string]feed.Cursor
}

// skew is the greatest difference of the clocks of servers for which an erasure finds all new answers, with the duration
// of a mutation.
const skew = 5 * time.Minute

// erasePosts is the number of posts that one transaction deletes.
const erasePosts = 1000

func (x *erasure) run(ctx context.Context) error {
	session := x.db.Session(database.Single)
	u, err := findUser(ctx, session, x.id)
	if err != nil {
		return err
	}
	if u == nil {
		return x.eraseAnswers(ctx) // those that name the user by its ID
	}
	x.suspended = u.Status == rules.Suspended
	counts, err := ent.NewClient(ent.Driver(session)).Post.Reader().CountBy(ctx, post.FieldAuthorID, []typeid.ID{x.id})
	if err != nil {
		return err
	}
	posts := counts[x.id.As("")]
	if posts > 0 && !x.deletePosts {
		return &postsError{posts: posts}
	}
	if x.dryRun {
		x.users, x.posts = 1, posts
	}
	for {
		x.learn(u)
		x.start = time.Time{}
		if err := x.eraseActors(ctx); err != nil {
			return err
		}
		if err := x.eraseAnswers(ctx); err != nil || x.dryRun {
			return err
		}
		if u, err = x.eraseUser(ctx); err != nil || u == nil {
			return err
		}
	}
}

// eraseActors removes the actor from the changes that the person has made so far.
func (x *erasure) eraseActors(ctx context.Context) error {
	for _, subject := range x.subjects {
		if x.dryRun {
			n, err := feed.CountActor(ctx, x.db.Session(database.Single), subject)
			if x.actors += int(n); err != nil {
				return err
			}
			continue
		}
		err := retrying(ctx, func() error {
			n, end, err := feed.EraseActor(ctx, x.db, subject)
			x.actors, x.ends[subject] = x.actors+int(n), end
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eraseAnswers erases the stored answers that have data of the person and are newer than the last look. Each transaction
// erases those of one page.
func (x *erasure) eraseAnswers(ctx context.Context) error {
	session := x.db.Session(database.Single)
	last, err := idempotency.Last(ctx, session)
	if err != nil {
		return err
	}
	if now := time.Now(); last.IsZero() || last.After(now) { // no claim, or the clock of a server is ahead
		last = now
	}
	from := x.start
	x.start = last.Add(-skew)
	return idempotency.Read(ctx, session, from, func(page []idempotency.Answer) error {
		answers, err := x.person.answers(page, func(ids []typeid.ID) (map[typeid.ID]bool, error) {
			posts, err := directory.PostsOf(ctx, session, x.id, ids)
			maps.Copy(posts, x.deletedOf(ids))
			return posts, err
		})
		if err != nil || len(answers) == 0 {
			return err
		}
		if x.dryRun {
			x.answers += len(answers)
			return nil
		}
		return retrying(ctx, func() error {
			tx := x.db.Session(database.Write)
			defer tx.Rollback()
			n, err := idempotency.Erase(ctx, tx, answers)
			if err == nil {
				err = tx.Commit()
			}
			if err == nil {
				x.answers += n
			}
			return err
		})
	})
}

// deletedOf returns the posts among ids that are deleted.
func (x *erasure) deletedOf(ids []typeid.ID) map[typeid.ID]bool {
	posts := map[typeid.ID]bool{}
	for _, id := range ids {
		if x.deleted[id] {
			posts[id] = true
		}
	}
	return posts
}

// eraseUser deletes the posts and then the user. Each transaction locks the user first: so no post can be added meanwhile,
// and what the person has written is committed. If the user has new texts by then, it returns the user and changes no
// more. If another program has deleted the user, it erases the rest. The last transaction reads the newest answers, so
// those that came with the deletions before are read first, when nobody waits for them.
func (x *erasure) eraseUser(ctx context.Context) (changed *ent.User, err error) {
	for more := x.deletePosts; more; {
		if more, changed, err = x.step(ctx, false); err != nil || changed != nil {
			return changed, err
		}
	}
	if len(x.deleted) > 0 {
		if err := x.eraseAnswers(ctx); err != nil {
			return nil, err
		}
	}
	for more := true; more; {
		if more, changed, err = x.step(ctx, true); err != nil || changed != nil {
			return changed, err
		}
	}
	return nil, nil
}

// step is a transaction of eraseUser: it deletes posts and, as the last one, the user. more reports whether posts can be
// left.
func (x *erasure) step(ctx context.Context, last bool) (more bool, changed *ent.User, err error) {
	err = retrying(ctx, func() (err error) {
		more, changed, err = x.tryStep(ctx, last)
		return err
	})
	return more, changed, err
}

func (x *erasure) tryStep(ctx context.Context, last bool) (more bool, changed *ent.User, err error) {
	session := x.db.Session(database.Write)
	tx := directory.New(session, directory.Options{Clock: time.Now, IDs: typeid.NewSource(time.Now, rand.Reader)})
	defer tx.Rollback()
	locked, err := tx.Client().User.Reader().Lock(ctx, x.id)
	if err != nil {
		return false, nil, err
	}
	u := locked[x.id]
	if u != nil && !x.knows(u) {
		return false, u, nil
	}
	var posts []typeid.ID
	if u != nil && x.deletePosts {
		if posts, err = tx.DeletePostsOf(ctx, x.id, erasePosts); err != nil {
			return false, nil, err
		}
	}
	more = len(posts) == erasePosts
	answers, actors := 0, 0
	if last = last && !more; last {
		if u != nil {
			if err := x.deleteUser(ctx, tx); err != nil {
				return false, nil, err
			}
		}
		if answers, err = x.eraseNewAnswers(ctx, session, posts); err != nil {
			return false, nil, err
		}
		if actors, err = x.eraseNewActors(ctx, session); err != nil {
			return false, nil, err
		}
	}
	if err := tx.Commit(ctx, nil); err != nil {
		return false, nil, err
	}
	for _, id := range posts {
		x.deleted[id] = true
	}
	x.posts, x.answers, x.actors = x.posts+len(posts), x.answers+answers, x.actors+actors
	if u != nil && last {
		x.users = 1
	}
	return more, nil, nil
}

// deleteUser deletes the user, which has no posts any more.
func (x *erasure) deleteUser(ctx context.Context, tx *directory.Transaction) error {
	_, err := tx.DeleteUsers(ctx, []directory.DeleteUser{{Target: directory.Target{ID: x.id}}})
	faults, ok := errors.AsType[rules.Faults](err)
	if !ok || faults[0].Code != rules.HasDependents {
		return err
	}
	counts, err := tx.Client().Post.Reader().CountBy(ctx, post.FieldAuthorID, []typeid.ID{x.id})
	if err != nil {
		return err
	}
	return &postsError{posts: counts[x.id.As("")], erased: true}
}

// eraseNewAnswers erases the answers with data of the person that are newer than the last look. posts are the posts that
// the transaction has deleted: nobody can change them any more.
func (x *erasure) eraseNewAnswers(ctx context.Context, session *database.Session, posts []typeid.ID) (n int, err error) {
	err = idempotency.Read(ctx, session, x.start, func(page []idempotency.Answer) error {
		answers, err := x.person.answers(page, func(ids []typeid.ID) (map[typeid.ID]bool, error) {
			deleted := x.deletedOf(ids)
			for _, id := range posts {
				deleted[id] = true
			}
			return deleted, nil
		})
		if err != nil {
			return err
		}
		erased, err := idempotency.Erase(ctx, session, answers)
		n += erased
		return err
	})
	return n, err
}

// eraseNewActors removes the actor from the changes that eraseActors did not see.
func (x *erasure) eraseNewActors(ctx context.Context, session *database.Session) (actors int, err error) {
	for _, subject := range x.subjects {
		n, err := feed.EraseActorSince(ctx, session, subject, x.ends[subject])
		if actors += int(n); err != nil {
			return actors, err
		}
	}
	return actors, nil
}

// Bounds of the retries of one transaction.
const (
	mostTries = 10
	firstWait = 10 * time.Millisecond // doubled with each try
)

// retrying calls do again while it loses races against other transactions.
func retrying(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		failure := database.AsFailure(err)
		if failure == nil || try == mostTries || ctx.Err() != nil {
			return err
		}
		switch failure.Kind {
		case database.Retry, database.Unique, database.ForeignKey:
		default:
			return err
		}
		wait := time.NewTimer(time.Duration(float64(firstWait<<try) * (0.5 + mathrand.Float64()))) //nolint:gosec // G404: no secret
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
}

// record logs the end of an erasure, with the numbers of the rows that are erased.
func (x *erasure) record(ctx context.Context, logger *slog.Logger, err error) {
	logger.InfoContext(ctx, "erased", "by", bounded(operator(os.Getuid())), "user", x.id, "result", result(ctx, err), "dry_run", x.dryRun,
		"users", x.users, "posts", x.posts, "answers", x.answers, "actors", x.actors)
}

// summary says what is erased, and what remains.
func (x *erasure) summary() string {
	var b strings.Builder
	switch {
	case x.dryRun && x.users > 0:
		fmt.Fprintf(&b, "%v of %v would be erased.\n", x.id, x.db)
	case x.users > 0:
		fmt.Fprintf(&b, "%v of %v is erased.\n", x.id, x.db)
	default:
		fmt.Fprintf(&b, "No user of %v has the ID %v.\n", x.db, x.id)
	}
	if x.users+x.posts+x.answers+x.actors == 0 {
		b.WriteString("Nothing is left to erase.\n")
	} else {
		fmt.Fprintf(&b, "  users                   %d\n  posts                   %d\n", x.users, x.posts)
		fmt.Fprintf(&b, "  stored answers          %d\n  actors of changes       %d\n", x.answers, x.actors)
	}
	if x.dryRun {
		b.WriteString("This was a dry run: nothing is erased.\n")
	}
	b.WriteString(remains)
	if len(x.subjects) == 0 {
		b.WriteString(unknownActor)
	}
	if x.suspended {
		b.WriteString(wasSuspended)
	}
	return b.String()
}

// remains says what an erasure does not erase.
const remains = `What remains, and for how long:
  changes of the user and its posts, with IDs and names of fields, without values: --keep-changes of the servers (default: 7 days)
  idempotency keys without their answers, as hashes: --keep-idempotency-keys of the servers (default: 24 hours)
  former usernames and email addresses, texts of posts that were deleted before, and of posts in stored answers without an
    ID: the same time
  the actor of changes that the person made with another identity than its last one: --keep-changes
  a hash of the identity, so that nobody is linked to it by email again: for ever
  deleted rows in the files of the database: until the database reuses their place, as VACUUM does
  backups, logs, copies of clients that follow the changes, and cursors that clients hold, with values such as a username:
    as long as they are kept. Erase them there.
  posts of other users that mention the person
docs/personal-data.md has more.
`

// wasSuspended is added for a user that was suspended.
const wasSuspended = `WARNING: the user was suspended. Nothing suspends the person any more: a token with the role ADMIN works again. End its
access at the identity provider.
`

// unknownActor is added for a person whose identity is not known.
const unknownActor = `The identity of the user is not known. If the user had one, changes that it made keep their actor: --keep-changes.
`
