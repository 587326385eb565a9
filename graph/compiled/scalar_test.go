package compiled

import (
	"math/rand/v2"
	"testing"
	"time"

	"roster/ent/rules"
)

func TestAppendTime(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	times := []time.Time{
		{},
		time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(1000, 1, 1, 0, 0, 0, 1_000, time.UTC),
	}
	for range 10_000 {
		times = append(times, time.Unix(random.Int64N(253_402_300_800), random.Int64N(1_000_000_000)).UTC())
	}
	for _, moment := range times {
		if got, want := string(appendTime([]byte("x"), moment)), "x"+moment.Format(rules.TimeFormat); got != want {
			t.Errorf("%v: got %s, want %s", moment, got, want)
		}
	}
}

func BenchmarkAppendTime(b *testing.B) {
	moment, text := time.Date(2026, 1, 31, 9, 30, 0, 123_456_000, time.UTC), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		text = appendTime(text[:0], moment)
	}
}

func BenchmarkAppendText(b *testing.B) {
	text := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		text = appendText(text[:0], "The \"quick\" brown fox jumps over the lazy dog: größer, 名前.\n")
	}
}
