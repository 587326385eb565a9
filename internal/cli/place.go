package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"roster/internal/database"
)

// A place is the file that a path leads to. Different paths of one file have the same place.
type place struct {
	path string      // without symbolic links
	info os.FileInfo // nil for a file that does not exist
	// descriptor is the number of an open file of this process, as for /dev/stdout; -1 for other places.
	descriptor int
	// foreign says that another process has the file open, under /proc.
	foreign bool
}

// maxLinks is the number of symbolic links that find follows, as on Linux.
const maxLinks = 40

// find follows the links of a path. The last one may lead to a file that does not exist.
func find(path string) (place, error) {
	at := path
	for range maxLinks {
		dir, name := filepath.Split(at)
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return place{}, fmt.Errorf("%s cannot be written: its directory does not exist", path)
		}
		if err != nil {
			return place{}, unwritable(path, err)
		}
		at = filepath.Join(dir, name)
		if filepath.Base(dir) == "fd" {
			p, err := opened(dir, name)
			if err != nil {
				return place{}, unwritable(path, err)
			}
			if p.info != nil {
				return p, nil
			}
		}
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return place{path: at, descriptor: -1}, nil
		case err != nil:
			return place{}, unwritable(path, err)
		case info.Mode()&fs.ModeSymlink == 0:
			return place{path: at, info: info, descriptor: -1}, nil
		}
		target, err := os.Readlink(at)
		if err != nil {
			return place{}, unwritable(path, err)
		}
		if at = target; !filepath.IsAbs(target) {
			at = dir + string(filepath.Separator) + target // not cleaned: ".." is relative to the target of a link
		}
	}
	return place{}, fmt.Errorf("%s cannot be written: its symbolic links lead nowhere", path)
}

// unwritable returns the error of a path that cannot be written.
func unwritable(path string, err error) error {
	return fmt.Errorf("%s cannot be written: %w", path, reason(err))
}

// errDirectory is the error of a path of a directory.
var errDirectory = errors.New("this is a directory: give the path of a file")

// unreadable returns the error of a file that cannot be opened for reading, without its path.
func unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file: correct the path")
	case errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("the file cannot be read: %w", reason(err))
}

// reason removes the path of a file from an error: the user may have given another one.
func reason(err error) error {
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		return named.Err
	}
	if named, ok := errors.AsType[*os.LinkError](err); ok {
		return named.Err
	}
	return err
}

// opened returns the place of an open file, by its number in /dev/fd or a directory of /proc. For other paths, the place has no
// info. The target of such a link must not be followed: the file may be a pipe, or deleted, and has a position to keep.
func opened(dir, name string) (place, error) {
	path := filepath.Join(dir, name)
	number, err := strconv.Atoi(name)
	if err != nil || dir != "/dev/fd" && !strings.HasPrefix(dir, "/proc/") {
		return place{}, nil //nolint:nilerr // it is another path
	}
	info, err := os.Stat(path)
	if err != nil {
		return place{}, err
	}
	self, err := filepath.EvalSymlinks("/proc/self")
	if dir == "/dev/fd" || err == nil && strings.HasPrefix(dir, self+"/") {
		return place{path: path, info: info, descriptor: number}, nil
	}
	return place{path: path, info: info, descriptor: -1, foreign: true}, nil
}

// placeOf returns the place of an open file.
func placeOf(f *os.File) place {
	info, err := f.Stat()
	if err != nil {
		return place{path: f.Name(), descriptor: -1}
	}
	return place{path: f.Name(), info: info, descriptor: -1}
}

// is reports whether both places are one regular file. Terminals and pipes may be used twice.
func (p place) is(other place) bool {
	if p.info != nil && other.info != nil {
		return p.info.Mode().IsRegular() && os.SameFile(p.info, other.info)
	}
	if p.info != nil || other.info != nil || !strings.EqualFold(filepath.Base(p.path), filepath.Base(other.path)) { // some file systems ignore case
		return false
	}
	a, errA := os.Stat(filepath.Dir(p.path))
	b, errB := os.Stat(filepath.Dir(other.path))
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// A usedFile is a file that a command reads, or a file of its database.
type usedFile struct {
	place
	what string // the kind of file, for people
}

// filesOf returns the files of the database of a URL. It ignores errors of the URL: opening the database reports them.
func filesOf(url string) (used []usedFile) {
	paths, err := database.Files(url)
	if err != nil {
		return nil
	}
	for _, path := range paths {
		what := "the database"
		if path != paths[0] {
			what = "a file of the database"
		}
		if p, err := find(path); err == nil {
			used = append(used, usedFile{p, what})
		}
	}
	if len(used) == 0 {
		return nil
	}
	// SQLite puts its own files beside the target of a link.
	for _, path := range paths[1:] {
		if p, err := find(used[0].path + strings.TrimPrefix(path, paths[0])); err == nil {
			used = append(used, usedFile{p, "a file of the database"})
		}
	}
	return used
}

// clash returns an error if the place is one of the files.
func (p place) clash(name string, used []usedFile) error {
	for _, u := range used {
		if p.is(u.place) {
			return fmt.Errorf("%s is %s: write to another file", name, u.what)
		}
	}
	return nil
}

// errSilent is the error of a command that must not write to its standard error output.
var errSilent = errors.New("the standard error output is a file in use")

// clash returns an error if the standard output or the standard error output is one of the files.
func (e *environment) clash(used []usedFile) error {
	if f, ok := e.stderr.(*os.File); ok && placeOf(f).clash("", used) != nil {
		return errSilent
	}
	if f, ok := e.stdout.(*os.File); ok {
		return placeOf(f).clash("the standard output", used)
	}
	return nil
}
