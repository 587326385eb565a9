package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"roster/ent"
	"roster/ent/apikey"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/typeid"
)

type keysCommand struct {
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
	Create          keysCreate `cmd:"" help:"Create an API key, and print its secret."`
	List            keysList   `cmd:"" help:"List all API keys, without their secrets."`
	Revoke          keysRevoke `cmd:"" help:"Revoke an API key."`
}

type keysCreate struct {
	Name      string         `group:"Used most:" env:"-" required:"" placeholder:"TEXT" help:"Name of the key, of 1 to 80 characters. Two keys can have the same name."`
	Role      []rules.Role   `group:"Used most:" env:"-" required:"" enum:"ADMIN,MEMBER" placeholder:"ROLE" help:"Role of the key: ADMIN or MEMBER. Give the flag twice for both."`
	ExpiresIn *time.Duration `group:"Used most:" env:"-" xor:"expiry" placeholder:"DURATION" help:"Time after which the key expires, such as 720h. Without it and --expires-at: never."`
	ExpiresAt time.Time      `group:"Used most:" env:"-" xor:"expiry" placeholder:"TIME" help:"Time at which the key expires: a date or an RFC 3339 time."`
}

// Validate checks the flags. kong calls it.
func (c *keysCreate) Validate() error {
	if c.ExpiresIn != nil && *c.ExpiresIn <= 0 {
		return fmt.Errorf("--expires-in must be longer than 0s, not %s", *c.ExpiresIn)
	}
	return nil
}

// Run creates a key. Only the secret goes to the standard output, so that a script can take it.
func (c *keysCreate) Run(ctx context.Context, e *environment, parent *keysCommand) (err error) {
	secret, err := auth.NewAPIKey(rand.Reader)
	if err != nil {
		return err
	}
	hash := secret.Hash()
	input := directory.CreateAPIKey{
		Name: c.Name, Roles: c.Role, ExpiresAt: c.expiry(time.Now()), Prefix: secret.Prefix(), SecretHash: hex.EncodeToString(hash[:]),
	}
	db, err := e.openDatabase(ctx, parent.Database, parent.Logger(e.stderr), migrating)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	k, err := writeKey(ctx, db, func(ctx context.Context, tx *directory.Transaction) ([]*ent.ApiKey, error) {
		return tx.CreateAPIKeys(ctx, []directory.CreateAPIKey{input})
	})
	if faults, ok := errors.AsType[rules.Faults](err); ok {
		return &exitError{fmt.Errorf("%s %s", c.flag(faults[0].Path), faults[0].Message), exitUsage}
	}
	if err != nil {
		return failed(ctx, fmt.Sprintf("create an API key in %v", db), err)
	}
	if _, err := fmt.Fprintln(e.stdout, secret.Secret()); err != nil {
		return fmt.Errorf("%v exists now, but its secret cannot be written: revoke it with roster keys revoke: %w", k.ID, err)
	}
	fmt.Fprintf(e.stderr, "API key %v of %v\n  name     %s\n  roles    %s\n  prefix   %s\n  expires  %s\nThe secret is shown only now.\n",
		k.ID, db, k.Name, k.Roles, k.Prefix, timeOr(k.ExpiresAt, "never"))
	return nil
}

// expiry returns the time of the flags, or nil.
func (c *keysCreate) expiry(now time.Time) *time.Time {
	switch {
	case c.ExpiresIn != nil:
		return new(now.Add(*c.ExpiresIn).Truncate(time.Microsecond))
	case !c.ExpiresAt.IsZero():
		return &c.ExpiresAt
	}
	return nil
}

// flag returns the flag that has the fault with a path.
func (c *keysCreate) flag(path []any) string {
	switch path[len(path)-1] {
	case "name":
		return "--name"
	case "expiresAt":
		if c.ExpiresIn != nil {
			return "--expires-in"
		}
		return "--expires-at"
	}
	return "--role"
}

type keysList struct {
	Format string `group:"Used most:" env:"-" enum:"table,jsonl" default:"table" placeholder:"FORMAT" help:"Format: table, or jsonl (a JSON object on each line)."`
}

// Run prints all keys of one moment, the oldest first.
func (c *keysList) Run(ctx context.Context, e *environment, parent *keysCommand) (err error) {
	db, err := e.openDatabase(ctx, parent.Database, parent.Logger(e.stderr), checking)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keys, err := readKeys(ctx, db)
	if err != nil {
		return failed(ctx, fmt.Sprintf("list the API keys of %v", db), err)
	}
	var b strings.Builder
	if c.Format == "jsonl" {
		err = writeKeyLines(&b, keys)
	} else {
		err = writeKeyTable(&b, keys)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(e.stdout, b.String())
	return err
}

// readKeys returns all keys.
func readKeys(ctx context.Context, db *database.DB) (keys []*ent.ApiKey, err error) {
	ctx = rules.WithCaller(ctx, rules.Everyone())
	session := db.Session(database.Snapshot)
	defer session.Rollback() // it changes nothing
	reader := ent.NewClient(ent.Driver(session)).ApiKey.Reader()
	columns := query.ColumnsOf(ent.ApiKeyTable, apikey.FieldName, apikey.FieldRoles, apikey.FieldPrefix, apikey.FieldCreatedAt,
		apikey.FieldExpiresAt, apikey.FieldLastUsedAt, apikey.FieldRevokedAt)
	args := query.Args{First: new(query.MaxSize)}
	for {
		page, err := query.ReadPage[ent.ApiKey, ent.ApiKeyWhere](ctx, reader, "ApiKeys", columns, args, nil, nil)
		if err != nil {
			return nil, err
		}
		keys = append(keys, page.Nodes()...)
		if args.After = page.PageInfo().EndCursor; !page.PageInfo().HasNextPage {
			return keys, nil
		}
	}
}

// writeKeyTable writes a line for each key. No text of a key has control characters.
func writeKeyTable(w io.Writer, keys []*ent.ApiKey) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tROLES\tPREFIX\tCREATED\tEXPIRES\tLAST USED\tREVOKED")
	for _, k := range keys {
		fmt.Fprintf(table, "%v\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Roles, k.Prefix, timeOr(&k.CreatedAt, ""),
			timeOr(k.ExpiresAt, "never"), timeOr(k.LastUsedAt, "never"), timeOr(k.RevokedAt, "no"))
	}
	return table.Flush()
}

// writeKeyLines writes a JSON object for each key, with the names of GraphQL.
func writeKeyLines(w io.Writer, keys []*ent.ApiKey) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, k := range keys {
		line := struct {
			ID         typeid.ID    `json:"id"`
			Name       string       `json:"name"`
			Roles      []rules.Role `json:"roles"`
			Prefix     string       `json:"prefix"`
			CreatedAt  string       `json:"createdAt"`
			ExpiresAt  *string      `json:"expiresAt"`
			LastUsedAt *string      `json:"lastUsedAt"`
			RevokedAt  *string      `json:"revokedAt"`
		}{k.ID, k.Name, k.Roles.Roles(), k.Prefix, *fullTime(&k.CreatedAt), fullTime(k.ExpiresAt), fullTime(k.LastUsedAt), fullTime(k.RevokedAt)}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// timeOr returns a time in seconds for people, or a word for nil.
func timeOr(t *time.Time, word string) string {
	if t == nil {
		return word
	}
	return t.UTC().Format(time.RFC3339)
}

// fullTime returns a time as GraphQL has it, or nil.
func fullTime(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return new(t.UTC().Format(rules.TimeFormat))
}

type keysRevoke struct {
	ID string `arg:"" help:"ID of the key, as roster keys list prints it."`
}

// Validate checks the argument. kong calls it, also without the argument.
func (c *keysRevoke) Validate() error {
	if strings.HasPrefix(c.ID, auth.APIKeyPrefix) {
		return errors.New("<id> must be the ID of the API key, and not its secret: roster keys list has the IDs")
	}
	if id, _ := typeid.Parse(c.ID); c.ID != "" && id.Type() != apikey.Label {
		return fmt.Errorf("<id> must be the ID of an API key, such as api_key_01jvsz5r0xe3k8m1p4s6t9w2yb, not %q", c.ID)
	}
	return nil
}

// Run revokes a key. A key that is revoked already stays as it is.
func (c *keysRevoke) Run(ctx context.Context, e *environment, parent *keysCommand) (err error) {
	id, err := typeid.Parse(c.ID)
	if err != nil { // an empty text, which Validate takes for no argument
		return misuse(errors.New("<id> must be the ID of an API key, and not empty"))
	}
	db, err := e.openDatabase(ctx, parent.Database, parent.Logger(e.stderr), checking)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	k, err := writeKey(ctx, db, func(ctx context.Context, tx *directory.Transaction) ([]*ent.ApiKey, error) {
		return tx.RevokeAPIKeys(ctx, []directory.Target{{ID: id}})
	})
	if faults, ok := errors.AsType[rules.Faults](err); ok && faults[0].Code == rules.NotFound {
		return fmt.Errorf("no API key of %v has the ID %v: roster keys list has all IDs", db, id)
	}
	if err != nil {
		return failed(ctx, fmt.Sprintf("revoke %v in %v", id, db), err)
	}
	_, err = fmt.Fprintf(e.stdout, "%v (%s) of %v is revoked. Servers refuse it within a second.\n", k.ID, k.Name, db)
	return err
}

// writeKey writes a key in a transaction, and returns it.
func writeKey(
	ctx context.Context, db *database.DB, write func(context.Context, *directory.Transaction) ([]*ent.ApiKey, error),
) (*ent.ApiKey, error) {
	ctx = rules.WithCaller(ctx, rules.Everyone())
	tx := directory.New(db.Session(database.Write), directory.Options{Clock: time.Now, IDs: typeid.NewSource(time.Now, rand.Reader)})
	defer tx.Rollback()
	keys, err := write(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(ctx, nil); err != nil {
		return nil, err
	}
	return keys[0], nil
}
