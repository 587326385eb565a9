//go:build unix

package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The variables by which sockets are passed. The first three are those of sd_listen_fds(3). A process does not know the ID of
// its successor beforehand, so it names itself in variablePredecessor, in place of LISTEN_PID. variableOwn has the names of the
// sockets that do not come from the service manager.
const (
	variablePID         = "LISTEN_PID"
	variableCount       = "LISTEN_FDS"
	variableNames       = "LISTEN_FDNAMES"
	variablePredecessor = "ROSTER_PREDECESSOR"
	variableOwn         = "ROSTER_OWN_SOCKETS"
)

// firstDescriptor is the first of the passed file descriptors. A successor gets two pipes after the sockets: it writes into
// the first one when it is ready, and reads from the second one, which its predecessor holds open.
const firstDescriptor = 3

// maxSockets is more than any server has.
const maxSockets = 16

// endTimeout is the time that a failed successor has to end before it is killed.
const endTimeout = 5 * time.Second

func notify(signals chan<- os.Signal) { signal.Notify(signals, syscall.SIGUSR2) }

// receive takes the sockets that were passed to this process.
func (p *Process) receive() error {
	getenv := p.options.Getenv
	inherited := getenv(variablePredecessor) != ""
	if !inherited && getenv(variablePID) != strconv.Itoa(p.options.PID) {
		return nil // nothing was passed, or to another process
	}
	count, err := strconv.Atoi(getenv(variableCount))
	if err != nil || count < 1 || count > maxSockets {
		return fmt.Errorf("%s must be the number of passed sockets, from 1 to %d, not %q", variableCount, maxSockets, getenv(variableCount))
	}
	var names []string
	if text := getenv(variableNames); text != "" {
		names = strings.Split(text, ":")
		if len(names) != count {
			return fmt.Errorf("%s is %d, but %s has %d names", variableCount, count, variableNames, len(names))
		}
	}
	p.passed = map[string]net.Listener{}
	for i := range count {
		name := Public
		if i < len(names) && names[i] == Admin {
			name = Admin
		}
		descriptor := firstDescriptor + i
		listener, err := inherit(descriptor)
		if err != nil {
			return fmt.Errorf("%s is %d, but file descriptor %d cannot be used: %w", variableCount, count, descriptor, err)
		}
		if _, ok := p.passed[name]; ok {
			return fmt.Errorf("%s passes more than one socket named %s: name them by FileDescriptorName=", variableCount, name)
		}
		p.passed[name] = listener
	}
	if inherited {
		p.own = map[string]bool{}
		for name := range strings.SplitSeq(getenv(variableOwn), ":") {
			p.own[name] = true
		}
		p.predecessor = newPredecessor(firstDescriptor+count, firstDescriptor+count+1)
	}
	return nil
}

// inherit returns the listener of a file descriptor.
func inherit(descriptor int) (net.Listener, error) {
	listens, err := unix.GetsockoptInt(descriptor, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	if listens == 0 {
		return nil, errors.New("it is a socket that does not listen")
	}
	file := os.NewFile(uintptr(descriptor), "socket")
	listener, err := net.FileListener(file) // a duplicate, which programs that this one starts do not get
	if err != nil {
		return nil, errors.New(reason(err))
	}
	return listener, file.Close()
}

// predecessor is the process that started this one.
type predecessor struct {
	ready *os.File
	gone  chan struct{} // closed when it has ended
}

func newPredecessor(ready, gone int) *predecessor {
	unix.CloseOnExec(ready)
	unix.CloseOnExec(gone)
	p := &predecessor{ready: os.NewFile(uintptr(ready), "ready"), gone: make(chan struct{})}
	go func() {
		defer close(p.gone)
		file := os.NewFile(uintptr(gone), "gone")
		_, _ = file.Read(make([]byte, 1)) // nothing comes, until the end
		_ = file.Close()
	}()
	return p
}

// release lets the predecessor stop.
func (p *predecessor) release() {
	_, _ = p.ready.WriteString("\n") // it may have been killed
	_ = p.ready.Close()
}

// alive reports whether there is a predecessor that has not ended.
func (p *predecessor) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// successor is a process that was started to take over.
type successor struct {
	process *os.Process
	ready   chan error // gets nil when it is ready, or else an error
	ended   chan error // gets the result of its end
	held    *os.File   // the pipe that shows the successor that this process lives
}

func (s *successor) pid() int { return s.process.Pid }

// start starts the successor with duplicates of the sockets.
func (p *Process) start(sockets []socket) (*successor, error) {
	cmd := exec.Command(p.program, p.options.Arguments...) //nolint:gosec,noctx // The program itself. It outlives this process.
	cmd.Stdout, cmd.Stderr = p.options.Stdout, p.options.Stderr
	var names, own []string
	for _, s := range sockets {
		names = append(names, s.name)
		if s.own {
			own = append(own, s.name)
		}
		file, err := duplicate(s.listener)
		if err != nil {
			return nil, fmt.Errorf("the socket %s cannot be passed on: %s", s.listener.Addr(), reason(err))
		}
		defer func() { _ = file.Close() }()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	ready, readyWriter, err := os.Pipe()
	if err != nil {
		return nil, errors.New(reason(err))
	}
	defer func() { _ = readyWriter.Close() }()
	held, holder, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(errors.New(reason(err)), ready.Close())
	}
	defer func() { _ = held.Close() }()
	cmd.ExtraFiles = append(cmd.ExtraFiles, readyWriter, held)
	cmd.Env = append(cmd.Environ(), variablePID+"=", variableCount+"="+strconv.Itoa(len(sockets)), variableNames+"="+strings.Join(names, ":"),
		variablePredecessor+"="+strconv.Itoa(p.options.PID), variableOwn+"="+strings.Join(own, ":"))
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(errors.New("the program does not start: "+reason(err)), ready.Close(), holder.Close())
	}
	s := &successor{process: cmd.Process, ready: make(chan error, 1), ended: make(chan error, 1), held: holder}
	go func() { s.ended <- cmd.Wait() }()
	go func() {
		defer func() { _ = ready.Close() }()
		_, err := ready.Read(make([]byte, 1))
		s.ready <- err
	}()
	return s, nil
}

// duplicate returns the file of a listener. It is not listener.File(), whose files make the socket block when they are passed
// to a process, in this process too.
func duplicate(listener net.Listener) (*os.File, error) {
	conn, ok := listener.(syscall.Conn)
	if !ok {
		return nil, errors.New("it is not a socket of the operating system")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var descriptor int
	var failure error
	if err := raw.Control(func(fd uintptr) { descriptor, failure = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if failure != nil {
		return nil, failure
	}
	return os.NewFile(uintptr(descriptor), "socket"), nil
}

// await waits until the successor is ready. If it is not within the timeout, or ctx ends first, await ends it and returns the
// reason.
func (s *successor) await(ctx context.Context, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var failure error
	select {
	case err := <-s.ready:
		if err == nil {
			return nil
		}
		failure = errors.New("the new process ended before it was ready")
	case <-timer.C:
		failure = fmt.Errorf("the new process was not ready within %s", timeout)
	case <-ctx.Done():
		failure = errors.New("this server is stopping")
	}
	return fmt.Errorf("%w: %s", failure, s.end())
}

// end ends the successor and returns how it ended.
func (s *successor) end() string {
	_ = s.process.Signal(syscall.SIGTERM) // it may have ended
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	var result error
	select {
	case result = <-s.ended:
	case <-timer.C:
		_ = s.process.Kill()
		result = <-s.ended
	}
	_ = s.held.Close()
	if result == nil {
		return "exit status 0"
	}
	return result.Error()
}
