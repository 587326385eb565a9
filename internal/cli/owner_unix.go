//go:build unix

package cli

import (
	"os"
	"syscall"
)

// keepOwner gives a file the owner and the group of another file, or only the group, as far as this process may.
func keepOwner(f *os.File, of os.FileInfo) {
	owner, ok := of.Sys().(*syscall.Stat_t)
	if ok && f.Chown(int(owner.Uid), int(owner.Gid)) != nil {
		_ = f.Chown(-1, int(owner.Gid))
	}
}
