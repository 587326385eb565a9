package slowlog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestTidy(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	other := filepath.Join(folder, "roster.db")
	names := []string{other}
	for i := range 2 * maxFiles {
		names = append(names, filepath.Join(folder, fmt.Sprintf("%s20260131T0930%02d.000000000Z%s", prefix, i, suffix)))
	}
	for _, name := range names {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := (&Snapshots{folder: folder}).tidy(); err != nil {
		t.Fatal(err)
	}
	got, err := filepath.Glob(filepath.Join(folder, "*"))
	want := slices.Sorted(slices.Values(append(names[1+maxFiles:], other)))
	if slices.Sort(got); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
