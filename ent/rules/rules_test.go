package rules_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"roster/ent/rules"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	var faults rules.Faults
	faults.Add(nil, "input", "username")
	if err := faults.Err(); err != nil {
		t.Errorf("no fault: got the error %v, want nil", err)
	}
	faults.Add(&rules.Fault{Code: rules.Blank, Message: "must not be blank"}, "input", "posts", 3, "title")
	faults.Add(rules.MalformedID("post"), "id")
	if !faults.Has("input", "posts", 3, "title") || faults.Has("input", "posts", 2, "title") || faults.Has("input") {
		t.Error("Has: got the wrong paths, want only those of the faults")
	}
	err := faults.Err()
	var found rules.Faults
	if !errors.As(err, &found) || len(found) != 2 || found[1].Code != rules.Invalid {
		t.Errorf("got the error %#v, want the faults", err)
	}
	for _, part := range []string{"posts 3 title", "must not be blank", "post_"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want it to contain %q", err, part)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"1": 1, "2000000000": rules.MaxVersion} {
		if got, fault := rules.Version(text); fault != nil || got != want {
			t.Errorf("%s: got %d, %v, want the number", text, got, fault)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.0", "1e3", "2000000001", "2147483647", "2147483648", "9223372036854775808"} {
		if got, fault := rules.Version(text); fault == nil || fault.Code != rules.Invalid || got != 0 {
			t.Errorf("%q: got %d, %v, want INVALID", text, got, fault)
		}
	}
	if fault := rules.Updatable(rules.MaxVersion - 1); fault != nil {
		t.Errorf("the version before the largest: got %v, want no fault", fault)
	}
	for _, version := range []int{rules.MaxVersion, math.MaxInt32, math.MaxInt} {
		if fault := rules.Updatable(version); fault == nil || fault.Code != rules.Invalid {
			t.Errorf("%d: got %v, want INVALID", version, fault)
		}
	}
}

// The times of an entity never run back, whatever the clock says and whatever an import has brought.
func TestUpdatedAt(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2026, 1, 31, hour, 0, 0, 0, time.UTC) }
	for _, test := range []struct{ now, createdAt, updatedAt, want int }{
		{3, 1, 2, 3}, {1, 2, 3, 3}, {2, 1, 3, 3}, {1, 3, 2, 3}, {2, 2, 2, 2},
	} {
		if got := rules.UpdatedAt(at(test.now), at(test.createdAt), at(test.updatedAt)); !got.Equal(at(test.want)) {
			t.Errorf("%+v: got %v, want the latest time", test, got)
		}
	}
}

func TestStoredTime(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1000-01-01T00:00:00Z", "0999-12-31T23:00:00-01:00", "9999-12-31T23:59:59.999999Z"} {
		if at, fault := rules.StoredTime(text); fault != nil || at.Location() != time.UTC {
			t.Errorf("%s: got %v, %v, want the time in UTC", text, at, fault)
		}
	}
	for _, text := range []string{"0999-12-31T23:59:59.999999Z", "1000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "2026-01-31T09:30:00.0000001Z"} {
		if _, fault := rules.StoredTime(text); fault == nil || fault.Code != rules.Invalid {
			t.Errorf("%s: got %v, want INVALID", text, fault)
		}
	}
}
