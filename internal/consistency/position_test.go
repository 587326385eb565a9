package consistency_test

import (
	"cmp"
	"errors"
	"math"
	"strings"
	"testing"

	"roster/internal/consistency"
)

func position(log consistency.Log, branch uint32, number uint64, server uint32) consistency.Position {
	return consistency.Position{Database: consistency.Database{1, 2, 3, 4, 5, 6, 7, 8}, Log: log, Branch: branch, Number: number, Server: server}
}

// Clients keep tokens: their texts never change.
func TestText(t *testing.T) {
	t.Parallel()
	const want = "040G40O40K30E20100000080000000UIG000000002U3JGLV"
	if got := position(consistency.WAL, 1, 0x3d28000, 0).String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	good := position(consistency.GTID, 0, 7, 1).String()
	for _, text := range []string{
		"", "0", good[1:], good + "0", good + "\n", "\n" + good[:len(good)-1], strings.ToLower(good), good[:20] + "\n" + good[21:],
		strings.Repeat("0", len(good)), strings.Repeat("0", 1<<20), "Ä" + good[2:], good[:len(good)-1] + "=", " " + good[1:],
		consistency.Position{}.String(),
	} {
		if got, err := consistency.Parse(text); !errors.Is(err, consistency.ErrMalformed) {
			t.Errorf("%.60q: got %+v, %v, want %v", text, got, err, consistency.ErrMalformed)
		}
	}
	if got, err := consistency.Parse(good); err != nil || got != position(consistency.GTID, 0, 7, 1) {
		t.Errorf("%s: got %+v, %v, want the position", good, got, err)
	}
}

// TestOrder compares tokens as clients do.
func TestOrder(t *testing.T) {
	t.Parallel()
	rising := []consistency.Position{
		position(consistency.WAL, 1, 0, 0), position(consistency.WAL, 1, 255, 0), position(consistency.WAL, 1, 256, 0),
		position(consistency.WAL, 1, math.MaxInt64, 0), position(consistency.WAL, 1, math.MaxUint64, 0), position(consistency.WAL, 2, 1, 0),
		consistency.Last(position(consistency.WAL, 0, 0, 0).Database, consistency.WAL),
	}
	for i, p := range rising {
		for j, q := range rising {
			want := cmp.Compare(i, j)
			if positions, texts := p.Compare(q), strings.Compare(p.String(), q.String()); positions != want || texts != want {
				t.Errorf("%+v and %+v: got %d, and as texts %d, want %d", p, q, positions, texts, want)
			}
		}
	}
}

// TestIsAhead wants that a position which is ahead keeps its place in the order of its log.
func TestIsAhead(t *testing.T) {
	t.Parallel()
	for _, p := range []consistency.Position{position(consistency.WAL, 1, 256, 0), position(consistency.GTID, 0, 256, 7)} {
		ahead, later := consistency.Ahead(p), p
		later.Number++
		if p.IsAhead() || !ahead.IsAhead() || p.Compare(ahead) >= 0 || ahead.Compare(later) >= 0 || ahead.String() >= later.String() {
			t.Errorf("%+v: got %+v, want one that is ahead, and less than %+v", p, ahead, later)
		}
	}
	for _, log := range []consistency.Log{consistency.WAL, consistency.GTID, consistency.Galera} {
		if consistency.Last(consistency.Database{1}, log).IsAhead() {
			t.Errorf("the last position of the log %d: got one that is ahead", log)
		}
	}
}

// A text that is a token is the only one of its position.
func FuzzParse(f *testing.F) {
	f.Add(position(consistency.WAL, 1, 2, 0).String(), uint32(1), uint64(2), uint32(3))
	f.Add(position(consistency.GTID, 0, 2, 9).String(), uint32(0), uint64(math.MaxUint64), uint32(0))
	f.Add("", uint32(0), uint64(0), uint32(0))
	f.Fuzz(func(t *testing.T, text string, branch uint32, number uint64, server uint32) {
		if p, err := consistency.Parse(text); err == nil && p.String() != text {
			t.Errorf("%q: got %+v, whose token is %q, want the same text", text, p, p)
		} else if err != nil && !errors.Is(err, consistency.ErrMalformed) {
			t.Errorf("%q: got %v, want %v", text, err, consistency.ErrMalformed)
		}
		want := position(consistency.GTID, branch, number, server)
		if got, err := consistency.Parse(want.String()); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
}
