package dbtest

import (
	"os"
	"os/exec"
	"syscall"
)

// Nobody is the ID of the user and the group that own nothing.
const Nobody = 65534

// Unprivileged makes a program run as Nobody if this process runs as root: file permissions do not stop root.
func Unprivileged(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody}}
	}
}
