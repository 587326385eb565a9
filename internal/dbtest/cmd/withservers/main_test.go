package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/internal/dbtest/servers"
)

// endLimit bounds the wait for the end of a program's output. A child that outlives the program may hold it.
const endLimit = 30 * time.Second

// given is an environment with both servers, so that none is started.
func given() []string {
	return append(os.Environ(), servers.PostgresVariable+"=postgres://given", servers.MySQLVariable+"=mysql://given")
}

func TestRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		stdin  string
		code   int
		stdout string
		stderr string // a part
	}{
		"success":     {args: []string{"--", "true"}},
		"exit code":   {args: []string{"--", "sh", "-c", "exit 7"}, code: 7},
		"no dashes":   {args: []string{"sh", "-c", "exit 7"}, code: 7},
		"signal":      {args: []string{"--", "sh", "-c", "kill -9 $$"}, code: 128 + 9},
		"streams":     {args: []string{"--", "sh", "-c", "cat; echo oh >&2"}, stdin: "text", stdout: "text", stderr: "oh\n"},
		"environment": {args: []string{"--", "sh", "-c", "echo $TEST_POSTGRES_URL $TEST_MYSQL_URL"}, stdout: "postgres://given mysql://given\n"},
		"not found":   {args: []string{"--", "no-such-command"}, code: 1, stderr: "no-such-command"},
		"no command":  {args: []string{"--"}, code: 2, stderr: "usage: withservers"},
		"unknown":     {args: []string{"-x"}, code: 2, stderr: "-x"},
		"help":        {args: []string{"-help"}, stderr: "usage: withservers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), c.args, given(), strings.NewReader(c.stdin), &stdout, &stderr)
			if code != c.code || stdout.String() != c.stdout || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("got code %d, output %q, messages %q, want code %d, %q, %q", code, &stdout, &stderr, c.code, c.stdout, c.stderr)
			}
		})
	}
}

// TestServersEnd runs the real program and ends it in three ways. The command has a child that would outlive it, and
// that holds its output: the end of the output is the end of both.
func TestServersEnd(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "withservers")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	for name, c := range map[string]struct {
		end  func(*exec.Cmd, *os.File) error
		code int // -1 if a signal ended it
	}{
		"the command ends": {func(_ *exec.Cmd, stdin *os.File) error { return stdin.Close() }, 3},
		"it is terminated": {func(cmd *exec.Cmd, _ *os.File) error { return cmd.Process.Signal(syscall.SIGTERM) }, 128 + 15},
		"it is killed":     {func(cmd *exec.Cmd, _ *os.File) error { return cmd.Process.Kill() }, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := publicDir(t)
			cmd := exec.CommandContext(t.Context(), binary, "--", "sh", "-c", "echo $TEST_POSTGRES_URL $TEST_MYSQL_URL; cat; exit 3")
			cmd.Env = append(os.Environ(), servers.PostgresVariable+"=", servers.MySQLVariable+"=", "TMPDIR="+dir)
			cmd.Stderr = t.Output()
			cmd.WaitDelay = endLimit
			reader, stdin, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			cmd.Stdin = reader
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			addresses := strings.Fields(line)
			if len(addresses) != 2 {
				t.Fatalf("got %q, want two addresses", line)
			}
			for _, address := range addresses {
				if !listens(t, address) {
					t.Errorf("%s: got no listener, want one", address)
				}
			}

			if err := c.end(cmd, stdin); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != c.code {
				t.Errorf("the exit code is %d (%v), want %d", got, err, c.code)
			}
			eventually(t, "the servers have ended", func() bool { return !listens(t, addresses[0]) && !listens(t, addresses[1]) })
			eventually(t, "the temporary directory is empty", func() bool {
				left, err := os.ReadDir(dir)
				return err == nil && len(left) == 0
			})
		})
	}
}

// TestKilledAtOnce kills the program while it starts a command. The command has a child, which must end too.
func TestKilledAtOnce(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "withservers")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	for range 50 {
		cmd := exec.CommandContext(t.Context(), binary, "--", "sh", "-c", "echo started; cat; exit 3")
		cmd.Env = given()
		cmd.Stderr = t.Output()
		cmd.WaitDelay = endLimit
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = writer
		err = errors.Join(cmd.Start(), writer.Close(), stdout.SetReadDeadline(time.Now().Add(endLimit)))
		if err != nil {
			t.Fatal(err)
		}
		output := bufio.NewReader(stdout)
		if line, err := output.ReadString('\n'); err != nil || line != "started\n" {
			t.Fatalf("the command: got %q, %v, want started", line, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// The end of the output is the end of all who could write to it.
		if rest, err := io.ReadAll(output); err != nil || len(rest) > 0 {
			t.Fatalf("after the kill: got %q, %v, want the end of the output", rest, err)
		}
		// The input is open until here, so that the child does not end by itself.
		if err := errors.Join(stdin.Close(), stdout.Close()); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the program: got %v, want a kill", err)
		}
	}
}

func listens(t *testing.T, address string) bool {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
	return err == nil && c.Close() == nil
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(endLimit); !condition(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Errorf("after %s: got no change, want that %s", endLimit, what)
			return
		}
	}
}

// publicDir returns a temporary directory that the servers' accounts can reach.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	return dir
}
