// Package handover carries the listening sockets of a server from one process to the next, so that an upgrade refuses no
// connection. A service manager passes sockets as sd_listen_fds(3) says. A process passes its own sockets to its successor in
// the same way, and goes on until the successor is ready. The package also tells the service manager what happens, as
// sd_notify(3) says. It does not know what is served.
package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// The names of the sockets. A service manager gives them by FileDescriptorName=. Any other name of its stands for Public.
const (
	Public = "public" // the endpoint of clients
	Admin  = "admin"  // the listener of operators
)

// Options describe a process. All fields are required.
type Options struct {
	// Program is the program that a successor runs, as os.Args[0] has it: the file that is at this path then.
	Program string
	// Arguments are those of the successor, without the program's name.
	Arguments []string
	// Getenv returns a variable of the environment.
	Getenv func(name string) string
	// PID is the ID of this process.
	PID int
	// Stdout and Stderr are also those of the successor.
	Stdout, Stderr io.Writer
	// Timeout is the maximum time until a successor is ready.
	Timeout time.Duration
	// Logger gets what comes of each hand-over.
	Logger *slog.Logger
}

// Process is one process of a server. Close releases it.
type Process struct {
	options Options
	program string
	signals chan os.Signal
	running sync.WaitGroup
	closed  chan struct{}
	going   context.Context //nolint:containedctx // its end ends a hand-over that is under way, which has no caller
	stop    context.CancelFunc

	passed      map[string]net.Listener // the sockets that nobody has asked for yet
	own         map[string]bool         // the names of those that a process before this one has opened itself
	predecessor *predecessor            // nil if this process was not started by a hand-over

	mu         sync.Mutex
	phase      phase
	sockets    []socket
	handedOver func()
}

// socket is a listening socket of this process.
type socket struct {
	name     string
	listener net.Listener
	own      bool // this process or one before it has opened it, not the service manager: so its file ends with it
}

type phase int

const (
	starting phase = iota
	serving
	handing // a successor is starting
	ending  // this process stops, or has a successor that serves
)

// New takes over the sockets that were passed to this process, and listens to the signal SIGUSR2. The error says what is
// wrong with the sockets.
func New(o Options) (*Process, error) {
	p := &Process{options: o, program: executable(o.Program), signals: make(chan os.Signal, 1), closed: make(chan struct{})}
	if err := p.receive(); err != nil {
		return nil, err
	}
	p.going, p.stop = context.WithCancel(context.Background())
	notify(p.signals)
	p.running.Go(func() {
		for {
			select {
			case <-p.closed:
				return
			case <-p.signals:
				p.running.Go(p.handOver)
			}
		}
	})
	return p, nil
}

// Close ends the work of the process for hand-overs. A successor that is not ready yet is ended. After Close, SIGUSR2 does
// nothing.
func (p *Process) Close() {
	p.stop()
	close(p.closed)
	p.running.Wait()
	for _, listener := range p.passed {
		_ = listener.Close() // nothing uses it
	}
}

// executable returns the absolute path of a program. A link stays a link, so that it may lead to another version later.
func executable(program string) string {
	if found, err := exec.LookPath(program); err == nil {
		program = found
	} else if self, err := os.Executable(); err == nil { // the name is not that of a file
		return self
	}
	if path, err := filepath.Abs(program); err == nil {
		return path
	}
	return program
}

// Inherited reports whether a running server started this process as its successor.
func (p *Process) Inherited() bool { return p.predecessor != nil }

// Listen returns the socket with a name that was passed to this process. If there is none, it opens one. A successor gets
// the socket under the same name. Listen is called once for a name.
func (p *Process) Listen(name string, open func() (net.Listener, error)) (net.Listener, error) {
	listener, ok := p.passed[name]
	delete(p.passed, name)
	if !ok {
		var err error
		if listener, err = open(); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets = append(p.sockets, socket{name, listener, !ok || p.own[name]})
	return listener, nil
}

// Ready says that this process serves, to its predecessor and to the service manager. From then on, it can be handed over.
// handedOver is called when a successor serves. This process should then close its listeners, finish its requests, and end. The
// error says that a socket was passed that nothing has asked for.
func (p *Process) Ready(handedOver func()) error {
	if len(p.passed) > 0 {
		var names []string
		for name, listener := range p.passed {
			names = append(names, fmt.Sprintf("%q (%s)", name, listener.Addr()))
		}
		slices.Sort(names)
		return fmt.Errorf("the service manager passes sockets that this server has no use for: %s: "+
			"leave them out, or turn on what listens there", strings.Join(names, ", "))
	}
	p.mu.Lock()
	p.phase, p.handedOver = serving, handedOver
	for _, s := range p.sockets {
		if unix, ok := s.listener.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(s.own) // not before: its path is that of the predecessor, which goes on if this process fails
		}
	}
	p.mu.Unlock()
	state := daemon.SdNotifyReady
	if p.predecessor != nil {
		state = fmt.Sprintf("MAINPID=%d\n%s", p.options.PID, state) // first: then the end of the predecessor is not that of the service
	}
	p.tell(state)
	if p.predecessor != nil {
		p.predecessor.release()
	}
	return nil
}

// Stopping says that this process stops, without a successor. A hand-over that is under way fails, and further ones are
// refused.
func (p *Process) Stopping() {
	p.mu.Lock()
	succeeded := p.phase == ending
	p.phase = ending
	p.mu.Unlock()
	p.stop()
	if !succeeded {
		p.tell(daemon.SdNotifyStopping)
	}
}

// tell sends a state to the service manager, if there is one.
func (p *Process) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		p.options.Logger.Warn("the service manager cannot be told the state of this server", "socket", p.options.Getenv("NOTIFY_SOCKET"), "error", err)
	}
}

// handOver hands over to a new process. The log has the result.
func (p *Process) handOver() {
	logger := p.options.Logger
	sockets, err := p.begin()
	if err != nil {
		logger.Warn("hand-over refused", "because", err)
		return
	}
	logger.Info("hand-over begins", "program", p.program)
	p.tell(daemon.SdNotifyReloading + "\n" + strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
	next, err := p.start(sockets)
	if err == nil {
		err = next.await(p.going, p.options.Timeout)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.phase != handing { // this server stops
			logger.Warn("hand-over ended: this server stops", "program", p.program, "because", err)
			return
		}
		logger.Error("hand-over failed: this server goes on", "program", p.program, "error", err)
		p.phase = serving
		p.tell(daemon.SdNotifyReady)
		return
	}
	p.phase = ending
	for _, s := range sockets {
		if unix, ok := s.listener.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false) // its path now leads to the successor
		}
	}
	logger.Info("hand-over done: the new process serves, and this one finishes its requests", "pid", next.pid())
	p.running.Go(func() {
		select {
		case <-p.closed:
		case err := <-next.ended:
			logger.Error("the new process has ended while this one finished its requests: start the server again", "pid", next.pid(), "error", err)
		}
	})
	p.handedOver()
}

// begin begins a hand-over and returns the sockets. The error is the reason why none can begin.
func (p *Process) begin() ([]socket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.options.PID == 1:
		return nil, errors.New("this is process 1, and a container ends with it: start another container, and stop this one when that one is ready")
	case p.phase == starting:
		return nil, errors.New("this server is still starting")
	case p.phase == handing:
		return nil, errors.New("another hand-over is under way")
	case p.phase == ending:
		return nil, errors.New("this server is stopping")
	case p.predecessor.alive():
		return nil, errors.New("the process before this one is still finishing its requests")
	}
	p.phase = handing
	return slices.Clone(p.sockets), nil
}

// reason returns the reason of an error of the operating system, without what was called.
func reason(err error) string {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number.Error()
	}
	return err.Error()
}
