package budget_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roster/internal/budget"
)

const mebibyte = 1 << 20

// newBudget returns a budget of 128 MiB: 32 for small answers, 32 for medium ones, 64 for large ones.
func newBudget() *budget.Budget {
	return budget.New(budget.Options{MaxAnswer: 16 * mebibyte, Memory: 128 * mebibyte, Wait: time.Second})
}

func wantTooLarge(t *testing.T, err error, limit int64, memory bool) {
	t.Helper()
	e, ok := errors.AsType[*budget.TooLargeError](err)
	if !ok || e.Limit != limit || e.Memory != memory {
		t.Errorf("got the error %v, want a TooLargeError of %d bytes, memory %t", err, limit, memory)
	}
}

func TestDataIsBounded(t *testing.T) {
	t.Parallel()
	const most = 16 * mebibyte
	for name, count := range map[string]func(a *budget.Answer, n int64) error{
		"rows":   func(a *budget.Answer, n int64) error { return a.Row(0, n) },
		"values": (*budget.Answer).Value,
		"JSON":   (*budget.Answer).Write,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newBudget().Open()
			defer a.Close()
			for range 2 {
				if err := errors.Join(count(a, most-1), count(a, 1)); err != nil {
					t.Errorf("%d bytes: got %v, want no error", most, err)
				}
				wantTooLarge(t, count(a, 1), most, false)
				wantTooLarge(t, a.Err(), most, false)
				wantTooLarge(t, a.Hold(1), most, false) // the first error stays
				a.Reset()
				if err := a.Err(); err != nil {
					t.Errorf("after Reset: got %v, want no error", err)
				}
			}
		})
	}
	a := newBudget().Open()
	defer a.Close()
	if err := a.Data(most); err != nil {
		t.Error(err)
	}
	wantTooLarge(t, a.Data(most+1), most, false)
}

// A nil account, and one of a nil budget, have no bounds.
func TestNoBounds(t *testing.T) {
	t.Parallel()
	var none *budget.Budget
	for _, a := range []*budget.Answer{nil, none.Open(), budget.FromContext(t.Context())} {
		err := errors.Join(a.Row(1<<60, 1<<60), a.Value(1<<60), a.Write(1<<60), a.Data(1<<60), a.Hold(1<<60), a.Err())
		if err != nil || a.Rows() != 0 || a.Written() != 0 {
			t.Errorf("got %v, %d rows, %d bytes, want no error and nothing counted", err, a.Rows(), a.Written())
		}
		a.Expect(1)
		a.Settle(1)
		a.Reset()
		a.Close()
	}
	if release, ok := none.Reserve(1 << 60); !ok {
		t.Error("a nil budget: got no reservation, want one")
	} else {
		release()
	}
}

// Small answers take nothing from anybody; larger ones find a pool full and begin again.
func TestPools(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget()
		var open []*budget.Answer
		hold := func(n int64) *budget.Answer {
			a := b.Open()
			open = append(open, a)
			_ = a.Hold(n) // the tests look at Err
			return a
		}
		for range 1000 {
			if err := hold(64 << 10).Err(); err != nil {
				t.Fatalf("a small answer: got %v, want no error", err)
			}
		}
		for range 16 {
			if err := hold(mebibyte).Err(); err != nil {
				t.Fatalf("an answer of the first pool: got %v, want no error", err)
			}
		}
		late := hold(mebibyte)
		if err := late.Err(); !errors.Is(err, budget.ErrBusy) {
			t.Errorf("an answer more than the pool has: got %v, want ErrBusy", err)
		}
		started := time.Now()
		if err := late.Wait(t.Context()); !errors.Is(err, budget.ErrBusy) || time.Since(started) != time.Second {
			t.Errorf("waiting in vain: got %v after %v, want ErrBusy after 1s", err, time.Since(started))
		}
		time.AfterFunc(time.Millisecond, open[1000].Close)
		if err := late.Wait(t.Context()); err != nil {
			t.Errorf("waiting for memory: got %v, want no error", err)
		}
		if err := late.Hold(mebibyte); err != nil {
			t.Errorf("with the memory: got %v, want no error", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		other := hold(mebibyte)
		if err := other.Wait(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that has disconnected: got %v, want the error of its context", err)
		}
		for _, a := range open {
			a.Close()
		}
		if err := b.Open().Hold(50 * mebibyte); err != nil {
			t.Errorf("an answer of the last pool: got %v, want no error", err)
		}
	})
}

// However many answers outgrow one pool after the other at the same time, all of them are built in the end.
func TestNobodyWaitsInACircle(t *testing.T) {
	t.Parallel()
	b := budget.New(budget.Options{MaxAnswer: 16 * mebibyte, Memory: 128 * mebibyte, Wait: time.Minute})
	var answers sync.WaitGroup
	for range 200 {
		answers.Go(func() {
			a := b.Open()
			defer a.Close()
			for held := int64(0); held < 40*mebibyte; held += mebibyte {
				if a.Hold(mebibyte) == nil {
					continue
				}
				if err := a.Wait(t.Context()); err != nil {
					t.Error(err)
					return
				}
				held = 0
			}
		})
	}
	answers.Wait()
}

// An answer may take more than was expected of it, as long as there is some, and never more than there is.
func TestMoreThanExpected(t *testing.T) {
	t.Parallel()
	b := newBudget()
	a := b.Open()
	defer a.Close()
	a.Expect(mebibyte) // 49 MiB with the data
	if err := a.Hold(60 * mebibyte); err != nil {
		t.Error(err)
	}
	wantTooLarge(t, a.Hold(5*mebibyte), 64*mebibyte, true)
}

// An answer that is built keeps what it has to write, and nothing else.
func TestSettle(t *testing.T) {
	t.Parallel()
	b := newBudget()
	a, other := b.Open(), b.Open()
	defer a.Close()
	defer other.Close()
	if err := a.Hold(60 * mebibyte); err != nil {
		t.Fatal(err)
	}
	if err := other.Hold(40 * mebibyte); !errors.Is(err, budget.ErrBusy) {
		t.Errorf("beside a large answer: got %v, want ErrBusy", err)
	}
	a.Settle(10 * mebibyte)
	other.Reset()
	if err := other.Hold(40 * mebibyte); err != nil {
		t.Errorf("after Settle of the other answer: got %v, want no error", err)
	}
	other.Close()
	if err := other.Hold(mebibyte); !errors.Is(err, budget.ErrBusy) {
		t.Errorf("after Close: got %v, want ErrBusy", err)
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	b := newBudget()
	release, ok := b.Reserve(32 * mebibyte)
	if !ok {
		t.Fatal("32 MiB of 32: got no reservation, want one")
	}
	if _, ok := b.Reserve(1); ok {
		t.Error("1 byte of none: got a reservation, want none")
	}
	release()
	release() // a second time does nothing
	if release, ok := b.Reserve(32 * mebibyte); !ok {
		t.Error("after release: got no reservation, want one")
	} else {
		release()
	}
	if _, ok := b.Reserve(33 * mebibyte); ok {
		t.Error("33 MiB of 32: got a reservation, want none")
	}
}

func TestBuffer(t *testing.T) {
	t.Parallel()
	var want, got bytes.Buffer
	var b budget.Buffer
	for i := range 300 {
		text := strings.Repeat(string(rune('a'+i%26)), i*i%9000)
		want.WriteString(text)
		if i%2 == 0 {
			_, _ = b.WriteString(text)
		} else {
			_, _ = b.Write([]byte(text))
		}
	}
	if b.Len() != want.Len() {
		t.Errorf("got %d bytes, want %d", b.Len(), want.Len())
	}
	if n, err := b.WriteTo(&got); err != nil || n != int64(want.Len()) || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("got %d bytes, %v, want %d", n, err, want.Len())
	}
	if b.Len() != 0 {
		t.Errorf("after WriteTo: got %d bytes, want 0", b.Len())
	}
	broken := errors.New("broken")
	_, _ = b.WriteString("text")
	if _, err := b.WriteTo(brokenWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// Requests take nothing from answers, and a subscription keeps half of what its request took until it ends.
func TestRequests(t *testing.T) {
	t.Parallel()
	b := budget.New(budget.Options{MaxAnswer: mebibyte, Memory: 64 * mebibyte, Wait: time.Millisecond})
	one, two, answer := b.Open(), b.Open(), b.Open()
	defer two.Close()
	defer answer.Close()
	if err := one.Request(t.Context(), 16*mebibyte); err != nil {
		t.Fatal(err)
	}
	if err := two.Request(t.Context(), mebibyte); !errors.Is(err, budget.ErrBusy) {
		t.Errorf("beside a large request: got %v, want ErrBusy", err)
	}
	if err := answer.Hold(mebibyte); err != nil {
		t.Errorf("an answer beside a large request: got %v, want no error", err)
	}
	one.Reset()
	if err := one.Last(); err != nil {
		t.Errorf("a subscription: got %v, want no error", err)
	}
	three := b.Open()
	if err := three.Request(t.Context(), 8*mebibyte); err != nil {
		t.Errorf("beside a subscription: got %v, want no error", err)
	}
	three.Close()
	one.Close()
	if err := two.Last(); err != nil {
		t.Errorf("a small subscription: got %v, want no error", err)
	}
}
