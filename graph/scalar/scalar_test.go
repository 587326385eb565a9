package scalar_test

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/graph/scalar"
)

// invalid checks that an error is a fault with the code INVALID.
func invalid(t *testing.T, v any, err error) {
	t.Helper()
	var fault *rules.Fault
	if !errors.As(err, &fault) || fault.Code != rules.Invalid {
		t.Errorf("%#v: got %v, want a fault", v, err)
	}
}

func TestMarshalDateTime(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]time.Time{
		`"2026-01-31T09:30:00.000000Z"`: time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC),
		`"2026-01-31T09:30:00.000001Z"`: time.Date(2026, 1, 31, 10, 30, 0, 1999, time.FixedZone("", 3600)),
		`"1000-01-01T00:00:00.123456Z"`: time.Date(1000, 1, 1, 0, 0, 0, 123_456_000, time.UTC),
		`"9999-12-31T23:59:59.999999Z"`: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	} {
		var b strings.Builder
		if scalar.MarshalDateTime(v).MarshalGQL(&b); b.String() != want {
			t.Errorf("%v: got %s, want %s", v, &b, want)
		}
	}
}

func TestUnmarshalDateTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2026-01-31T09:30:00Z":             time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC),
		"2026-01-31T09:30:00.1Z":           time.Date(2026, 1, 31, 9, 30, 0, 100_000_000, time.UTC),
		"2026-01-31T09:30:00.123456+05:45": time.Date(2026, 1, 31, 3, 45, 0, 123_456_000, time.UTC),
		"2024-02-29T23:59:59-12:00":        time.Date(2024, 3, 1, 11, 59, 59, 0, time.UTC),
		"0001-01-01T00:00:00.000000Z":      time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		got, err := scalar.UnmarshalDateTime(text)
		if err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: got %v, %v, want the time in UTC", text, got, err)
		}
	}
	for _, v := range []any{
		"", "2026-01-31", "2026-01-31T09:30:00", "2026-01-31 09:30:00Z", "2026-02-30T09:30:00Z", "2026-01-31T24:00:00Z",
		"2026-01-31T09:30:00.1234567Z", "2026-01-31T09:30:00.1234560Z", "2026-01-31T9:30:00Z", "2026-01-31T09:30:00,5Z", "2026-01-31T09:30:00+24:00", "2026-01-31T09:30:00.123456001Z", "2026-01-31T09:30:00+25:00", "26-01-31T09:30:00Z", "12026-01-31T09:30:00Z",
		"2026-01-31T09:30:60Z", "-2026-01-31T09:30:00Z", " 2026-01-31T09:30:00Z", "2026-01-31T09:30:00Z\n", "2026-01-31T09:30:00.Z", "now", nil, 7, int64(7), json.Number("7"), true, time.Now(),
	} {
		_, err := scalar.UnmarshalDateTime(v)
		invalid(t, v, err)
	}
}

func FuzzDateTime(f *testing.F) {
	for _, text := range []string{"2026-01-31T09:30:00Z", "2026-01-31T09:30:00.123456+05:45", "2024-02-29T23:59:59-12:00", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := scalar.UnmarshalDateTime(text)
		if err != nil || v.Year() < 0 || v.Year() > 9999 {
			return
		}
		var b strings.Builder
		scalar.MarshalDateTime(v).MarshalGQL(&b)
		written, err := strconv.Unquote(b.String())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := scalar.UnmarshalDateTime(written); err != nil || !again.Equal(v) {
			t.Fatalf("%q written as %s: got %v, %v, want the same time", text, &b, again, err)
		}
	})
}

func TestInt(t *testing.T) {
	t.Parallel()
	for want, values := range map[int][]any{
		0: {0, int64(0), json.Number("0"), json.Number("-0")}, 7: {7, int64(7), json.Number("7")},
		math.MaxInt32: {math.MaxInt32, int64(math.MaxInt32), json.Number("2147483647")}, math.MinInt32: {math.MinInt32, json.Number("-2147483648")},
	} {
		for _, v := range values {
			got, err := scalar.UnmarshalInt(v)
			if err != nil || got != want {
				t.Errorf("%#v: got %d, %v, want the number or a fault", v, got, err)
			}
			var b strings.Builder
			if scalar.MarshalInt(got).MarshalGQL(&b); b.String() != strconv.Itoa(want) {
				t.Errorf("%d: got %s, want its digits", got, &b)
			}
		}
	}
	for _, v := range []any{
		int64(math.MaxInt32) + 1, math.MinInt32 - 1, json.Number("2147483648"), json.Number("9223372036854775808"), json.Number("1e3"), json.Number("1.0"),
		json.Number(""), "7", "", nil, true, 7.0,
		[]any{7},
	} {
		_, err := scalar.UnmarshalInt(v)
		invalid(t, v, err)
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a", "\x00\n\"\\é😀"} {
		got, err := scalar.UnmarshalString(text)
		var b strings.Builder
		scalar.MarshalString(got).MarshalGQL(&b)
		var back string
		if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
			t.Error(err)
		}
		if err != nil || got != text || back != text {
			t.Errorf("%q: got %q, %q, %v, want the same text", text, got, back, err)
		}
	}
	for _, v := range []any{nil, 7, int64(7), 7.5, json.Number("7"), true, []any{"a"}, map[string]any{}} {
		_, err := scalar.UnmarshalString(v)
		invalid(t, v, err)
	}
}
