package transfer_test

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"roster/internal/transfer"
)

// FuzzCSV compares the records with those of encoding/csv, for as long as these are right; it makes line ends in quoted
// fields LF, and reads on differently after a wrong one.
func FuzzCSV(f *testing.F) {
	for _, text := range []string{
		"a,b\n1,2\n", "a;b\r\n\"1\r\n\"\"2\"\"\";\r\n\r\n;;\n", "\"a\"b,c\n", "a\"b\n", "\"", "\"a\n", "a\r", "a\rb\n", "\r\n\r\n", ",\n\n,", "\"\"\n\"\"", "a\tb\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := transfer.ReadCSV(text, 1<<20)
		oracle := csv.NewReader(strings.NewReader(text))
		oracle.FieldsPerRecord = -1
		first, _, _ := strings.Cut(text, "\n")
		for _, c := range ";\t" {
			if strings.Count(first, string(c)) > strings.Count(first, string(oracle.Comma)) {
				oracle.Comma = c
			}
		}
		for i := 0; ; i++ {
			want, err := oracle.Read()
			for err == nil && slices.Equal(want, []string{""}) { // "" alone on a line, which is blank for us
				want, err = oracle.Read()
			}
			if errors.Is(err, io.EOF) {
				if i != len(got) {
					t.Fatalf("%q: %q, want %d records", text, got, i)
				}
				return
			}
			if i >= len(got) {
				t.Fatalf("%q: %q, want another record: %q, %v", text, got, want, err)
			}
			if err != nil {
				if got[i] != nil {
					t.Fatalf("%q: record %d is %q, and wrong: %v", text, i, got[i], err)
				}
				return
			}
			for j := range got[i] {
				got[i][j] = strings.ReplaceAll(got[i][j], "\r\n", "\n")
			}
			if !slices.Equal(got[i], want) {
				t.Fatalf("%q: record %d is %q, want %q", text, i, got[i], want)
			}
		}
	})
}

// FuzzRead reads anything, in both formats: it ends, and each row has what the rules ask for or says what is wrong.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"username,email\nada,ada@example.com\n", "authorId,title\nuser_01jvsz5r0xe3k8m1p4s6t9w2yb,x\n", "username,email,title\na,a@b.c,x\na,a@b.c,y\n",
		`{"username":"ada","email":"ada@example.com","posts":[{"title":"x"},{}]}`, `{"authorId":"","\ud800":1}`, "\ufeff\"username\";email\r\n\"a\r\nb\";\"\"\"\"", "\x1f\x8b", "[", "{",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []transfer.Format{"", transfer.CSV, transfer.JSONLines} {
			file, err := transfer.NewReader(strings.NewReader(text), format, 100)
			if err != nil {
				continue
			}
			last := 0
			for {
				row, err := file.Read()
				if err != nil {
					break
				}
				if row.Line < last || row.Line > strings.Count(text, "\n")+1 && !strings.HasPrefix(text, "\x1f\x8b") {
					t.Fatalf("%q: line %d after line %d", text, row.Line, last)
				}
				last = row.Line
				if len(row.Faults) == 0 && !strings.Contains(row.Texts(), "=") {
					t.Fatalf("%q: line %d has neither values nor faults", text, row.Line)
				}
			}
		}
	})
}
