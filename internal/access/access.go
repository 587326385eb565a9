// Package access finds the caller of a request. It turns a token or an API key into a rules.Caller with its user and its
// roles, links users to identities by their email addresses, and notices when a caller may no longer use the server:
// because its user was suspended, its key was revoked, or its credentials expired. Package auth verifies the
// credentials themselves. Package access knows no HTTP and no GraphQL.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"roster/ent/apikey"
	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/database"
	"roster/internal/typeid"
)

const (
	// keep is the maximum age of a lookup in memory. A suspension and a revocation take effect after this time for
	// requests. An open stream can begin at its end, and ends at most watchInterval later: together less than a second,
	// with time to spare for the statements.
	keep          = 400 * time.Millisecond
	watchInterval = 300 * time.Millisecond
	// useInterval is the minimum time between two writes of the last use of an API key, over all servers.
	useInterval = time.Minute
	// timeout is the maximum time of a lookup, a link or a write in the database.
	timeout = 5 * time.Second
	// maxBatch is the maximum number of identities or keys of one statement.
	maxBatch = 1_000
	// readers and linkers are the maximum numbers of statements of each kind, and of links, at the same time. pace is the
	// time for which each of them rests afterwards. So a flood of unknown keys takes a few connections, and sends at most
	// 400 statements in a second. Lookups that wait meanwhile share the next statement.
	readers = 4
	linkers = 2
	pace    = 10 * time.Millisecond
	// maxStrangers is the maximum number of API keys in a second that are looked up for clients that have sent many wrong ones.
	maxStrangers = 20
)

// Options configure an Access.
type Options struct {
	Verifier *auth.Verifier
	Database *database.DB
	// Anonymous lets callers without credentials read what a MEMBER may read.
	Anonymous bool
	// LinkByEmail gives a caller without a user the user that has its email address.
	LinkByEmail bool
	// IDs creates the IDs of changes and entities.
	IDs *typeid.Source
	// Clock is the source of time; nil is the system's clock.
	Clock func() time.Time
	// Logger gets a line at the level debug when a last use cannot be written. nil discards it.
	Logger *slog.Logger
	// Committed is called after a transaction that links a user. nil is no call.
	Committed func()
}

// An Access finds the callers of requests. It implements server.Authenticator. All methods may be called concurrently.
type Access struct {
	Options

	owners  *cache[rules.Identity, owner]
	links   *cache[link, owner]
	keys    *cache[hash, *apiKey]
	uses    uses
	watches watches
	// strangers bounds the lookups of API keys that this server has not seen, for clients that have sent many wrong ones.
	strangers *rate.Limiter
}

// hash is the SHA-256 hash of an API key.
type hash [sha256.Size]byte

// String returns the hash as the database has it.
func (h hash) String() string { return hex.EncodeToString(h[:]) }

// New returns an Access.
func New(o Options) *Access {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Committed == nil {
		o.Committed = func() {}
	}
	a := &Access{Options: o, uses: newUses(), watches: newWatches(), strangers: rate.NewLimiter(maxStrangers, maxStrangers)}
	a.owners = newCache(o.Clock, maxBatch, a.readOwners)
	a.keys = newCache(o.Clock, maxBatch, a.readKeys)
	a.links = newCache(o.Clock, 1, a.linkOwners)
	return a
}

// Run does the work of an Access until ctx ends: it keeps the provider's keys up to date, reads and links users, watches
// the callers of open streams, and writes last uses. Until Run runs, Authenticate waits. End ctx after the last request.
func (a *Access) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	a.startLookups(ctx, &running)
	running.Go(func() { a.writeUses(ctx) })
	running.Go(func() { a.watch(ctx) })
}

// startLookups starts the goroutines that Authenticate waits for.
func (a *Access) startLookups(ctx context.Context, running *sync.WaitGroup) {
	running.Go(func() { a.Verifier.Run(ctx) })
	for range readers {
		running.Go(func() { a.owners.run(ctx) })
		running.Go(func() { a.keys.run(ctx) })
	}
	for range linkers {
		running.Go(func() { a.links.run(ctx) })
	}
}

// Authenticate returns a context with the caller, made from ctx. authorization has the values of the header
// Authorization. Without a value, the caller is nobody. The error is an *auth.InvalidError, an *auth.ForbiddenError,
// auth.ErrAmbiguous for several values, or auth.ErrSuspended. Any other error says that the caller cannot be found now:
// auth.ErrUnavailable, an error of the database, or that of ctx.
func (a *Access) Authenticate(ctx context.Context, authorization ...string) (context.Context, error) {
	text, err := auth.Bearer(authorization...)
	switch {
	case errors.Is(err, auth.ErrNoCredentials):
		return rules.WithCaller(ctx, rules.Caller{Reader: a.Anonymous}), nil
	case err != nil:
		return nil, err
	case strings.HasPrefix(text, auth.APIKeyPrefix):
		return a.withKey(ctx, text)
	default:
		return a.withToken(ctx, text)
	}
}

// Known reports whether Authenticate is likely to accept the values without the work of verifying a new token: they are a
// token that was verified before, or an API key. It is asked before a client is refused that has sent many wrong ones.
func (a *Access) Known(authorization ...string) bool {
	text, err := auth.Bearer(authorization...)
	if err != nil {
		return false
	}
	if !strings.HasPrefix(text, auth.APIKeyPrefix) {
		return a.Verifier.Known(text)
	}
	secret, err := auth.ParseAPIKey(text)
	if err != nil {
		return false
	}
	if k := a.keys.last(secret.Hash()); k != nil {
		return k.refusal(a.Clock()) == nil
	}
	return a.strangers.AllowN(a.Clock(), 1) // the key may be in the database
}

// withToken returns a context with the bearer of a token.
func (a *Access) withToken(ctx context.Context, text string) (context.Context, error) {
	claims, err := a.Verifier.Verify(ctx, text)
	if err != nil {
		return nil, err
	}
	if err := CheckSubject(claims.Subject); err != nil {
		return nil, err
	}
	identity := rules.Identity{Issuer: claims.Issuer, Subject: claims.Subject}
	u, err := a.owners.get(ctx, identity)
	if err == nil && u.id == (typeid.ID{}) && a.LinkByEmail && claims.Email != "" {
		u, err = a.links.get(ctx, link{identity, claims.Email})
	}
	if err != nil {
		return nil, fmt.Errorf("find the user of a token: %w", err)
	}
	if u.suspended {
		return nil, auth.ErrSuspended
	}
	caller := rules.Caller{
		Issuer: claims.Issuer, Subject: claims.Subject, Name: claims.Subject, Roles: claims.Roles, User: u.id, LinksByEmail: a.LinkByEmail,
	}
	return withProof(rules.WithCaller(ctx, caller), &proof{identity: identity, user: u.id, expires: claims.Expires}), nil
}

// CheckSubject refuses the subject of a token that is the ID of an API key, because the actor of a change is one or the
// other. The error is an *auth.InvalidError.
func CheckSubject(subject string) error {
	if !strings.HasPrefix(subject, apikey.Label) { // as nearly all: the error of Parse costs more than it
		return nil
	}
	if id, err := typeid.Parse(subject); err == nil && id.Type() == apikey.Label {
		return &auth.InvalidError{Description: "the subject of the token is the ID of an API key", Detail: subject}
	}
	return nil
}

// withKey returns a context with the program that has an API key.
func (a *Access) withKey(ctx context.Context, text string) (context.Context, error) {
	secret, err := auth.ParseAPIKey(text)
	if err != nil {
		return nil, err
	}
	h := hash(secret.Hash())
	k, err := a.keys.get(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("find an API key: %w", err)
	}
	if err := k.refusal(a.Clock()); err != nil {
		return nil, err
	}
	a.use(k)
	caller := rules.Caller{Subject: k.subject, Name: k.name, Roles: k.roles, Key: k.id}
	p := &proof{key: h}
	if k.expires != nil {
		p.expires = *k.expires
	}
	return withProof(rules.WithCaller(ctx, caller), p), nil
}
