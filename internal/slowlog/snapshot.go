package slowlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/trace"
	"slices"
	"sync"
	"time"
)

// Snapshots writes what Go's flight recorder knows about the last seconds into files, for "go tool trace". Its methods may be
// called at the same time.
type Snapshots struct {
	folder   string
	clock    func() time.Time
	recorder *trace.FlightRecorder

	mu     sync.Mutex
	next   time.Time // before this, no snapshot is taken
	busy   bool      // a file is being written: the recorder writes one at a time
	closed bool
	writes sync.WaitGroup
}

const (
	between = time.Minute
	// maxFiles is the number of files that are kept. The oldest ones are deleted.
	maxFiles = 20
	// The flight recorder keeps at least so much, within so many bytes.
	minAge   = 10 * time.Second
	maxBytes = 16 << 20
)

// prefix and suffix are those of the names of files. The time between them orders the names.
const (
	prefix = "roster-slow-"
	suffix = ".trace"
)

// NewSnapshots starts the flight recorder. A process can have one. The folder is made if it is missing.
func NewSnapshots(folder string, clock func() time.Time) (*Snapshots, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	probe, err := os.CreateTemp(folder, "."+prefix)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, err
	}
	s := &Snapshots{folder: folder, clock: clock, recorder: trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: minAge, MaxBytes: maxBytes})}
	return s, s.recorder.Start()
}

// Close waits until the last snapshot is written, and stops the recorder.
func (s *Snapshots) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.writes.Wait()
	s.recorder.Stop()
}

// take takes a snapshot if there was none for a minute, and reports that. It does not wait for the file. log is called when the
// file is there, with its name, or with the error.
func (s *Snapshots) take(log func(attributes ...any)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if s.closed || s.busy || now.Before(s.next) {
		return false
	}
	s.next, s.busy = now.Add(between), true
	s.writes.Go(func() {
		name, err := s.write(now)
		s.mu.Lock()
		s.busy = false
		s.mu.Unlock()
		if err != nil {
			log("snapshotError", err)
			return
		}
		log("snapshot", name)
	})
	return true
}

// write writes a snapshot. The file appears when it is complete.
func (s *Snapshots) write(now time.Time) (name string, err error) {
	name = filepath.Join(s.folder, prefix+now.UTC().Format("20060102T150405.000000000Z")+suffix)
	f, err := os.CreateTemp(s.folder, "."+prefix) // only its owner can read it
	if err != nil {
		return "", err
	}
	_, err = s.recorder.WriteTo(f)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write a snapshot: %w", err), os.Remove(f.Name()))
	}
	return name, s.tidy()
}

// tidy deletes the oldest files.
func (s *Snapshots) tidy() error {
	files, err := filepath.Glob(filepath.Join(s.folder, prefix+"*"+suffix))
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, name := range files[:max(len(files)-maxFiles, 0)] {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
