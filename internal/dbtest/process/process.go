// Package process starts programs that do not outlive the one that started them. It is independent of what the
// programs are.
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

// Options say how a program is tied to its parent.
type Options struct {
	// Account is the system user to run as, or nil for the one that this process runs as. Only root may name one.
	Account *user.User
	// Group puts the program at the head of its own process group, out of reach of the terminal's signals.
	Group bool
	// Orphaned is the signal that the kernel sends to the program when this process dies without ending it. Linux
	// alone can do that; elsewhere it has no effect.
	Orphaned syscall.Signal
}

// Process is a running program.
type Process struct {
	cmd   *exec.Cmd
	group bool
	done  chan struct{}
	err   error // set before done is closed
}

// Start runs cmd. It waits for the end of cmd by itself; callers follow Done.
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
		// The kernel takes the end of the thread that forked for the end of the parent, so that thread has to live as
		// long as the program does.
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

// ID returns the process number, which is the number of the group too if the program has its own.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the program ended, as exec.Cmd.Wait does. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends s to the program, or to its whole group if it has its own. That nothing is left to receive it is not an
// error.
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
