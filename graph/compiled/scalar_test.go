package compiled

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/rules"
	"roster/internal/statement"
	"roster/internal/typeid"
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

// The drivers return values of a column in several forms. Each is the JSON that gqlgen writes.
func TestAppenders(t *testing.T) {
	t.Parallel()
	o := &Options{Schema: gqlparser.MustLoadSchema(&ast.Source{Input: "type Query { id: ID, text: String, enum: E, time: DateTime, int: Int, bool: Boolean, float: Float } enum E { A } scalar DateTime"})}
	id := typeid.New("user", uuid.MustParse("0190a0b0-c0d0-7000-8000-000000000001"))
	bytes := id.UUID()
	for _, test := range []struct {
		field    string
		kind     statement.Kind
		nullable bool
		value    any
		want     string // empty: an error
	}{
		{"id", statement.ID, false, bytes[:], `"` + id.String() + `"`},
		{"id", statement.ID, false, []byte(bytes.String()), `"` + id.String() + `"`},
		{"id", statement.ID, false, nil, `""`},
		{"id", statement.ID, true, nil, "null"},
		{"id", statement.ID, false, true, ""},
		{"text", statement.Text, false, "\"é", `"\"é"`},
		{"text", statement.Text, false, []byte("a"), `"a"`},
		{"text", statement.Text, false, nil, `""`},
		{"text", statement.Text, true, nil, "null"},
		{"text", statement.Text, false, 1.5, ""},
		{"enum", statement.Text, false, "A", `"A"`},
		{"enum", statement.Text, false, "B", ""},
		{"time", statement.Time, false, time.Unix(0, 0), `"1970-01-01T00:00:00.000000Z"`},
		{"time", statement.Time, false, nil, `"0001-01-01T00:00:00.000000Z"`},
		{"time", statement.Time, true, nil, "null"},
		{"int", statement.Int, false, int64(-7), "-7"},
		{"int", statement.Int, false, []byte("12"), "12"},
		{"int", statement.Int, false, nil, "0"},
		{"int", statement.Int, true, nil, "null"},
		{"int", statement.Int, false, "x", ""},
		{"bool", statement.Bool, false, true, "true"},
		{"bool", statement.Bool, false, int64(1), "true"},
		{"bool", statement.Bool, false, []byte("0"), "false"},
		{"bool", statement.Bool, false, nil, "false"},
		{"bool", statement.Bool, true, nil, "null"},
		{"bool", statement.Bool, false, 1.0, ""},
		{"float", statement.Float, false, 1e6, "1e+06"},
		{"float", statement.Float, false, []byte("-0.25"), "-0.25"},
		{"float", statement.Float, false, nil, "0"},
		{"float", statement.Float, true, nil, "null"},
		{"float", statement.Float, false, math.Inf(1), ""},
	} {
		column := statement.Column{Kind: test.kind, Nullable: test.nullable}
		if test.kind == statement.ID {
			column.Type = "user"
		}
		got, err := o.scalar(&statement.Table{}, o.Schema.Query.Fields.ForName(test.field), column)(nil, test.value)
		if err == nil && string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s from %T %v: got %s, %v, want %s", test.field, test.value, test.value, got, err, test.want)
		}
	}
}

// BenchmarkAppend appends the JSON of single values.
func BenchmarkAppend(b *testing.B) {
	id := uuid.MustParse("0190a0b0-c0d0-7000-8000-000000000001")
	for name, write := range map[string]func([]byte) ([]byte, error){
		"id":   func(b []byte) ([]byte, error) { return idOf("user")(b, id[:]) },
		"text": func(b []byte) ([]byte, error) { return appendTextOf(b, "user000001@example.com") },
		"time": func(b []byte) ([]byte, error) { return appendTimeOf(b, time.UnixMicro(1_769_851_800_123_456)) },
		"int":  func(b []byte) ([]byte, error) { return appendIntOf(b, int64(42)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			out := make([]byte, 0, 64)
			for b.Loop() {
				if _, err := write(out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
