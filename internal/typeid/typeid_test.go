package typeid_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"roster/internal/typeid"
)

// The valid and invalid examples of the TypeID specification.
func TestParseSpecification(t *testing.T) {
	t.Parallel()
	valid := map[string]string{
		"prefix_0123456789abcdefghjkmnpqrs":  "0110c853-1d09-52d8-d73e-1194e95b5f19",
		"prefix_01h455vb4pex5vsknk084sn02q":  "01890a5d-ac96-774b-bcce-b302099a8057",
		"user_00000000000000000000000000":    "00000000-0000-0000-0000-000000000000",
		"user_0000000000000000000000000g":    "00000000-0000-0000-0000-000000000010",
		"user_7zzzzzzzzzzzzzzzzzzzzzzzzz":    "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"pre_fix_00000000000000000000000000": "00000000-0000-0000-0000-000000000000",
	}
	for text, want := range valid {
		id, err := typeid.Parse(text)
		if err != nil || id.UUID().String() != want || id.String() != text {
			t.Errorf("Parse(%q): got %s (%s), %v, want %s", text, id.UUID(), id, err, want)
		}
	}
	invalid := []string{
		"", "_", "user", "user_", "PREFIX_00000000000000000000000000", "12345_00000000000000000000000000",
		"pre.fix_00000000000000000000000000", "préfix_00000000000000000000000000", " prefix_00000000000000000000000000",
		strings.Repeat("a", 17) + "_00000000000000000000000000", "_00000000000000000000000000",
		"prefix_1234567890123456789012345", "prefix_123456789012345678901234567", "prefix_1234567890123456789012345 ",
		"prefix_0123456789ABCDEFGHJKMNPQRS", "prefix_123456789-123456789-123456", "prefix_ooooooiiiiiiuuuuuuulllllll",
		"prefix_i23456789ol23456789oi23456", "prefix_8zzzzzzzzzzzzzzzzzzzzzzzzz", "_prefix_00000000000000000000000000",
		"prefix__00000000000000000000000000", "user_0000000000000000000000000\x00",
	}
	for _, text := range invalid {
		if id, err := typeid.Parse(text); !errors.Is(err, typeid.ErrMalformed) || id != (typeid.ID{}) {
			t.Errorf("Parse(%q): got %v, %v, want ErrMalformed", text, id, err)
		}
	}
}

func TestSourceIsStrictlyIncreasing(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	random := rand.NewChaCha8([32]byte{1})
	source := typeid.NewSource(func() time.Time { return now }, random)
	last := source.New("user")
	for i := range 100_000 {
		switch i % 1000 {
		case 300:
			now = now.Add(time.Millisecond)
		case 600:
			now = now.Add(-5 * time.Millisecond) // a clock that was set back
		}
		id := source.New("user")
		if id.Compare(last) <= 0 {
			t.Fatalf("got %v after %v, want a greater ID", id, last)
		}
		if id.UUID().Version() != 7 || id.UUID().Variant() != uuid.RFC4122 {
			t.Fatalf("got %v, want a UUIDv7", id.UUID())
		}
		last = id
	}
}

// A full counter carries into the field before it instead of wrapping round.
func TestSourceCarries(t *testing.T) {
	t.Parallel()
	ones := bytes.NewReader(bytes.Repeat([]byte{0xff}, 40))
	source := typeid.NewSource(func() time.Time { return time.UnixMilli(1) }, ones)
	a, b := source.New("user"), source.New("user")
	if b.Compare(a) <= 0 || b.UUID().Version() != 7 || b.UUID().Variant() != uuid.RFC4122 {
		t.Fatalf("got %v after %v, want a greater UUIDv7", b.UUID(), a.UUID())
	}
}

// What a database gives back, in each of the forms that drivers use.
func TestValueAndScan(t *testing.T) {
	t.Parallel()
	id := typeid.New("post", uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"))
	stored, err := id.Value()
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range []any{stored, id.UUID().String(), []byte(id.UUID().String())} {
		var got typeid.ID
		if err := got.Scan(src); err != nil || got.As("post") != id {
			t.Errorf("%T: got %v, %v, want the ID", src, got, err)
		}
	}
	var none typeid.ID
	if err := none.Scan(nil); err != nil || none.As("post") != (typeid.ID{}) {
		t.Errorf("NULL: got %v, %v, want the zero ID", none, err)
	}
	if err := none.Scan("nonsense"); err == nil {
		t.Error("nonsense: got no error, want one")
	}
}

func TestGraphQL(t *testing.T) {
	t.Parallel()
	var id typeid.ID
	for _, v := range []any{"user_x", 7, nil, "user-1", int64(3)} {
		if err := id.UnmarshalGQL(v); err != nil || id != (typeid.ID{}) {
			t.Errorf("%v: got %v, %v, want the zero ID", v, id, err)
		}
	}
	if err := id.UnmarshalGQL("user_01h455vb4pex5vsknk084sn02q"); err != nil || id.Type() != "user" {
		t.Fatal(id, err)
	}
	var out bytes.Buffer
	id.MarshalGQL(&out)
	if out.String() != `"user_01h455vb4pex5vsknk084sn02q"` {
		t.Error(out.String())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("user_01h455vb4pex5vsknk084sn02q")
	f.Add("a_b_7zzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Add("__")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := typeid.Parse(s)
		if (err == nil) != (id.Type() != "") {
			t.Fatalf("Parse(%q): got %v, %v, want an ID or an error", s, id, err)
		}
		if err == nil && id.String() != s {
			t.Fatalf("%q: got %q, want the same text", s, id)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	id, text := typeid.New("user", uuid.New()), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		text = id.Append(text[:0])
	}
}

func BenchmarkParse(b *testing.B) {
	text := typeid.New("user", uuid.New()).String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := typeid.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
