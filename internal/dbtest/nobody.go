package dbtest

import (
	"os"
	"os/exec"
	"syscall"
)

// Nobody is the user and the group that own nothing.
const Nobody = 65534

// Unprivileged makes a program run as Nobody where this process is root, whom no permission stops.
func Unprivileged(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody}}
	}
}
