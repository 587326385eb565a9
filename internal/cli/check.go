package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"entgo.io/ent/dialect"

	"roster/internal/admin"
	"roster/internal/auth"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/server"
)

// Bounds of the checks. docs/operations.md has them too.
const (
	// checkTimeout is the maximum time of one check, except that of the counts.
	checkTimeout = 30 * time.Second
	// The differences between two clocks, beyond what the measurement leaves open, from which check warns and fails.
	skewWarning, skewFailure = time.Second, auth.Leeway
	// clockReadings is the number of times that check reads the clock of the database. The quickest answer counts.
	clockReadings = 5
	// The bytes by which the file of a database can grow, below which check warns and fails.
	spaceWarning, spaceFailure = 1 << 30, 64 << 20
	// certificateWarning is the time before the end of the certificate from which check warns.
	certificateWarning = 14 * 24 * time.Hour
	// waitWarning is the age of a change without a number from which check warns.
	waitWarning = time.Minute
	// backupWarning is the age of the last backup from which check warns.
	backupWarning = 7 * 24 * time.Hour
)

type checkCommand struct {
	serveCommand
	Counts bool `group:"Checks:" env:"-" default:"true" negatable:"" help:"Compare the counts that the database keeps with the rows of its tables. This reads all rows."`
	JSON   bool `group:"Checks:" name:"json" env:"-" help:"Print a JSON object: ok, and checks with name, status, detail and remedy."`
}

// Help is the end of the help. kong calls it.
func (*checkCommand) Help() string {
	return "Checks the settings of roster serve, and the database, also while servers run. It takes the same flags, changes nothing, and applies no migration. " +
		"Exit code 0: no check failed. 1: a check failed. 2: the command line is wrong."
}

// A status is the outcome of a check.
type status string

// The outcomes.
const (
	passed  status = "ok"
	warned  status = "warning"
	failing status = "failed"
	leftOut status = "left out"
)

// A finding is the result of one check.
type finding struct {
	Name   string `json:"name"`
	Status status `json:"status"`
	// Detail says what was found, or why the check was left out.
	Detail string `json:"detail"`
	// Remedy says what to do. An error that says so itself has none.
	Remedy string `json:"remedy,omitempty"`
}

// report is the result of all checks.
type report struct {
	OK     bool      `json:"ok"` // no check failed
	Checks []finding `json:"checks"`
}

// Run prints what it finds.
func (c *checkCommand) Run(ctx context.Context, e *environment) error {
	used := filesOf(c.DatabaseURL)
	if c.TrustedDocuments != "" {
		if p, err := find(c.TrustedDocuments); err == nil {
			used = append(used, usedFile{p, "the file of trusted documents"})
		}
	}
	if err := e.clash(used); err != nil { // the results must not go into them
		return err
	}
	k := &checker{checkCommand: c, environment: e, logger: slog.New(slog.DiscardHandler)}
	k.checkSettings(ctx)
	if err := k.checkDatabase(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return failed(ctx, "check", ctx.Err())
	}
	r, failures := report{Checks: k.findings}, 0
	for _, f := range r.Checks {
		if f.Status == failing {
			failures++
		}
	}
	r.OK = failures == 0
	if err := c.print(e.stdout, r); err != nil {
		return err
	}
	if failures > 0 {
		return fmt.Errorf("check: failed: %d of %d", failures, len(r.Checks))
	}
	return nil
}

func (c *checkCommand) print(w io.Writer, r report) error {
	if c.JSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	const columns = "%-10s%-19s%s\n"
	var b strings.Builder
	for _, f := range r.Checks {
		fmt.Fprintf(&b, columns, f.Status, f.Name, strings.ReplaceAll(f.Detail, "\n", "; "))
		if f.Remedy != "" {
			fmt.Fprintf(&b, columns, "", "", f.Remedy)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// checker makes the checks, in order.
type checker struct {
	*checkCommand
	*environment

	logger   *slog.Logger // for what the parts of the program report: the findings have it
	findings []finding
}

func (k *checker) add(name string, s status, detail, remedy string) {
	k.findings = append(k.findings, finding{name, s, detail, remedy})
}

// fail adds a failed check. A failure of the database has its own remedy.
func (k *checker) fail(name string, err error, remedy string) {
	if f := database.AsFailure(err); f != nil && f.Advice != "" {
		remedy = f.Advice
	}
	k.add(name, failing, err.Error(), remedy)
}

// checkSettings checks everything but the database.
func (k *checker) checkSettings(ctx context.Context) {
	verifier := k.checkAuthentication()
	k.checkKeys(ctx, verifier)
	k.checkAccess(ctx, verifier != nil)
	k.checkCertificate()
	k.checkDocuments()
	k.checkTraces()
	k.checkListener(ctx)
}

func (k *checker) checkAuthentication() *auth.Verifier {
	const name = "authentication"
	verifier, err := k.newVerifier(k.Auth, k.logger)
	switch {
	case err != nil:
		k.fail(name, err, "")
	case verifier == nil && k.InsecureNoAuth:
		k.add(name, warned, "there is none, and everyone whose request comes to the server may do everything", "leave out --insecure-no-auth, and set up authentication: docs/security.md")
	case verifier == nil:
		k.add(name, passed, "there is none: only this machine reaches the server", "")
	case verifier.WantIssuer() != "":
		k.add(name, warned, fmt.Sprintf("the issuer %q does not have the form of the preset %s: %s", verifier.Issuer, verifier.Preset, verifier.WantIssuer()), "compare --auth-issuer with the provider")
	case k.AuthKeysOnly:
		k.add(name, passed, "API keys only", "")
	default:
		k.add(name, passed, fmt.Sprintf("API keys, and tokens of %s", verifier.Issuer), "")
	}
	return verifier
}

// checkKeys fetches the keys of the provider.
func (k *checker) checkKeys(ctx context.Context, verifier *auth.Verifier) {
	const name = "provider"
	switch {
	case verifier == nil:
		k.add(name, leftOut, "no authentication to check", "")
		return
	case k.AuthKeysOnly:
		k.add(name, leftOut, "API keys need no provider", "")
		return
	case len(verifier.Secrets) > 0:
		k.add(name, passed, fmt.Sprintf("none is needed: tokens are signed with one of %d secrets", len(verifier.Secrets)), "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	switch n, err := verifier.Keys(ctx); {
	case err != nil:
		k.fail(name, fmt.Errorf("its keys cannot be fetched: %w", err), "check that the provider runs, that this machine reaches it, and --auth-issuer or --auth-jwks-url")
	case n == 0:
		k.add(name, failing, "it has no key that can verify tokens", "see docs/security.md for the kinds of keys")
	default:
		k.add(name, passed, fmt.Sprintf("keys that can verify tokens: %d", n), "")
	}
}

func (k *checker) checkAccess(ctx context.Context, authentication bool) {
	const name = "access"
	err := k.checkDoors(ctx, authentication)
	if err == nil {
		_, err = k.Proxies(k.localOnly(authentication))
	}
	if err == nil {
		err = k.checkAdmin(ctx)
	}
	if err != nil {
		k.fail(name, err, "")
		return
	}
	k.add(name, passed, "the settings fit each other, in the mode "+k.Mode, "")
}

func (k *checker) checkCertificate() {
	const name = "tls"
	if k.TLSCert == "" {
		k.add(name, leftOut, "the server has no certificate", "")
		return
	}
	security, err := k.security(k.logger)
	if err != nil {
		k.fail(name, err, "")
		return
	}
	certificate, err := security.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		k.fail(name, err, "")
		return
	}
	const renew = "renew it: the server loads it again when the files change"
	start, end, now := certificate.Leaf.NotBefore, certificate.Leaf.NotAfter, k.clock()
	switch text := "the certificate is valid until " + end.UTC().Format(time.RFC3339); {
	case now.Before(start):
		k.add(name, failing, "the certificate is not valid before "+start.UTC().Format(time.RFC3339), "correct the clock of this machine, or use another certificate")
	case !now.Before(end):
		k.add(name, failing, "the certificate has expired at "+end.UTC().Format(time.RFC3339), renew)
	case end.Sub(now) < certificateWarning:
		k.add(name, warned, text, renew)
	default:
		k.add(name, passed, text, "")
	}
}

func (k *checker) checkDocuments() {
	const name = "trusted documents"
	if k.TrustedDocuments == "" {
		k.add(name, leftOut, "clients may send any document", "")
		return
	}
	documents, err := k.trusted(k.environment)
	if err == nil {
		_, err = newExecutor(&k.serveCommand, nil, nil, nil, documents, nil, k.logger)
	}
	if err != nil {
		k.fail(name, err, "")
		return
	}
	k.add(name, passed, fmt.Sprintf("all %d are valid", len(documents)), "")
}

// checkTraces reads the variables of OpenTelemetry. It does not look for the collector, which may be away.
func (k *checker) checkTraces() {
	const name = "traces"
	switch settings, err := config.ReadOTel(k.getenv); {
	case err != nil:
		k.fail(name, err, "")
	case settings.Traces:
		k.add(name, passed, "the variables of OpenTelemetry are valid", "")
	default:
		k.add(name, leftOut, "no variable of OpenTelemetry asks for them", "")
	}
}

// checkListener tries the addresses. A server that is running has them.
func (k *checker) checkListener(ctx context.Context) {
	const name = "listen"
	found := make([]string, 0, 2)
	for _, of := range []struct{ address, flag string }{{k.Listen, "--listen"}, {k.AdminListen, "--admin-listen"}} {
		if of.address == "" {
			continue
		}
		state, err := k.tryListener(ctx, of.address)
		if err != nil {
			k.fail(name, err, "choose another address with "+of.flag)
			return
		}
		found = append(found, state)
	}
	k.add(name, passed, strings.Join(found, ", "), "")
}

// tryListener opens an address for a moment. The socket of a Unix address is not touched, because a server may have it. The
// error says that no server can listen there.
func (k *checker) tryListener(ctx context.Context, address string) (state string, err error) {
	if path, socket := admin.SocketPath(address); socket {
		folder, err := os.Stat(filepath.Dir(path))
		if err != nil || !folder.IsDir() {
			return "", fmt.Errorf("cannot listen on %s: its directory does not exist, or cannot be read", path)
		}
		return "the directory of " + path + " is there", nil
	}
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return "a program listens on " + address + ", such as the running server", nil
	}
	if err != nil {
		if listener, err = server.Listen(ctx, address); err != nil { // for its error in words
			return "", err
		}
	}
	return address + " is free", listener.Close()
}

// notOpen is the reason to leave out a check of a database that cannot be opened.
const notOpen = "the database cannot be opened"

// checkDatabase checks the database. The error is that of the output.
func (k *checker) checkDatabase(ctx context.Context) (err error) {
	k.checkDisk()
	c := k.Database
	c.DatabaseMaxConnections = max(c.DatabaseMaxConnections, 3) // two transactions at once, and one connection more
	db, err := k.openDatabase(ctx, c, k.logger, existing)
	rest := []string{"encoding", "product", "migrations", "tables", "rights", "clock", "order of changes", "change feed", "counts", "backup", "replicas"}
	if err != nil {
		text := []string{"database"}
		if _, ok := errors.AsType[*database.EncodingError](err); ok {
			k.add("database", passed, "it answers", "")
			text, rest = rest[:1], rest[1:]
		}
		k.fail(text[0], err, "")
		for _, name := range rest {
			k.add(name, leftOut, notOpen, "")
		}
		return nil
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	k.add("database", passed, db.String()+" answers", "")
	k.add("encoding", passed, "the database stores every text", "")
	k.bounded(ctx, db, k.checkProduct)
	usable := k.bounded(ctx, db, k.checkSchema)
	k.bounded(ctx, db, k.checkClock)
	if !usable {
		for _, name := range rest[6:] {
			k.add(name, leftOut, "it needs the tables, and the right to change them", "")
		}
		return nil
	}
	k.bounded(ctx, db, k.checkOrder)
	k.bounded(ctx, db, k.checkFeed)
	k.checkCounts(ctx, db)
	k.bounded(ctx, db, k.checkBackup)
	k.bounded(ctx, db, k.checkReplicas)
	return nil
}

// bounded makes a check within its time.
func (k *checker) bounded(ctx context.Context, db *database.DB, check func(context.Context, *database.DB) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return check(ctx, db)
}

// checkProduct tells servers that Roster knows from others.
func (k *checker) checkProduct(ctx context.Context, db *database.DB) bool {
	const name = "product"
	p, err := db.Product(ctx)
	switch problem := p.Problem(); {
	case err != nil:
		k.fail(name, err, "")
	case problem == "":
		k.add(name, passed, p.String(), "")
	case k.DatabaseAllowUnknown:
		k.add(name, warned, problem, "see docs/engines.md")
	default:
		k.add(name, failing, problem, "see docs/engines.md, and then take another server, or accept this one with --database-allow-unknown")
	}
	return err == nil
}

// checkSchema checks migrations, tables and rights. It reports whether further checks can use the tables.
func (k *checker) checkSchema(ctx context.Context, db *database.DB) bool {
	const name, up = "migrations", "run roster migrate up"
	s, err := db.Schema(ctx)
	current := false
	switch {
	case err != nil:
		k.fail(name, fmt.Errorf("the table of the migrations cannot be read: %w", err), "")
	case s.Version > s.Known:
		k.add(name, failing, fmt.Sprintf("the schema has version %d, newer than this program's %d", s.Version, s.Known), "use the newer roster, or undo its migrations with its migrate down")
	case len(s.Foreign) > 0:
		k.fail(name, &database.ForeignError{Tables: s.Foreign}, "")
	case s.Interrupted && k.Migrate:
		k.add(name, warned, "a migration was interrupted: roster serve completes it", up)
	case s.Interrupted:
		k.add(name, failing, "a migration was interrupted", up)
	case s.Pending > 0 && k.Migrate:
		k.add(name, warned, fmt.Sprintf("%d are pending: roster serve applies them", s.Pending), up)
	case s.Pending > 0:
		k.add(name, failing, fmt.Sprintf("%d are pending", s.Pending), up)
	default:
		current = true
		k.add(name, passed, fmt.Sprintf("all are applied: the schema has version %d", s.Version), "")
	}
	if !current {
		k.add("tables", leftOut, "the schema is not the one of this program", "")
		k.add("rights", leftOut, "the schema is not the one of this program", "")
		return false
	}
	if err := db.CheckTables(ctx); err != nil {
		k.fail("tables", err, "")
		k.add("rights", leftOut, "not all tables are there", "")
		return false
	}
	k.add("tables", passed, "all are there, with their columns, indexes and keys", "")
	if err := db.Ready(ctx); err != nil {
		k.fail("rights", err, "see docs/health.md")
		return false
	}
	k.add("rights", passed, "the user may read and change all tables", "")
	return true
}

// checkClock compares the clock of the database with that of this machine, as NTP does: the time of the answer lies between
// the question and its arrival.
func (k *checker) checkClock(ctx context.Context, db *database.DB) bool {
	const name, remedy = "clock", "let NTP set the clocks of both machines"
	var skew, uncertainty time.Duration
	for i := range clockReadings {
		before := k.clock()
		theirs, err := db.Clock(ctx)
		after := k.clock()
		if err != nil {
			k.fail(name, err, "")
			return false
		}
		if theirs.IsZero() {
			k.add(name, leftOut, "SQLite uses the clock of this machine", "")
			return true
		}
		if half := after.Sub(before) / 2; i == 0 || half < uncertainty {
			skew, uncertainty = theirs.Sub(before.Add(half)), half
		}
	}
	text := fmt.Sprintf("the clock of the database differs by %s, ± %s", skew.Round(time.Microsecond), uncertainty.Round(time.Microsecond))
	switch least := skew.Abs() - uncertainty; {
	case least > skewFailure:
		k.add(name, failing, text, remedy)
	case least > skewWarning:
		k.add(name, warned, text, remedy)
	default:
		k.add(name, passed, text, "")
	}
	return true
}

// checkDisk checks the room for the file of an SQLite database. It needs no database.
func (k *checker) checkDisk() {
	const name, remedy = "disk", "make room, or raise the limit of the size of files"
	paths, err := database.Files(k.DatabaseURL)
	if err != nil || len(paths) == 0 { // opening the database reports the error
		k.add(name, leftOut, "the database is not a file of this machine", "")
		return
	}
	path := paths[0]
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	free, err := k.free(path)
	text := fmt.Sprintf("the database has %d bytes, and room for %d more", size, free)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		k.add(name, leftOut, "this system does not tell the room on a disk", "")
	case err != nil:
		k.fail(name, fmt.Errorf("the room on the disk of %s is unknown: %w", path, err), "correct the path")
	case free < spaceFailure:
		k.add(name, failing, text, remedy)
	case free < max(spaceWarning, size):
		k.add(name, warned, text+". A backup or a restore beside it needs as many as it has", remedy)
	default:
		k.add(name, passed, text, "")
	}
}

// checkOrder tests the IDs of changes.
func (k *checker) checkOrder(ctx context.Context, db *database.DB) bool {
	const name = "order of changes"
	tested, err := feed.CheckOrder(ctx, db)
	order, wrong := errors.AsType[*feed.OrderError](err)
	switch {
	case wrong:
		k.add(name, failing, order.Problem, order.Remedy)
	case err != nil:
		k.fail(name, err, "")
	case !tested:
		k.add(name, leftOut, "SQLite has one writer at a time, which numbers its changes", "")
	default:
		k.add(name, passed, "their IDs rise across two connections", "")
	}
	return err == nil
}

// checkFeed looks for changes that no server numbers.
func (k *checker) checkFeed(ctx context.Context, db *database.DB) bool {
	const name = "change feed"
	n, oldest, err := feed.Waiting(ctx, db)
	age := k.clock().Sub(oldest).Round(time.Second)
	switch {
	case err != nil:
		k.fail(name, err, "")
	case n == 0:
		k.add(name, passed, "all changes have a number", "")
	case age > waitWarning:
		k.add(name, warned, fmt.Sprintf("at least %d changes wait for a number, the oldest for %s", n, age), "start a server: only servers number changes")
	default:
		k.add(name, passed, fmt.Sprintf("%d changes wait for a number, the oldest for %s", n, max(0, age)), "")
	}
	return err == nil
}

// checkCounts compares the kept counts with the rows.
func (k *checker) checkCounts(ctx context.Context, db *database.DB) {
	const name, remedy = "counts", "run roster stats --recount"
	if !k.Counts {
		k.add(name, leftOut, "because of --no-counts", "")
		return
	}
	r, err := feed.Count(ctx, db, tables())
	switch {
	case err != nil:
		k.fail(name, fmt.Errorf("the rows cannot be counted: %w", err), "")
	case !r.Known:
		k.add(name, warned, "the rows are not counted yet", "start a server, or "+remedy)
	case r.Differ():
		var wrong []string
		for _, c := range r.Types {
			if c.Kept != c.Rows {
				wrong = append(wrong, fmt.Sprintf("%s has %d rows, not %d", c.Type, c.Rows, c.Kept))
			}
		}
		k.add(name, failing, "the kept counts are wrong: "+strings.Join(wrong, ", "), remedy+", and find the program that writes rows beside Roster")
	default:
		k.add(name, passed, "the kept counts are those of the rows", "")
	}
}

// checkBackup looks at the time of the last backup.
func (k *checker) checkBackup(ctx context.Context, db *database.DB) bool {
	const name = "backup"
	remedy := "make one with roster backup FILE"
	if db.Dialect() != dialect.SQLite {
		remedy = "make one as docs/operations.md says, and record it with roster backup --record"
	}
	at, recorded, err := db.LastBackup(ctx)
	age := k.clock().Sub(at).Round(time.Second)
	switch {
	case err != nil:
		k.fail(name, err, "")
	case !recorded:
		k.add(name, warned, "none is recorded", remedy)
	case age > backupWarning:
		k.add(name, warned, fmt.Sprintf("the last one is of %s, %s ago", at.Format(time.RFC3339), age), remedy)
	default:
		k.add(name, passed, fmt.Sprintf("the last one is of %s, %s ago", at.Format(time.RFC3339), max(0, age)), "")
	}
	return err == nil
}
