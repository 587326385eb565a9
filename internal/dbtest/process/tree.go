package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// Tree returns the numbers of the programs that p has started, and of those that they have started. It works only on
// Linux, and finds none elsewhere.
func (p *Process) Tree() ([]int, error) {
	parents := map[int]int{} // by the number of the process
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range stats {
		pid, parent, err := parentOf(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH): // it has ended
			continue
		case err != nil:
			return nil, err
		}
		parents[pid] = parent
	}
	tree := []int{p.ID()}
	for i := 0; i < len(tree); i++ {
		for pid, parent := range parents {
			if parent == tree[i] {
				tree = append(tree, pid)
			}
		}
	}
	return slices.Delete(tree, 0, 1), nil
}

// Ended reports whether a process has ended. Its parent may not know that yet.
func Ended(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	state := afterName(stat)
	return err != nil || len(state) > 0 && state[0][0] == 'Z'
}

// parentOf reads the numbers of a process and of its parent.
func parentOf(path string) (pid, parent int, err error) {
	stat, err := os.ReadFile(path) //nolint:gosec // it is in /proc
	if err != nil {
		return 0, 0, err
	}
	fields := afterName(stat)
	if len(fields) < 2 {
		return 0, 0, fmt.Errorf("%s: got %q, want the parent in it", path, stat)
	}
	pid, err = strconv.Atoi(filepath.Base(filepath.Dir(path)))
	if err != nil {
		return 0, 0, err
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return pid, parent, err
}

// afterName returns the fields of a stat file of proc(5) after the name, which may contain spaces: the state, the parent
// and so on.
func afterName(stat []byte) [][]byte { return bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) }
