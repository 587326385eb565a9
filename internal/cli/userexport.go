package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/idempotency"
	"roster/internal/transfer"
	"roster/internal/typeid"
)

type userExport struct {
	userID
	Output string `group:"Used most:" env:"-" short:"o" placeholder:"FILE" help:"File to write. It appears when it is complete, and a new file can be read by its owner alone. Without the flag: the standard output."`
}

// Run writes the data.
func (c *userExport) Run(ctx context.Context, e *environment, parent *userCommand) (err error) {
	id, err := c.parse()
	if err != nil {
		return err
	}
	used := filesOf(parent.DatabaseURL)
	if err := e.clash(used); err != nil {
		return err
	}
	to, err := e.destination(ctx, c.Output, used, true)
	if err != nil {
		return fmt.Errorf("export %v: %w", id, err)
	}
	logger := parent.Logger(e.stderr)
	db, err := e.openDatabase(ctx, parent.Database, logger, checking)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	x := &personExport{person: newPerson(id)}
	err = to(func(w io.Writer) error { return x.write(rules.WithCaller(ctx, rules.Everyone()), db, w) })
	record(ctx, logger, "exported", cmp.Or(c.Output, "-"), err, "kind", "user", "user", id, "posts", x.posts, "changes", x.changes, "answers", x.stored)
	if errors.Is(err, errNoUser) {
		return fmt.Errorf("no user of %v has the ID %v: roster export users has all IDs", db, id)
	}
	if err != nil {
		return failed(ctx, fmt.Sprintf("export %v of %v", id, db), err)
	}
	return nil
}

// errNoUser is the error of an ID that no user has.
var errNoUser = errors.New("no user has the ID")

// personExport writes the data about a person, from one snapshot.
type personExport struct {
	*person

	session                *database.Session
	out                    *bufio.Writer
	posts, changes, stored int // what is written
}

// write writes one JSON object. The same data gives the same bytes on every engine.
func (x *personExport) write(ctx context.Context, db *database.DB, w io.Writer) error {
	x.session = db.Session(database.Snapshot)
	defer x.session.Rollback() // the session only reads
	u, err := findUser(ctx, x.session, x.id)
	if err != nil {
		return err
	}
	if u == nil {
		return errNoUser
	}
	x.learn(u)
	x.out = bufio.NewWriterSize(w, 64<<10)
	for _, part := range []struct {
		before string
		write  func() error
	}{
		{"{\n\"user\": ", func() error { return x.writeUser(u) }},
		{",\n\"posts\": ", func() error { return x.writePosts(ctx) }},
		{",\n\"changesAbout\": ", func() error { return x.writeChangesAbout(ctx) }},
		{",\n\"changesBy\": ", func() error { return x.writeChangesBy(ctx, u) }},
		{",\n\"storedAnswers\": ", func() error { return x.writeAnswers(ctx) }},
		{",\n\"formerIdentity\": ", func() error { return x.writeFormer(ctx, u) }},
		{",\n\"notInRoster\": ", func() error { return x.encode(notInRoster()) }},
		{"\n}\n", x.out.Flush},
	} {
		if _, err := x.out.WriteString(part.before); err != nil {
			return err
		}
		if err := part.write(); err != nil {
			return err
		}
	}
	return nil
}

// notInRoster names the places that can have data about the person, and that the export does not read.
func notInRoster() map[string]string {
	return map[string]string{
		"backups": "copies of the database, for as long as they are kept",
		"clients": "copies that clients made, such as those that follow the change feed; cursors have values of the rows, such as a username",
		"logs":    "lines with IDs, subjects and addresses of clients, for as long as the logs are kept",
		"posts":   "posts of other users that mention the person",
		"names":   "API keys whose names mention the person",
	}
}

// encode writes a value as JSON, without a line break at its end.
func (x *personExport) encode(v any) error {
	var b bytes.Buffer
	texts := json.NewEncoder(&b)
	texts.SetEscapeHTML(false)
	if err := texts.Encode(v); err != nil {
		return err
	}
	_, err := x.out.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return err
}

func (x *personExport) writeUser(u *ent.User) error {
	type identity struct {
		Issuer  string `json:"issuer"`
		Subject string `json:"subject"`
	}
	var i *identity
	if had := directory.IdentityOf(u); had != nil {
		i = &identity{had.Issuer, had.Subject}
	}
	return x.encode(struct {
		ID        typeid.ID    `json:"id"`
		Username  string       `json:"username"`
		Email     string       `json:"email"`
		Status    rules.Status `json:"status"`
		Identity  *identity    `json:"identity"`
		CreatedAt string       `json:"createdAt"`
		UpdatedAt string       `json:"updatedAt"`
		Version   int          `json:"version"`
	}{u.ID, u.Username, u.Email, u.Status, i, *fullTime(&u.CreatedAt), *fullTime(&u.UpdatedAt), u.Version})
}

func (x *personExport) writePosts(ctx context.Context) (err error) {
	list := &elements{out: x.out}
	if x.posts, err = transfer.ExportPostsOf(ctx, x.session, x.id, list); err != nil {
		return err
	}
	return list.close()
}

// exportedChange is a change of the export.
type exportedChange struct {
	At            string    `json:"at"`
	Type          string    `json:"type"`
	NodeID        typeid.ID `json:"nodeId"`
	Kind          string    `json:"kind"`
	Version       int       `json:"version"`
	ChangedFields []string  `json:"changedFields"`
	// ByPerson says that the person made the change. The actors of other changes are data about other people.
	ByPerson *bool  `json:"byPerson,omitempty"`
	Actor    string `json:"actor,omitempty"`
}

// writeChangesAbout writes the changes of the user, and those of its posts that exist.
func (x *personExport) writeChangesAbout(ctx context.Context) error {
	return x.writeChanges(ctx, func(page []feed.Change) ([]feed.Change, error) {
		var ids []typeid.ID
		for i := range page {
			if page[i].NodeID.Type() == post.Label {
				ids = append(ids, page[i].NodeID)
			}
		}
		posts, err := directory.PostsOf(ctx, x.session, x.id, ids)
		var about []feed.Change
		for i := range page {
			if page[i].NodeID == x.id || posts[page[i].NodeID] {
				about = append(about, page[i])
			}
		}
		return about, err
	}, func(c *feed.Change, out *exportedChange) { out.ByPerson = new(x.made(c)) })
}

// writeChangesBy writes the changes that the person made, or null if nobody could know them.
func (x *personExport) writeChangesBy(ctx context.Context, u *ent.User) error {
	if directory.IdentityOf(u) == nil {
		return x.encode(nil)
	}
	return x.writeChanges(ctx, func(page []feed.Change) (by []feed.Change, err error) {
		for i := range page {
			if x.made(&page[i]) {
				by = append(by, page[i])
			}
		}
		return by, nil
	}, func(c *feed.Change, out *exportedChange) { out.Actor = c.Actor })
}

// made reports whether the person made a change.
func (x *personExport) made(c *feed.Change) bool {
	return len(x.subjects) > 0 && c.Actor == x.subjects[0]
}

// writeChanges writes the changes that choose takes of each page. complete adds the fields that the lists do not share.
func (x *personExport) writeChanges(
	ctx context.Context, choose func(page []feed.Change) ([]feed.Change, error), complete func(*feed.Change, *exportedChange),
) error {
	list := &elements{out: x.out}
	err := feed.Scan(ctx, x.session, func(page []feed.Change) error {
		chosen, err := choose(page)
		if err != nil {
			return err
		}
		for i := range chosen {
			c := &chosen[i]
			out := exportedChange{
				At: c.At.Format(rules.TimeFormat), Type: strings.ToUpper(c.NodeID.Type()), NodeID: c.NodeID,
				Kind: strings.ToUpper(string(c.Kind)), Version: c.Version, ChangedFields: append([]string{}, c.Fields...),
			}
			complete(c, &out)
			if err := list.next(); err != nil {
				return err
			}
			if err := x.encode(out); err != nil {
				return err
			}
			x.changes++
		}
		return nil
	})
	if err != nil {
		return err
	}
	return list.close()
}

// writeAnswers writes the stored answers of the person, and those that have its data.
func (x *personExport) writeAnswers(ctx context.Context) error {
	list := &elements{out: x.out}
	err := idempotency.Read(ctx, x.session, time.Time{}, func(page []idempotency.Answer) error {
		answers, err := x.answers(page, func(ids []typeid.ID) (map[typeid.ID]bool, error) {
			return directory.PostsOf(ctx, x.session, x.id, ids)
		})
		if err != nil {
			return err
		}
		for _, a := range answers {
			if err := list.next(); err != nil {
				return err
			}
			err := x.encode(struct {
				At   string          `json:"at"`
				Own  bool            `json:"own"` // the person sent the request, and was no ADMIN
				Data json.RawMessage `json:"data"`
			}{a.At.Format(rules.TimeFormat), a.Authority == x.id.String(), a.Data})
			if err != nil {
				return err
			}
			x.stored++
		}
		return nil
	})
	if err != nil {
		return err
	}
	return list.close()
}

func (x *personExport) writeFormer(ctx context.Context, u *ent.User) error {
	f, err := directory.New(x.session, directory.Options{}).Former(ctx, u)
	if err != nil {
		return err
	}
	return x.encode(struct {
		IdentityHash bool `json:"identityHash"`
		UserHash     bool `json:"userHash"`
	}{f.Identity, f.User})
}

// elements are the elements of a JSON array, each on a line of its own.
type elements struct {
	out    *bufio.Writer
	n      int
	inside bool // of a line that Write gets in parts
}

// next writes what comes before an element.
func (e *elements) next() error {
	before := ",\n"
	if e.n++; e.n == 1 {
		before = "[\n"
	}
	_, err := e.out.WriteString(before)
	return err
}

// Write implements io.Writer for JSON lines: each line is an element.
func (e *elements) Write(lines []byte) (n int, err error) {
	for line := range bytes.SplitAfterSeq(lines, []byte("\n")) {
		if !e.inside && len(line) > 0 {
			if err := e.next(); err != nil {
				return n, err
			}
		}
		text, ends := bytes.CutSuffix(line, []byte("\n"))
		e.inside = !ends && (e.inside || len(line) > 0)
		if _, err := e.out.Write(text); err != nil {
			return n, err
		}
		n += len(line)
	}
	return n, nil
}

// close writes what comes after the last element.
func (e *elements) close() error {
	after := "\n]"
	if e.n == 0 {
		after = "[]"
	}
	_, err := e.out.WriteString(after)
	return err
}

var _ io.Writer = (*elements)(nil)
