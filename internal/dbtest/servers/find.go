package servers

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// find returns the path of the first program that is in PATH or in one of the directories.
func find(dirs []string, names ...string) (string, bool) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				return path, true
			}
		}
		for _, dir := range dirs {
			if path, ok := inFolder(dir, name); ok {
				return path, true
			}
		}
	}
	return "", false
}

// given returns the folder of programs that the environment variable names, or nothing.
func given(variable string) string { return os.Getenv(variable) }

// inFolder returns the path of a program in a directory.
func inFolder(dir, name string) (string, bool) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	return path, err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// versions returns the directories that match the pattern dir/*/sub, where * is a version, newest first.
func versions(dir, sub string) []string {
	matches, err := filepath.Glob(filepath.Join(dir, "*", sub))
	if err != nil {
		return nil // the pattern is malformed; nothing can match it
	}
	version := func(path string) float64 {
		v, err := strconv.ParseFloat(filepath.Base(filepath.Dir(path)), 64)
		if err != nil {
			return 0 // no version: the last choice
		}
		return v
	}
	slices.SortFunc(matches, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return matches
}
