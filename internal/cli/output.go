package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"roster/internal/database"
)

// An output is a file that a command writes.
type output struct {
	place
	name string // as the user gave it
	// private lets only the owner read a new file.
	private bool
	// durable writes the file to the disk before it appears.
	durable bool
}

// newOutput finds the place of a path. It refuses a directory and a file in use.
func newOutput(name string, used []usedFile) (*output, error) {
	p, err := find(name)
	if err != nil {
		return nil, err
	}
	if p.info != nil && p.info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: give the path of a file", name)
	}
	if err := p.clash(name, used); err != nil {
		return nil, err
	}
	return &output{place: p, name: name}, nil
}

// destination returns a function that gives a writer to the function that writes: of a file, or of the standard output if
// the name is empty or -. The file appears when it is complete. A private one can be read by its owner alone, if it is new.
// used are the files of the database, which it must not be; the caller has compared them with the standard output.
func (e *environment) destination(ctx context.Context, name string, used []usedFile, private bool) (func(write func(io.Writer) error) error, error) {
	if name == "" || name == "-" {
		return func(write func(io.Writer) error) error { return write(interruptible{ctx, shared{e.stdout}}) }, nil
	}
	out, err := newOutput(name, used)
	if err != nil {
		return nil, fmt.Errorf("--output: %w", err)
	}
	out.private = private
	return func(write func(io.Writer) error) error { return out.replace(ctx, write) }, nil
}

// inPlace reports whether the output can only be written, not replaced: a pipe, a device, or a file that a process has
// open.
func (o *output) inPlace() bool {
	return o.descriptor >= 0 || o.foreign || o.info != nil && !o.info.Mode().IsRegular()
}

// replace writes a file that appears when it is complete. An existing file keeps its permissions and, where the system
// allows it, its owner. A link to it stays. A new file gets the permissions that the umask leaves,
// and a private one those of its owner alone.
func (o *output) replace(ctx context.Context, write func(io.Writer) error) error {
	if o.inPlace() {
		f, err := o.open(ctx)
		if err != nil {
			return unwritable(o.name, err)
		}
		return errors.Join(write(f), f.Close())
	}
	return o.create(func(f *os.File) error { return write(f) })
}

// create makes the file that replace writes. The file is no pipe and no device.
func (o *output) create(write func(*os.File) error) (err error) {
	mode := fs.FileMode(0o666)
	if o.private {
		mode = 0o600
	}
	if o.info != nil {
		f, err := os.OpenFile(o.path, os.O_WRONLY, 0) // a file that is not writable is not replaced
		if err != nil {
			return unwritable(o.name, err)
		}
		if err := f.Close(); err != nil {
			return err
		}
		mode = 0o600 // until its owner is set
	}
	dir := filepath.Dir(o.path)
	f, err := os.OpenFile(filepath.Join(dir, ".roster-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // G302: as said
	if err != nil {
		return fmt.Errorf("%s cannot be written: no file can be created in its directory: %w", o.name, reason(err))
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the reason is err
			if named, ok := errors.AsType[*fs.PathError](err); ok && named.Path == f.Name() {
				named.Path = o.name
			}
		}
	}()
	err = write(f)
	if err == nil {
		err = o.dress(f)
	}
	if err == nil && o.durable {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), o.path); err != nil {
		return fmt.Errorf("%s cannot be replaced: %w", o.name, reason(err))
	}
	if o.durable {
		return database.SyncDir(dir)
	}
	return nil
}

// dress gives a file the owner and the permissions of the file that it replaces.
func (o *output) dress(f *os.File) error {
	if o.info == nil {
		return nil
	}
	keepOwner(f, o.info)
	return f.Chmod(o.info.Mode())
}

// open opens the output for writing. It empties an existing file. It leaves a pipe or a device as it is.
func (o *output) open(ctx context.Context) (io.WriteCloser, error) {
	if o.descriptor >= 0 {
		return interruptible{ctx, descriptor(o.descriptor, o.name)}, nil
	}
	if !o.inPlace() {
		return os.OpenFile(o.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666) //nolint:gosec // G302: the umask decides
	}
	f, err := openWaiting(ctx, o.path, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	return interruptible{ctx, f}, nil
}

// openWaiting opens a file. A pipe waits for its other side, until ctx ends.
func openWaiting(ctx context.Context, path string, flag int) (*os.File, error) {
	return await(ctx, func() (*os.File, error) { return os.OpenFile(path, flag, 0) }) //nolint:gosec // G304: the file that the user names
}

// descriptor returns an open file of this process. Close leaves the standard ones open.
func descriptor(number int, name string) io.WriteCloser {
	for n, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if n == number {
			return shared{f}
		}
	}
	return os.NewFile(uintptr(number), name)
}

// shared is a file that Close leaves open.
type shared struct{ io.Writer }

// Close does nothing.
func (shared) Close() error { return nil }

// interruptible is a file whose writes end with ctx, even when nobody reads the pipe.
type interruptible struct {
	ctx  context.Context //nolint:containedctx // of the command that writes
	file io.WriteCloser
}

// Write implements io.Writer.
func (i interruptible) Write(p []byte) (int, error) {
	return await(i.ctx, func() (int, error) { return i.file.Write(p) })
}

// Close implements io.Closer.
func (i interruptible) Close() error { return i.file.Close() }
