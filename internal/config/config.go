// Package config holds what can be configured, one struct per concern. The tags give each field its
// flag, its default and its meaning, from which the command line makes its help; its environment
// variable is ROSTER_ and the flag's name, where the tag env does not give another. The package
// reads neither flags nor the environment.
//
// Each Validate returns a one-line error that names the flag at fault and what to do.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Database is how the database is reached and used.
type Database struct {
	DatabaseURL            string        `frequent:"" env:"DATABASE_URL" default:"sqlite:roster.db" placeholder:"URL" help:"Database to use: sqlite:PATH, or postgres: or mysql: with //USER:PASSWORD@HOST:PORT/NAME."`
	DatabaseMaxConnections int           `default:"16" placeholder:"NUMBER" help:"Most connections that are open to the database at a time."`
	DatabasePoolWait       time.Duration `default:"5s" placeholder:"DURATION" help:"Longest wait for a free connection; after it, a request is answered with UNAVAILABLE."`
	DatabaseConnectTimeout time.Duration `default:"5s" placeholder:"DURATION" help:"Longest time that opening a connection may take."`
	DatabaseStatementCache int           `default:"256" placeholder:"NUMBER" help:"Prepared statements kept per connection; 0 turns it off, as pgbouncer in transaction mode may need."`
	StatementTimeout       time.Duration `default:"10s" placeholder:"DURATION" help:"Longest time that one statement may run in the database."`
}

// Validate checks all but the URL, which the database package understands and explains.
func (d Database) Validate() error {
	return first(
		atLeast("database-max-connections", d.DatabaseMaxConnections, 1),
		positive("database-pool-wait", d.DatabasePoolWait),
		positive("database-connect-timeout", d.DatabaseConnectTimeout),
		atLeast("database-statement-cache", d.DatabaseStatementCache, 0),
		positive("statement-timeout", d.StatementTimeout),
	)
}

// HTTP is how requests come in.
type HTTP struct {
	Listen          string        `frequent:"" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address to listen on; port 0 takes a free one, an empty host all addresses of the machine."`
	MaxBodyBytes    int64         `default:"1048576" placeholder:"BYTES" help:"Largest body of a request, and largest message on a WebSocket, in bytes."`
	MaxAnswerBytes  int64         `default:"16777216" placeholder:"BYTES" help:"Largest data of an answer or of an event, in bytes of JSON; a larger one is refused with COST_LIMIT. 0 is no limit."`
	AnswerMemory    int64         `name:"answer-memory-bytes" env:"ROSTER_ANSWER_MEMORY_BYTES" default:"0" placeholder:"BYTES" help:"Memory for all answers that are read, built or written at a time, in bytes. A request that finds none within a second is answered with 503. 0 is half of the memory limit, at most 1 GiB."`
	MaxRequests     int           `default:"1000" placeholder:"NUMBER" help:"Most requests that are executed at a time; a further one is answered with 503 at once. 0 is no limit."`
	RequestTimeout  time.Duration `frequent:"" default:"30s" placeholder:"DURATION" help:"Longest time that an operation may take; after it, it is answered with TIMEOUT."`
	ShutdownTimeout time.Duration `default:"10s" placeholder:"DURATION" help:"Longest wait for the requests under way when the server stops; after it, they are cut off."`
	CORSOrigins     []string      `frequent:"" placeholder:"ORIGIN" help:"Origins of other sites whose pages may use the endpoint, such as https://app.example.com, or * for all. Without it, none may."`
}

// Validate checks the address's form, not whether it can be listened on.
func (h HTTP) Validate() error {
	return first(
		address("listen", h.Listen),
		atLeast("max-body-bytes", h.MaxBodyBytes, 1),
		atLeast("max-answer-bytes", h.MaxAnswerBytes, 0),
		atLeast("answer-memory-bytes", h.AnswerMemory, 0),
		atLeast("max-requests", h.MaxRequests, 0),
		positive("request-timeout", h.RequestTimeout),
		positive("shutdown-timeout", h.ShutdownTimeout),
		origins("cors-origins", h.CORSOrigins),
	)
}

// Streams is what WebSockets and event streams may take.
type Streams struct {
	MaxStreams             int           `default:"4096" placeholder:"NUMBER" help:"Most WebSockets and event streams that are open at a time; a further one is answered with 503."`
	MaxOperationsPerSocket int           `default:"100" placeholder:"NUMBER" help:"Most operations under way on one WebSocket; a further one is answered with COST_LIMIT."`
	PingInterval           time.Duration `default:"15s" placeholder:"DURATION" help:"Time between two signs of life on a WebSocket or an event stream; a client that leaves one unanswered for as long is cut off."`
}

// Validate checks all fields.
func (s Streams) Validate() error {
	return first(
		atLeast("max-streams", s.MaxStreams, 0),
		atLeast("max-operations-per-socket", s.MaxOperationsPerSocket, 1),
		positive("ping-interval", s.PingInterval),
	)
}

// GraphQL is what the endpoint offers.
type GraphQL struct {
	Introspection      bool   `frequent:"" default:"true" negatable:"" help:"Let clients see the schema: by introspection, at /schema.graphql, and in the messages of errors."`
	TrustedDocuments   string `frequent:"" placeholder:"FILE" help:"JSON file from hashes to documents, as the client preset of graphql-codegen writes it; nothing else is executed then."`
	DocumentCacheBytes int64  `default:"33554432" placeholder:"BYTES" help:"Memory for documents that clients sent, checked and ready for the next request, by text or hash; 0 keeps none."`
}

// Validate checks the numbers, not the file.
func (g GraphQL) Validate() error {
	return atLeast("document-cache-bytes", g.DocumentCacheBytes, 0)
}

// Limits are the most that one request may ask for; beyond, it is refused with COST_LIMIT before anything is done for
// it. docs/limits.md explains them.
type Limits struct {
	MaxDocumentBytes  int `default:"262144" placeholder:"BYTES" help:"Longest document, in bytes; 0 is as long as the body may be."`
	MaxTokens         int `default:"10000" placeholder:"NUMBER" help:"Most tokens of a document; 0 is no limit."`
	MaxDepth          int `default:"25" placeholder:"NUMBER" help:"Most selection sets of a document inside one another; 0 is no limit."`
	MaxFields         int `default:"2000" placeholder:"NUMBER" help:"Most fields of a document; 0 is no limit."`
	MaxExpanded       int `default:"20000" placeholder:"NUMBER" help:"Most fields, fragments, directives and values of a document, a fragment counted wherever it is used; at most 1000000."`
	MaxRepeats        int `default:"20000" placeholder:"NUMBER" help:"Most pairs of fields of a document that answer under one name in one place; at most 10000000."`
	MaxAliases        int `default:"250" placeholder:"NUMBER" help:"Most aliases of a document; 0 is no limit."`
	MaxDirectives     int `default:"250" placeholder:"NUMBER" help:"Most directives of a document; 0 is no limit."`
	MaxVariables      int `default:"500" placeholder:"NUMBER" help:"Most variables of an operation; 0 is no limit."`
	MaxMutationFields int `default:"100" placeholder:"NUMBER" help:"Most fields of a mutation, each of which is a change; 0 is no limit."`
	MaxInputDepth     int `default:"30" placeholder:"NUMBER" help:"Most lists and objects of an argument or a variable inside one another; 0 is no limit."`
	MaxInputList      int `default:"2000" placeholder:"NUMBER" help:"Most values of a list in an argument or a variable; 0 is no limit."`
	MaxInputValues    int `default:"20000" placeholder:"NUMBER" help:"Most values in all arguments, and most in all variables; 0 is no limit."`
	MaxCost           int `frequent:"" default:"100000" placeholder:"NUMBER" help:"Highest cost of an operation: the objects that it can return, and more; 0 is no limit."`
}

// Validate checks all fields.
func (l Limits) Validate() error {
	return first(
		atLeast("max-document-bytes", l.MaxDocumentBytes, 0),
		atLeast("max-tokens", l.MaxTokens, 0),
		atLeast("max-depth", l.MaxDepth, 0),
		atLeast("max-fields", l.MaxFields, 0),
		within("max-expanded", l.MaxExpanded, 1, 1_000_000),
		within("max-repeats", l.MaxRepeats, 1, 10_000_000),
		atLeast("max-aliases", l.MaxAliases, 0),
		atLeast("max-directives", l.MaxDirectives, 0),
		atLeast("max-variables", l.MaxVariables, 0),
		atLeast("max-mutation-fields", l.MaxMutationFields, 0),
		atLeast("max-input-depth", l.MaxInputDepth, 0),
		atLeast("max-input-list", l.MaxInputList, 0),
		atLeast("max-input-values", l.MaxInputValues, 0),
		atLeast("max-cost", l.MaxCost, 0),
	)
}

// Retention is for how long things are kept that clients may come back for.
type Retention struct {
	KeepIdempotencyKeys time.Duration `default:"24h" placeholder:"DURATION" help:"How long the answer of a mutation is kept for requests with the same Idempotency-Key, at least."`
	KeepChanges         time.Duration `default:"168h" placeholder:"DURATION" help:"How long the changes are kept that clients follow; an older cursor is answered with CURSOR_EXPIRED."`
}

// Validate checks all fields.
func (r Retention) Validate() error {
	return first(
		positive("keep-idempotency-keys", r.KeepIdempotencyKeys),
		positive("keep-changes", r.KeepChanges),
	)
}

// Seed is what a database is filled with to try Roster out.
type Seed struct {
	Users        int    `frequent:"" env:"-" default:"100" placeholder:"NUMBER" help:"How many users to create, at most 1000000."`
	PostsPerUser int    `frequent:"" env:"-" default:"10" placeholder:"NUMBER" help:"How many posts each of them has, at most 1000."`
	Number       uint64 `frequent:"" name:"seed" env:"-" default:"1" placeholder:"NUMBER" help:"Which data of this size; the same flags give the same data, on every database."`
}

// Validate checks the numbers against the most that there may be.
func (s Seed) Validate(maxUsers, maxPostsPerUser int) error {
	return first(
		within("users", s.Users, 1, maxUsers),
		within("posts-per-user", s.PostsPerUser, 0, maxPostsPerUser),
	)
}

// Export is how rows are written to a file.
type Export struct {
	Output string `frequent:"" env:"-" short:"o" placeholder:"FILE" help:"File to write, which is there once it is whole; without it, the standard output. A name that ends in .gz is compressed."`
	Format string `frequent:"" env:"-" enum:"auto,csv,jsonl" default:"auto" placeholder:"FORMAT" help:"Form of the rows: csv, jsonl (a JSON object on each line), or auto: jsonl for names that end in .json, .jsonl or .ndjson, csv for others."`
	Gzip   bool   `frequent:"" env:"-" help:"Compress the output."`
	// Spreadsheet needs CSV.
	Spreadsheet bool `frequent:"" env:"-" help:"Write CSV for a spreadsheet: with a byte-order mark, and an apostrophe before each text that it would execute. roster import --spreadsheet takes both back."`
}

// Import is how rows are read from a file, and what becomes of them.
type Import struct {
	Format     string `frequent:"" env:"-" enum:"auto,csv,jsonl" default:"auto" placeholder:"FORMAT" help:"Form of the rows: csv, jsonl (a JSON object on each line), or auto: what they look like."`
	OnConflict string `frequent:"" env:"-" enum:"fail,skip,update" default:"fail" placeholder:"WHAT" help:"What becomes of a row whose ID, username or email is there already: fail rejects it, skip leaves it out, update gives what is there its values."`
	DryRun     bool   `frequent:"" env:"-" help:"Do everything and take it back at the end: the summary says what would have been."`
	Batch      int    `frequent:"" env:"-" default:"0" placeholder:"NUMBER" help:"Commit after so many rows, instead of all together at the end, which is 0."`
	Errors     string `frequent:"" env:"-" placeholder:"FILE" help:"Write the rejected rows to this file, as CSV with line, field, code and reason, and go on; - is the standard output, and the summary then goes to the standard error output. Without it, nothing is imported when a row is rejected."`
	// Ignore has columns of CSV and members of JSON objects.
	Ignore      []string `frequent:"" env:"-" placeholder:"COLUMN" help:"Leave out these columns, separated by commas. Columns that no field has are left out anyway, and named in the summary; these are not. Of JSON: members, such as phone or posts.phone."`
	Spreadsheet bool     `frequent:"" env:"-" help:"Take back what roster export --spreadsheet writes: the apostrophes before texts that a spreadsheet would execute. Without it, an apostrophe is a part of the text."`
	MaxRowBytes int      `env:"-" default:"33554432" placeholder:"BYTES" help:"Longest row, as it stands in the file; a longer one is rejected. The default takes every row that an export can have."`
}

// Validate checks the numbers, not the file.
func (i Import) Validate() error {
	return first(
		atLeast("batch", i.Batch, 0),
		within("max-row-bytes", i.MaxRowBytes, 1, 1<<30),
		ofCSV(i.Spreadsheet, i.Format == "jsonl"),
	)
}

// Stats is which sign-ups are counted.
type Stats struct {
	By   string `frequent:"" env:"-" enum:"day,week,month" default:"day" placeholder:"PERIOD" help:"Count sign-ups by day, week or month, in UTC."`
	From string `frequent:"" env:"-" placeholder:"TIME" help:"First moment whose sign-ups count: a date or an RFC 3339 time. Without it, the start of the 30th day, the 12th week or the 12th month that ends with --to."`
	To   string `frequent:"" env:"-" placeholder:"TIME" help:"Moment from which on they do not. Without it, now."`
}

// Log is what is logged, and how. Logs go to the standard error output.
type Log struct {
	LogLevel  string `frequent:"" enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL" help:"Least level that is logged: debug (with a line per request), info, warn or error."`
	LogFormat string `enum:"text,json" default:"text" placeholder:"FORMAT" help:"Form of the log's lines: text or json."`
}

// Logger returns a logger that writes to w.
func (l Log) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{}
	switch l.LogLevel {
	case "debug":
		options.Level = slog.LevelDebug
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Validate checks that the flags fit each other; jsonLines is whether JSON lines are written.
func (e Export) Validate(jsonLines bool) error { return ofCSV(e.Spreadsheet, jsonLines) }

// ofCSV checks that a file for a spreadsheet is CSV.
func ofCSV(spreadsheet, jsonLines bool) error {
	if spreadsheet && jsonLines {
		return errors.New("--spreadsheet is for CSV: leave it out for JSON lines")
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func atLeast[N int | int64](flag string, value, least N) error {
	if value < least {
		return fmt.Errorf("--%s must be %d or more, not %d", flag, least, value)
	}
	return nil
}

func within(flag string, value, least, most int) error {
	if value < least || value > most {
		return fmt.Errorf("--%s must be from %d to %d, not %d", flag, least, most, value)
	}
	return nil
}

func positive(flag string, value time.Duration) error {
	if value <= 0 {
		return fmt.Errorf("--%s must be longer than 0s, not %s", flag, value)
	}
	return nil
}

func address(flag, value string) error {
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return fmt.Errorf("--%s must be HOST:PORT, such as 127.0.0.1:8080, not %q", flag, value)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("--%s must have a port from 0 to 65535, not %q", flag, port)
	}
	return nil
}

// origins checks that browsers send each origin in this form: scheme, host and port in lower case,
// without a port that the scheme implies.
func origins(flag string, list []string) error {
	for _, origin := range list {
		if origin == "*" && len(list) == 1 {
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin || strings.Contains(u.Host, "*") ||
			u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443" {
			return fmt.Errorf("--%s must be * or origins such as https://app.example.com, without a path, not %q", flag, origin)
		}
	}
	return nil
}
