// Package process starts programs that do not outlive this process. It works with any program.
package process

import (
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// Options tie a program to its parent.
type Options struct {
	// Account is the system user of the program. nil is the user of this process. Only root may name another.
	Account *user.User
	// Group gives the program its own process group, which the terminal's signals do not reach.
	Group bool
	// Orphaned is the signal that the kernel sends to the program when this process dies without ending it. It works
	// only on Linux.
	Orphaned syscall.Signal
}

// Process is a running program.
type Process struct {
	cmd   *exec.Cmd
	group bool
	done  chan struct{}
	err   error // set before done is closed
}

// Start runs cmd, and waits for its end in the background. Callers watch Done.
func Start(cmd *exec.Cmd, o Options) (*Process, error) {
	attributes := &syscall.SysProcAttr{Setpgid: o.Group}
	if o.Account != nil {
		credential, err := credential(o.Account)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
		}
		attributes.Credential = credential
	}
	signalWhenOrphaned(attributes, o.Orphaned)
	cmd.SysProcAttr = attributes

	p := &Process{cmd: cmd, group: o.Group, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// For the kernel, the parent ends when the thread that forked ends. So this thread has to live as long as the
		// program.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return p, nil
}

// ID returns the number of the process. It is also the number of its group, if the program has its own.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err waits for the end of the program, and returns the error of exec.Cmd.Wait.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends s to the program, or to its whole group if it has its own. It is no error if the program has ended.
func (p *Process) Signal(s syscall.Signal) error {
	pid := p.ID()
	if p.group {
		pid = -pid
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	return nil
}

// IDs returns the numeric user and group of an account.
func IDs(account *user.User) (uid, gid int, err error) {
	c, err := credential(account)
	if err != nil {
		return 0, 0, err
	}
	return int(c.Uid), int(c.Gid), nil
}

func credential(account *user.User) (*syscall.Credential, error) {
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", account.Username, err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("group of user %s: %w", account.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
