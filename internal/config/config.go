// Package config has the settings of the program, one struct for each concern. Tags give each field its flag, default and
// help. Its environment variable is ROSTER_ and the flag's name, unless the tag env names another. The tag frequent puts a flag
// first in the help. The package reads neither flags nor the environment.
//
// Each Validate returns an error of one line that names the wrong flag and says what to do.
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

// Database has the settings of the database.
type Database struct {
	DatabaseURL            string        `frequent:"" env:"DATABASE_URL" default:"sqlite:roster.db" placeholder:"URL" help:"Database: sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/NAME or mysql://USER:PASSWORD@HOST:PORT/NAME."`
	DatabaseMaxConnections int           `default:"16" placeholder:"NUMBER" help:"Maximum number of open connections."`
	DatabasePoolWait       time.Duration `default:"5s" placeholder:"DURATION" help:"Maximum wait for a free connection. After it, a request fails with UNAVAILABLE."`
	DatabaseConnectTimeout time.Duration `default:"5s" placeholder:"DURATION" help:"Maximum time to open a connection."`
	DatabaseStatementCache int           `default:"256" placeholder:"NUMBER" help:"Number of prepared statements to keep per connection. 0 turns them off, as pgbouncer in transaction mode may need."`
	StatementTimeout       time.Duration `default:"10s" placeholder:"DURATION" help:"Maximum time of one statement in the database."`
}

// Validate checks all fields except the URL: package database checks that.
func (d Database) Validate() error {
	return first(
		atLeast("database-max-connections", d.DatabaseMaxConnections, 1),
		positive("database-pool-wait", d.DatabasePoolWait),
		positive("database-connect-timeout", d.DatabaseConnectTimeout),
		atLeast("database-statement-cache", d.DatabaseStatementCache, 0),
		positive("statement-timeout", d.StatementTimeout),
	)
}

// HTTP has the settings of the HTTP server.
type HTTP struct {
	Listen          string        `frequent:"" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address to listen on. Port 0 takes a free port. An empty host listens on all addresses of the machine."`
	MaxBodyBytes    int64         `default:"1048576" placeholder:"BYTES" help:"Maximum size of a request's body, and of a message on a WebSocket, in bytes."`
	MaxAnswerBytes  int64         `default:"16777216" placeholder:"BYTES" help:"Maximum size of the data of an answer or an event, in bytes of JSON. A larger one fails with COST_LIMIT. 0: no limit."`
	AnswerMemory    int64         `name:"answer-memory-bytes" env:"ROSTER_ANSWER_MEMORY_BYTES" default:"0" placeholder:"BYTES" help:"Memory for all answers that are read, built or written at the same time, in bytes. A request that gets none within a second is answered with 503. 0: half of the memory limit, at most 1 GiB."`
	MaxRequests     int           `frequent:"" default:"1000" placeholder:"NUMBER" help:"Maximum number of requests that are executed at the same time. Further ones are answered with 503 at once. 0: no limit."`
	RequestTimeout  time.Duration `frequent:"" default:"30s" placeholder:"DURATION" help:"Maximum time of an operation. After it, the operation fails with TIMEOUT."`
	ShutdownTimeout time.Duration `default:"10s" placeholder:"DURATION" help:"Maximum time that a stopping server waits for its requests. After it, they are cut off."`
	CORSOrigins     []string      `frequent:"" placeholder:"ORIGIN" help:"Origins of other sites whose pages may use the endpoint, such as https://app.example.com. * allows all. Without the flag: none."`
}

// Validate checks the form of the address, not whether it is free.
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

// Streams has the limits of WebSockets and event streams.
type Streams struct {
	MaxStreams             int           `default:"4096" placeholder:"NUMBER" help:"Maximum number of open WebSockets and event streams. Further ones are answered with 503."`
	MaxOperationsPerSocket int           `default:"100" placeholder:"NUMBER" help:"Maximum number of operations that run on one WebSocket. Further ones fail with COST_LIMIT."`
	PingInterval           time.Duration `default:"15s" placeholder:"DURATION" help:"Time between two signs of life on a WebSocket or an event stream. A client that leaves one unanswered for this time is cut off."`
}

// Validate checks all fields.
func (s Streams) Validate() error {
	return first(
		atLeast("max-streams", s.MaxStreams, 0),
		atLeast("max-operations-per-socket", s.MaxOperationsPerSocket, 1),
		positive("ping-interval", s.PingInterval),
	)
}

// GraphQL has the settings of documents and the schema.
type GraphQL struct {
	Introspection      bool   `frequent:"" default:"true" negatable:"" help:"Show the schema to clients: by introspection, at /schema.graphql and in error messages."`
	TrustedDocuments   string `frequent:"" placeholder:"FILE" help:"JSON file that maps hashes to documents, as graphql-codegen's client preset writes it. The server executes only these documents."`
	DocumentCacheBytes int64  `default:"33554432" placeholder:"BYTES" help:"Memory for documents that are checked and ready for the next request, in bytes. 0: no cache."`
}

// Validate checks the numbers, not the file.
func (g GraphQL) Validate() error {
	return atLeast("document-cache-bytes", g.DocumentCacheBytes, 0)
}

// Limits bound one request. A request beyond them is refused with COST_LIMIT before it is executed. docs/limits.md explains
// them.
type Limits struct {
	MaxDocumentBytes  int `default:"262144" placeholder:"BYTES" help:"Maximum size of a document, in bytes. 0: only the size of the body limits it."`
	MaxTokens         int `default:"10000" placeholder:"NUMBER" help:"Maximum number of tokens of a document. 0: no limit."`
	MaxDepth          int `default:"25" placeholder:"NUMBER" help:"Maximum depth of nested selection sets. 0: no limit."`
	MaxFields         int `default:"2000" placeholder:"NUMBER" help:"Maximum number of fields of a document. 0: no limit."`
	MaxExpanded       int `default:"20000" placeholder:"NUMBER" help:"Maximum number of fields, fragments, directives and values of a document. A fragment counts at each use. At most 1000000."`
	MaxRepeats        int `default:"20000" placeholder:"NUMBER" help:"Maximum number of pairs of fields that have the same response name in the same place. At most 10000000."`
	MaxAliases        int `default:"250" placeholder:"NUMBER" help:"Maximum number of aliases of a document. 0: no limit."`
	MaxDirectives     int `default:"250" placeholder:"NUMBER" help:"Maximum number of directives of a document. 0: no limit."`
	MaxVariables      int `default:"500" placeholder:"NUMBER" help:"Maximum number of variables of an operation. 0: no limit."`
	MaxMutationFields int `default:"100" placeholder:"NUMBER" help:"Maximum number of fields of a mutation. Each field is a change. 0: no limit."`
	MaxInputDepth     int `default:"30" placeholder:"NUMBER" help:"Maximum depth of nested lists and objects in an argument or a variable. 0: no limit."`
	MaxInputList      int `default:"2000" placeholder:"NUMBER" help:"Maximum number of values of a list in an argument or a variable. 0: no limit."`
	MaxInputValues    int `default:"20000" placeholder:"NUMBER" help:"Maximum number of values in all arguments, and in all variables. 0: no limit."`
	MaxCost           int `frequent:"" default:"100000" placeholder:"NUMBER" help:"Maximum cost of an operation: the objects that it can return, and surcharges. 0: no limit."`
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

// Retention has the times to keep answers and changes for clients.
type Retention struct {
	KeepIdempotencyKeys time.Duration `default:"24h" placeholder:"DURATION" help:"Minimum time to keep the answer of a mutation for requests with the same Idempotency-Key."`
	KeepChanges         time.Duration `default:"168h" placeholder:"DURATION" help:"Time to keep changes for clients of the change feed. An older cursor fails with CURSOR_EXPIRED."`
}

// Validate checks all fields.
func (r Retention) Validate() error {
	return first(
		positive("keep-idempotency-keys", r.KeepIdempotencyKeys),
		positive("keep-changes", r.KeepChanges),
	)
}

// Seed has the size of the sample data.
type Seed struct {
	Users        int    `frequent:"" env:"-" default:"100" placeholder:"NUMBER" help:"Number of users to create, at most 1000000."`
	PostsPerUser int    `frequent:"" env:"-" default:"10" placeholder:"NUMBER" help:"Number of posts of each user, at most 1000."`
	Number       uint64 `frequent:"" name:"seed" env:"-" default:"1" placeholder:"NUMBER" help:"Number that selects the data. The same flags create the same data on every database."`
}

// Validate checks the numbers against their maximums.
func (s Seed) Validate(maxUsers, maxPostsPerUser int) error {
	return first(
		within("users", s.Users, 1, maxUsers),
		within("posts-per-user", s.PostsPerUser, 0, maxPostsPerUser),
	)
}

// Export has the settings of a file that is written.
type Export struct {
	Output string `frequent:"" env:"-" short:"o" placeholder:"FILE" help:"File to write. It appears when it is complete. A name that ends in .gz is compressed. Without the flag: the standard output."`
	Format string `frequent:"" env:"-" enum:"auto,csv,jsonl" default:"auto" placeholder:"FORMAT" help:"Format: csv, jsonl (a JSON object on each line) or auto. auto takes jsonl for names that end in .json, .jsonl or .ndjson, and csv for others."`
	Gzip   bool   `frequent:"" env:"-" help:"Compress the output."`
	// Spreadsheet requires CSV.
	Spreadsheet bool `frequent:"" env:"-" help:"Write CSV for a spreadsheet: with a byte-order mark, and with an apostrophe before each text that it would execute. roster import --spreadsheet removes both."`
}

// Import has the settings of a file that is read, and of its rows.
type Import struct {
	Format     string `frequent:"" env:"-" enum:"auto,csv,jsonl" default:"auto" placeholder:"FORMAT" help:"Format: csv, jsonl (a JSON object on each line) or auto. auto looks at the content."`
	OnConflict string `frequent:"" env:"-" enum:"fail,skip,update" default:"fail" placeholder:"WHAT" help:"What to do with a row whose ID, username or email exists already. fail rejects the row, skip leaves it out, update changes what exists."`
	DryRun     bool   `frequent:"" env:"-" help:"Do everything, then take it back. The summary says what an import would do."`
	Batch      int    `frequent:"" env:"-" default:"0" placeholder:"NUMBER" help:"Commit after this number of rows. 0: once, at the end."`
	Errors     string `frequent:"" env:"-" placeholder:"FILE" help:"Write the rejected rows to this CSV file (line, field, code, reason), and import the others. With -, the standard output gets them, and the standard error output the summary. Without the flag, nothing is imported when a row is rejected."`
	// Ignore names columns of CSV or members of JSON objects.
	Ignore      []string `frequent:"" env:"-" placeholder:"COLUMN" help:"Columns to leave out, separated by commas. In JSON: members, such as phone or posts.phone. Other columns without a field are left out too, but the summary names them."`
	Spreadsheet bool     `frequent:"" env:"-" help:"Remove the apostrophes that roster export --spreadsheet writes. Without the flag, an apostrophe is part of the text."`
	MaxRowBytes int      `env:"-" default:"33554432" placeholder:"BYTES" help:"Maximum size of a row in the file, in bytes. A longer row is rejected. The default fits every row of an export."`
}

// Validate checks the numbers, not the file.
func (i Import) Validate() error {
	return first(
		atLeast("batch", i.Batch, 0),
		within("max-row-bytes", i.MaxRowBytes, 1, 1<<30),
		ofCSV(i.Spreadsheet, i.Format == "jsonl"),
	)
}

// Stats has the range and the period of the sign-ups.
type Stats struct {
	By   string `frequent:"" env:"-" enum:"day,week,month" default:"day" placeholder:"PERIOD" help:"Period of the sign-ups, in UTC: day, week or month."`
	From string `frequent:"" env:"-" placeholder:"TIME" help:"Inclusive start of the sign-ups: a date or an RFC 3339 time. Without the flag: 30 days, 12 weeks or 12 months, the last of which ends with --to."`
	To   string `frequent:"" env:"-" placeholder:"TIME" help:"Exclusive end of the sign-ups: a date or an RFC 3339 time. Without the flag: now."`
}

// Log has the settings of the log, which goes to the standard error output.
type Log struct {
	LogLevel  string `frequent:"" enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL" help:"Lowest level to log: debug (with a line per request), info, warn or error."`
	LogFormat string `enum:"text,json" default:"text" placeholder:"FORMAT" help:"Format of the log's lines: text or json."`
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

// Validate checks that the flags fit each other. jsonLines says that the format is JSON lines.
func (e Export) Validate(jsonLines bool) error { return ofCSV(e.Spreadsheet, jsonLines) }

// ofCSV returns an error if a file for a spreadsheet is not CSV.
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

// origins checks that each origin has the form that browsers send: scheme, host and port in lower case, without the default
// port of the scheme.
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
