package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"roster/graph"
	"roster/internal/budget"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/feed"
	"roster/internal/handover"
	"roster/internal/limits"
	"roster/internal/playground"
	"roster/internal/ratelimit"
	"roster/internal/server"
	"roster/internal/typeid"
)

// The times that a client has to send the headers of a request, to send all of it, to take the answer, and to send the
// next request.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
)

// answerWait is the time that a request waits for memory for its answer.
const answerWait = time.Second

// The times that a client has to begin on a WebSocket, to send credentials on it, and to accept a message on a WebSocket or an event stream.
const (
	initTimeout    = 5 * time.Second
	guestTimeout   = time.Minute
	messageTimeout = 10 * time.Second
)

type serveCommand struct {
	config.HTTP      `group:"Listening and requests:"`
	config.Auth      `group:"Authentication:"`
	config.Doors     `group:"Access and TLS:"`
	config.Clients   `group:"Clients:"`
	config.Streams   `group:"WebSockets and event streams:"`
	config.GraphQL   `group:"GraphQL:"`
	limits.Limits    `group:"Limits of a request:"`
	config.Retention `group:"Retention:"`
	config.Database  `group:"Database:"`
	config.Replicas  `group:"Replicas of the database:"`
	config.Admin     `group:"Admin listener:"`
	config.Insight   `group:"Slow operations and traces:"`
	config.Log       `group:"Logging:"`
	Migrate          bool `group:"Used most:" default:"true" negatable:"" help:"Apply pending migrations before serving."`
}

// Validate checks the form of the settings. kong calls it.
func (c *serveCommand) Validate() error {
	if err := c.HTTP.Validate(); err != nil {
		return err
	}
	if err := c.Insight.Validate(); err != nil {
		return err
	}
	if err := c.Replicas.Validate(); err != nil {
		return err
	}
	return c.Admin.Validate()
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, e *environment) (err error) {
	memory, stopTuning := tuneMemory()
	defer stopTuning()
	logger := c.Logger(e.stderr)
	process, err := e.newProcess(c.HandoverTimeout, logger)
	if err != nil {
		return err
	}
	defer process.Close()
	verifier, err := e.newVerifier(c.Auth, logger)
	if err != nil {
		return err
	}
	if err := c.checkDoors(ctx, verifier != nil); err != nil {
		return err
	}
	if err := c.checkAdmin(ctx); err != nil {
		return err
	}
	if err := c.checkReplicas(); err != nil {
		return err
	}
	proxies, err := c.Proxies(c.localOnly(verifier != nil))
	if err != nil {
		return misuse(err)
	}
	points := c.PointsPerMinute(verifier != nil)
	if points > 0 && (c.MaxCost == 0 || points < int64(c.MaxCost)) { // no caller will ever have more points
		c.MaxCost = int(points)
		logger.Info("no operation may cost more than the rate limit", "max_cost", c.MaxCost, "because", "ROSTER_RATE_LIMIT")
	}
	security, err := c.security(logger)
	if err != nil {
		return err
	}
	if c.InsecureNoAuth {
		logger.Warn("THERE IS NO AUTHENTICATION: everyone whose request comes to this server may read, change and delete everything",
			"listen", c.Listen, "because", "ROSTER_INSECURE_NO_AUTH")
	}
	if err := e.clash(filesOf(c.DatabaseURL)); err != nil {
		return err
	}
	trusted, err := c.trusted(e)
	if err != nil {
		return err
	}
	prepare := migrating
	if !c.Migrate {
		prepare = checking
	}
	insight, err := c.insight(ctx, e, trusted, memory, logger)
	if err != nil {
		return err
	}
	defer insight.close()
	db, err := e.openDatabase(ctx, c.Database, logger, prepare, insight.database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Ready(ctx); err != nil && process.Inherited() {
		return fmt.Errorf("the server before this one goes on, because this one is not ready: %w", err)
	} // otherwise a database that takes no changes is served for reading; Ready logs the reason
	if err := c.useReplicas(ctx, db); err != nil {
		return err
	}
	page, err := c.page()
	if err != nil {
		return err
	}
	answers := budget.New(budget.Options{MaxAnswer: c.MaxAnswerBytes, Memory: answerMemory(c.AnswerMemory, memory), Wait: answerWait})
	streams := server.NewStreams(server.StreamOptions{
		MaxStreams:    c.MaxStreams,
		MaxOperations: c.MaxOperationsPerSocket,
		PingInterval:  c.PingInterval,
		InitTimeout:   initTimeout,
		GuestTimeout:  guestTimeout,
		ReadTimeout:   readTimeout,
		WriteTimeout:  messageTimeout,
	})
	changes := feed.New(feed.Options{Database: db, Budget: answers, Tables: tables(), Logger: logger}, graph.LoadNodes(db))
	ids := typeid.NewSource(time.Now, rand.Reader)
	executor, err := newExecutor(c, db, ids, changes, trusted, insight.graph(), logger)
	if err != nil {
		return err
	}
	// These go on until the last request has ended, and end by their own functions.
	background := context.WithoutCancel(ctx)
	authenticator, stopAuthenticator := c.authenticate(background, verifier, db, ids, changes.Wake, logger)
	defer stopAuthenticator()
	o := server.Options{
		Executor:      executor,
		Authenticator: authenticator,
		Playground:    page,
		Streams:       streams,
		Budget:        answers,
		LocalOnly:     c.localOnly(verifier != nil),
		Proxies:       proxies,
		Limiter:       ratelimit.New(points, time.Now),
		Observer:      insight.server(),
		Logger:        logger,
	}
	handler := newHandler(c, db, o)
	if insight.tracer != nil {
		handler = insight.tracer.Handler(handler)
	}
	listener, address, err := c.open(ctx, process, c.localOnly(verifier != nil))
	if err != nil {
		return err
	}
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	insight.watch(ctx, db, changes)
	stopAdmin, err := c.startAdmin(serving, process, insight, readiness(db), streams, logger)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, stopAdmin()) }()
	if err := c.announce(e, db, browsable(c.scheme(), address, listener.Addr())); err != nil {
		return errors.Join(err, listener.Close())
	}
	timeouts := server.Timeouts{
		ReadHeader: readHeaderTimeout,
		Read:       readTimeout,
		Write:      readTimeout + c.RequestTimeout + writeTimeout,
		Idle:       idleTimeout,
		WriteByte:  messageTimeout,
		Drain:      c.Drain,
		Shutdown:   c.ShutdownTimeout,
	}
	stopChores := startChores(background, c.Retention, db, changes, logger)
	defer stopChores()
	defer context.AfterFunc(ctx, process.Stopping)()
	if err := process.Ready(func() { stop(server.ErrHandedOver) }); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := server.Serve(serving, listener, security, handler, streams, timeouts, logger); err != nil {
		return err
	}
	last := "Roster has stopped."
	if errors.Is(context.Cause(serving), server.ErrHandedOver) {
		last = "Roster has handed over to a new process."
	}
	fmt.Fprintln(e.stdout, last) // ignore the error: after SIGHUP, there may be no terminal
	return nil
}

// newProcess returns the process of this server. It knows the sockets that were passed to it.
func (e *environment) newProcess(timeout time.Duration, logger *slog.Logger) (*handover.Process, error) {
	return handover.New(handover.Options{
		Program:   os.Args[0],
		Arguments: os.Args[1:],
		Getenv:    e.getenv,
		PID:       os.Getpid(),
		Stdout:    e.stdout,
		Stderr:    e.stderr,
		Timeout:   timeout,
		Logger:    logger,
	})
}

// open returns the listener of the clients: the socket that was passed to this process, or else one on c.Listen. It also
// returns HOST:PORT as it was configured. local says that only this machine may reach it.
func (c *serveCommand) open(ctx context.Context, process *handover.Process, local bool) (listener net.Listener, address string, err error) {
	listener, err = process.Listen(handover.Public, func() (net.Listener, error) {
		address = c.Listen
		listen := server.Listen
		if local {
			listen = server.ListenLocal
		}
		listener, err := listen(ctx, c.Listen)
		if err != nil {
			return nil, fmt.Errorf("%w: choose another address with --listen", err)
		}
		return listener, nil
	})
	if err != nil {
		return nil, "", err
	}
	if address == "" {
		address = listener.Addr().String()
	}
	switch actual, ok := listener.Addr().(*net.TCPAddr); {
	case !ok:
		err = fmt.Errorf("the service manager passes the socket %s, which is not TCP: pass a TCP socket", listener.Addr())
	case local && !actual.IP.IsLoopback():
		err = fmt.Errorf("the service manager passes the socket %s, which can be reached from other machines, and there is no authentication: "+
			"pass one on 127.0.0.1, or set %s. ROSTER_INSECURE_NO_AUTH=true lets everyone do everything", actual, config.AuthModes)
	}
	if err != nil {
		return nil, "", errors.Join(err, listener.Close())
	}
	return listener, address, nil
}

// checkDoors checks the settings of access against authentication, before anything is opened.
func (c *serveCommand) checkDoors(ctx context.Context, authentication bool) error {
	if err := c.Check(authentication); err != nil {
		return misuse(err)
	}
	if !c.localOnly(authentication) {
		return nil
	}
	if slices.Contains(c.CORSOrigins, server.AnyOrigin) {
		return misuse(errors.New("--cors-origins=* lets every page of the web change everything, because there is no authentication: " +
			"list origins, or set " + config.AuthModes + ". ROSTER_INSECURE_NO_AUTH=true lets everyone do everything"))
	}
	switch loopback, err := server.IsLoopback(ctx, c.Listen); {
	case err != nil:
		return fmt.Errorf("%w: choose another address with --listen", err)
	case !loopback:
		return misuse(fmt.Errorf("--listen=%s can be reached from other machines, and there is no authentication: "+
			"listen on 127.0.0.1, or set %s. ROSTER_INSECURE_NO_AUTH=true lets everyone do everything", c.Listen, config.AuthModes))
	}
	return nil
}

// localOnly reports whether only this machine may reach the server: everyone may do everything.
func (c *serveCommand) localOnly(authentication bool) bool {
	return !authentication && !c.InsecureNoAuth
}

// security returns the configuration of TLS, or nil without TLS.
func (c *serveCommand) security(logger *slog.Logger) (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	certificate, err := server.NewCertificate(c.TLSCert, c.TLSKey, time.Now, logger)
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s: %w", file.Path, unreadable(err))
	}
	if err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	return certificate.Config(), nil
}

// page returns the playground, or nil in production.
func (c *serveCommand) page() (http.Handler, error) {
	if c.Production() {
		return nil, nil
	}
	return playground.Handler()
}

// scheme returns the scheme of the server's URL.
func (c *serveCommand) scheme() string {
	if c.TLSCert != "" {
		return "https"
	}
	return "http"
}

// announce prints the addresses of a server with this URL.
func (c *serveCommand) announce(e *environment, db *database.DB, address string) error {
	text := fmt.Sprintf("Roster %s is running on %s.\n", e.version, db)
	if !c.Production() {
		text += fmt.Sprintf("  playground  %s/\n", address)
	}
	text += fmt.Sprintf("  endpoint    %s/graphql\n", address)
	if c.InsecureNoAuth {
		text += "  WARNING     There is no authentication: everyone may do everything.\n"
	}
	_, err := fmt.Fprint(e.stdout, text)
	return err
}

// trusted reads the file of trusted documents. Without a file, it returns nil.
func (c *serveCommand) trusted(e *environment) (map[string]string, error) {
	if c.TrustedDocuments == "" {
		return nil, nil
	}
	file, err := os.Open(c.TrustedDocuments)
	if err != nil {
		return nil, fmt.Errorf("--trusted-documents: %s: %w", c.TrustedDocuments, unreadable(err))
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("--trusted-documents: %s: %w", c.TrustedDocuments, errDirectory)
	}
	if err := e.clash([]usedFile{{placeOf(file), "the file of trusted documents"}}); err != nil {
		return nil, fmt.Errorf("--trusted-documents: %w", err)
	}
	trusted, err := documents.ReadTrusted(file)
	if err != nil {
		return nil, fmt.Errorf("--trusted-documents: %s: %w", c.TrustedDocuments, err)
	}
	return trusted, nil
}

// newExecutor wires the executor of operations.
func newExecutor(
	c *serveCommand, db *database.DB, ids *typeid.Source, changes *graph.Feed, trusted map[string]string, observer graph.Observer,
	logger *slog.Logger,
) (*graph.Executor, error) {
	executor, err := graph.NewExecutor(graph.Options{
		Database:           db,
		Clock:              time.Now,
		IDs:                ids,
		Feed:               changes,
		Committed:          changes.Wake,
		Observer:           observer,
		Logger:             logger,
		RequestTimeout:     c.RequestTimeout,
		Introspection:      c.showSchema(),
		CompiledReads:      c.CompiledReads,
		Limits:             c.Limits,
		DocumentCacheBytes: c.DocumentCacheBytes,
		TrustedDocuments:   trusted,
	})
	if err != nil {
		return nil, fmt.Errorf("--trusted-documents: %s: %w", c.TrustedDocuments, err)
	}
	return executor, nil
}

// showSchema reports whether clients see the schema.
func (c *serveCommand) showSchema() bool { return c.Introspection && !c.Production() }

// newHandler returns the HTTP server. o has what was made for it, and newHandler adds the settings.
func newHandler(c *serveCommand, db *database.DB, o server.Options) http.Handler {
	o.Ready = readiness(db)
	o.Clock = time.Now
	o.NewRequestID = rand.Text
	o.MaxBodyBytes = c.MaxBodyBytes
	o.MaxValues = maxValues(c.MaxInputValues)
	o.MaxRequests = c.MaxRequests
	o.Origins = c.CORSOrigins
	o.Hosts = c.AllowedHosts
	o.WriteTimeout = writeTimeout
	o.Profiles = !c.Production()
	if c.showSchema() {
		o.SDL = graph.SDL()
	}
	return server.New(o)
}

// readiness returns a check whether a database is ready for operations or, with reads, for queries.
func readiness(db *database.DB) func(ctx context.Context, reads bool) error {
	return func(ctx context.Context, reads bool) error {
		if reads {
			return db.ReadyForReads(ctx)
		}
		err := db.Ready(ctx)
		if f := database.AsFailure(err); f != nil && f.Kind == database.ReadOnly {
			return fmt.Errorf("%w: %w", server.ErrReadOnly, err)
		}
		return err
	}
}

// maxValues returns the limit of values in the JSON of a request: the limit of variables, and a little more for the
// rest.
func maxValues(ofVariables int) int {
	const around = 1_000
	if ofVariables == 0 {
		return 0
	}
	return ofVariables + around
}

// browsable returns the URL of a server that listens on actual, for people. It has the host of configured. A browser
// cannot open "all addresses"; then it is localhost. The port is the actual one.
func browsable(scheme, configured string, actual net.Addr) string {
	host, _, _ := net.SplitHostPort(configured)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(actual.String())
	return scheme + "://" + net.JoinHostPort(host, port)
}
