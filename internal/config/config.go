// Package config has the settings of the program, one struct for each concern. Tags give each field its flag, default,
// bounds and help. Its environment variable is ROSTER_ and the flag's name, unless the tag env names another. The
// package reads neither flags nor the environment.
//
// min and max are the bounds of a number. A duration must be longer than 0s, or with min:"0s", 0s or longer. The group "Used
// most:" comes first in the help.
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

	"roster/internal/logging"
)

// Database has the settings of the database.
type Database struct {
	DatabaseURL                string        `group:"Used most:" env:"DATABASE_URL" default:"sqlite:roster.db" placeholder:"URL" help:"Database: sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/NAME or mysql://USER:PASSWORD@HOST:PORT/NAME."`
	DatabaseMaxConnections     int           `default:"16" min:"1" placeholder:"NUMBER" help:"Maximum number of open connections."`
	DatabasePoolWait           time.Duration `default:"5s" placeholder:"DURATION" help:"Maximum wait for a free connection. After it, a request fails with UNAVAILABLE."`
	DatabaseConnectTimeout     time.Duration `default:"5s" placeholder:"DURATION" help:"Maximum time to open a connection."`
	DatabaseConnectionLifetime time.Duration `default:"30m" min:"0s" placeholder:"DURATION" help:"Maximum age of a connection to a database server. Each one is replaced after 75 to 100 % of it. SQLite ignores it. 0s: no maximum."`
	DatabaseStatementCache     int           `default:"256" min:"0" placeholder:"NUMBER" help:"Number of prepared statements to keep per connection. 0 turns them off, as pgbouncer in transaction mode may need."`
	StatementTimeout           time.Duration `default:"10s" placeholder:"DURATION" help:"Maximum time of one statement in the database."`
	DatabaseAllowUnknown       bool          `help:"Accept a database server on which Roster is not tested, such as CockroachDB, or one that is too old: docs/engines.md. Without the flag, roster check fails, and other commands log a warning."`
}

// HTTP has the settings of the HTTP server.
type HTTP struct {
	Listen          string        `group:"Used most:" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address to listen on. Port 0 takes a free port. An empty host listens on all addresses of the machine."`
	MaxBodyBytes    int64         `default:"1048576" min:"1" placeholder:"BYTES" help:"Maximum size of a request's body, and of a message on a WebSocket, in bytes."`
	MaxAnswerBytes  int64         `default:"16777216" min:"0" placeholder:"BYTES" help:"Maximum size of the data of an answer or an event, in bytes of JSON. A larger one fails with COST_LIMIT. 0: no limit."`
	AnswerMemory    int64         `name:"answer-memory-bytes" env:"ROSTER_ANSWER_MEMORY_BYTES" default:"0" min:"0" placeholder:"BYTES" help:"Memory for all answers that are read, built or written at the same time, in bytes. A request that gets none within a second is answered with 503. 0: half of the memory limit, at most 1 GiB."`
	MaxRequests     int           `group:"Used most:" default:"1000" min:"0" placeholder:"NUMBER" help:"Maximum number of requests that are executed at the same time. Further ones are answered with 503 at once. 0: no limit."`
	RequestTimeout  time.Duration `group:"Used most:" default:"30s" placeholder:"DURATION" help:"Maximum time of an operation. After it, the operation fails with TIMEOUT."`
	Drain           time.Duration `default:"1s" min:"0s" placeholder:"DURATION" help:"Time that a stopping server still takes new requests. /readyz answers 503 meanwhile. 0s: none."`
	ShutdownTimeout time.Duration `default:"10s" placeholder:"DURATION" help:"Maximum time that a stopping server waits for its requests, after --drain. After it, they are cut off."`
	HandoverTimeout time.Duration `default:"2m" placeholder:"DURATION" help:"Maximum time until a new process is ready, to which SIGUSR2 hands the server over. After it, the old process goes on."`
	CORSOrigins     []string      `group:"Used most:" placeholder:"ORIGIN" help:"Origins of other sites whose pages may use the endpoint, such as https://app.example.com. * allows all, with authentication. Without the flag: none."`
}

// Validate checks the form of the address and of the origins. The error names the flag and says what to do.
func (h HTTP) Validate() error {
	_, port, err := net.SplitHostPort(h.Listen)
	if err != nil {
		return fmt.Errorf("--listen must be HOST:PORT, such as 127.0.0.1:8080, not %q", h.Listen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("--listen must have a port from 0 to 65535, not %q", port)
	}
	for _, origin := range h.CORSOrigins {
		if !isOrigin(origin) && (origin != "*" || len(h.CORSOrigins) > 1) {
			return fmt.Errorf("--cors-origins must be * or origins such as https://app.example.com, without a path, not %q", origin)
		}
	}
	return nil
}

// Admin has the settings of the admin listener.
type Admin struct {
	AdminListen string `placeholder:"ADDRESS" help:"Address of the admin listener, with /metrics, /debug/pprof/, /healthz and /readyz: HOST:PORT, or unix:PATH for a Unix socket that only the user of the server can use. Without the flag: none."`
	AdminPublic bool   `help:"Let --admin-listen name an address that other machines can reach, and answer requests for all hosts and from proxies. There is no authentication: everyone whose request comes there may read metrics and profiles."`
}

// Validate checks the form of the address. The error names the flag and says what to do.
func (a Admin) Validate() error {
	path, socket := strings.CutPrefix(a.AdminListen, "unix:")
	_, port, err := net.SplitHostPort(a.AdminListen)
	_, number := strconv.ParseUint(port, 10, 16)
	switch {
	case a.AdminPublic && a.AdminListen == "":
		return errors.New("--admin-public has no effect without the admin listener: also set --admin-listen")
	case a.AdminPublic && socket:
		return errors.New("--admin-public has no effect on a Unix socket: leave it out")
	case a.AdminListen == "":
		return nil
	case socket && path == "":
		return errors.New("--admin-listen must have a path after unix:, such as unix:/run/roster/admin.sock")
	case !socket && (err != nil || number != nil):
		return fmt.Errorf("--admin-listen must be HOST:PORT, such as 127.0.0.1:9090, or unix:PATH, not %q", a.AdminListen)
	}
	return nil
}

// Ready has the settings of the question whether a server is ready. The first three are also those of the server, so that both
// may have the same environment.
type Ready struct {
	Listen       string        `group:"Used most:" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address that the server listens on, unless a URL is given. If it is all addresses, this machine is asked."`
	TLSCert      string        `group:"Used most:" placeholder:"FILE" help:"The server at --listen speaks TLS. The file is not read: no certificate is checked, because nothing secret is sent."`
	AllowedHosts []string      `group:"Used most:" placeholder:"HOST" help:"Hosts that requests may name. The request names the first one. Without the flag: the host of the address."`
	Timeout      time.Duration `group:"Used most:" env:"-" default:"3s" placeholder:"DURATION" help:"Maximum time to wait for the answer."`
}

// isOrigin reports whether an origin has the form that browsers send: scheme, host and port in lower case, without the
// default port of the scheme.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.Scheme+"://"+u.Host == text && strings.ToLower(text) == text && !strings.Contains(u.Host, "*") &&
		(u.Scheme != "http" || u.Port() != "80") && (u.Scheme != "https" || u.Port() != "443")
}

// Streams has the limits of WebSockets and event streams.
type Streams struct {
	MaxStreams             int           `default:"4096" min:"0" placeholder:"NUMBER" help:"Maximum number of open WebSockets and event streams. Further ones are answered with 503."`
	MaxOperationsPerSocket int           `default:"100" min:"1" placeholder:"NUMBER" help:"Maximum number of operations that run on one WebSocket. Further ones fail with COST_LIMIT."`
	PingInterval           time.Duration `default:"15s" placeholder:"DURATION" help:"Time between two signs of life on a WebSocket or an event stream. A client that leaves one unanswered for this time is cut off."`
}

// GraphQL has the settings of documents and the schema.
type GraphQL struct {
	Introspection      bool   `group:"Used most:" default:"true" negatable:"" help:"Show the schema to clients: by introspection, at /schema.graphql and in error messages."`
	TrustedDocuments   string `group:"Used most:" placeholder:"FILE" help:"JSON file that maps hashes to documents, as graphql-codegen's client preset writes it. The server executes only these documents."`
	DocumentCacheBytes int64  `default:"33554432" min:"0" placeholder:"BYTES" help:"Memory for documents that are checked and ready for the next request, in bytes. 0: no cache."`
	CompiledReads      bool   `default:"true" negatable:"" help:"Answer queries by compiled reads. Without it, resolvers answer them: the same answers, slower."`
}

// Retention has the times to keep answers and changes for clients.
type Retention struct {
	KeepIdempotencyKeys time.Duration `default:"24h" placeholder:"DURATION" help:"Minimum time to keep the answer of a mutation for requests with the same Idempotency-Key."`
	KeepChanges         time.Duration `default:"168h" placeholder:"DURATION" help:"Time to keep changes for clients of the change feed. An older cursor fails with CURSOR_EXPIRED."`
}

// Seed has the size of the sample data.
type Seed struct {
	Users        int    `group:"Used most:" env:"-" default:"100" min:"1" max:"1000000" placeholder:"NUMBER" help:"Number of users to create, at most 1000000."`
	PostsPerUser int    `group:"Used most:" env:"-" default:"10" min:"0" max:"1000" placeholder:"NUMBER" help:"Number of posts of each user, at most 1000."`
	Number       uint64 `group:"Used most:" name:"seed" env:"-" default:"1" placeholder:"NUMBER" help:"Number that selects the data. The same flags create the same data on every database."`
}

// Export has the settings of a file that is written.
type Export struct {
	Output string `group:"Used most:" env:"-" short:"o" placeholder:"FILE" help:"File to write. It appears when it is complete. A name that ends in .gz is compressed. Without the flag: the standard output."`
	Format string `group:"Used most:" env:"-" enum:"auto,csv,jsonl" default:"auto" placeholder:"FORMAT" help:"Format: csv, jsonl (a JSON object on each line) or auto. auto takes jsonl for names that end in .json, .jsonl or .ndjson, and csv for others."`
	Gzip   bool   `group:"Used most:" env:"-" help:"Compress the output."`
	// Spreadsheet requires CSV.
	Spreadsheet bool `group:"Used most:" env:"-" help:"Write CSV for a spreadsheet: with a byte-order mark, and with an apostrophe before each text that it would execute. roster import --spreadsheet removes both."`
}

// Import has the settings of a file that is read, and of its rows.
type Import struct {
	Format     string `group:"Used most:" env:"-" enum:"auto,csv,jsonl" default:"auto" placeholder:"FORMAT" help:"Format: csv, jsonl (a JSON object on each line) or auto. auto looks at the content."`
	OnConflict string `group:"Used most:" env:"-" enum:"fail,skip,update" default:"fail" placeholder:"WHAT" help:"What to do with a row whose ID, username, email or identity exists already. fail rejects the row, skip leaves it out, update changes what exists."`
	DryRun     bool   `group:"Used most:" env:"-" help:"Do everything, then take it back. The summary says what an import would do."`
	Batch      int    `group:"Used most:" env:"-" default:"0" min:"0" placeholder:"NUMBER" help:"Commit after this number of rows. 0: once, at the end."`
	Errors     string `group:"Used most:" env:"-" placeholder:"FILE" help:"Write the rejected rows to this CSV file (line, field, code, reason), and import the others. With -, the standard output gets them, and the standard error output the summary. Without the flag, nothing is imported when a row is rejected."`
	// Ignore names columns of CSV or members of JSON objects.
	Ignore      []string `group:"Used most:" env:"-" placeholder:"COLUMN" help:"Columns to leave out, separated by commas. In JSON: members, such as phone or posts.phone. Other columns without a field are left out too, but the summary names them."`
	Spreadsheet bool     `group:"Used most:" env:"-" help:"Remove the apostrophes that roster export --spreadsheet writes. Without the flag, an apostrophe is part of the text."`
	MaxRowBytes int      `env:"-" default:"33554432" min:"1" max:"1073741824" placeholder:"BYTES" help:"Maximum size of a row in the file, in bytes. A longer row is rejected. The default fits every row of an export."`
}

// Stats has the range and the period of the sign-ups.
type Stats struct {
	By   string    `group:"Used most:" env:"-" enum:"day,week,month" default:"day" placeholder:"PERIOD" help:"Period of the sign-ups, in UTC: day, week or month."`
	From time.Time `group:"Used most:" env:"-" placeholder:"TIME" help:"Inclusive start of the sign-ups: a date or an RFC 3339 time. Without the flag: 30 days, 12 weeks or 12 months, the last of which ends with --to."`
	To   time.Time `group:"Used most:" env:"-" placeholder:"TIME" help:"Exclusive end of the sign-ups: a date or an RFC 3339 time. Without the flag: now."`
}

// Log has the settings of the log, which goes to the standard error output.
type Log struct {
	LogLevel  string `group:"Used most:" enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL" help:"Lowest level to log: debug (with a line per request), info, warn or error."`
	LogFormat string `enum:"text,json" default:"text" placeholder:"FORMAT" help:"Format of the log's lines: text or json."`
}

// Logger returns a logger that writes to w.
func (l Log) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.LogLevel)) // the flag takes only names of levels
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if l.LogFormat == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	return slog.New(logging.NewHandler(handler))
}
