package transfer_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"roster/internal/transfer"
)

// unixEnds has all ends of lines as LF.
func unixEnds(text string) string {
	return strings.NewReplacer("\r\r\n", "\n", "\r\n", "\n", "\r", "\n").Replace(text)
}

// FuzzCSV compares the records with those of encoding/csv, for as long as these are right: it does not take spaces around
// quotes, and reads on differently after a wrong one.
func FuzzCSV(f *testing.F) {
	for _, text := range []string{
		"a,b\n1,2\n", "a;b\r\n\"1\r\n\"\"2\"\"\";\r\n\r\n;;\n", "\"a\"b,c\n", "a\"b\n", "\"", "\"a\n", "a\r", "a\rb\n", "\r\n\r\n", ",\n\n,", "\"\"\n\"\"", "a\tb\n",
		"a\r\"b\r\r\nc\"\r\r\nd\r\r\r", " \"a\" , b \n",
	} {
		f.Add(text, uint8(0))
		f.Add(text, uint8(1))
	}
	f.Fuzz(func(t *testing.T, text string, separator uint8) {
		const separators = ",;\t|"
		comma := separators[int(separator)%len(separators)]
		got := transfer.ReadCSV(text, comma, 1<<20)
		oracle := csv.NewReader(strings.NewReader(unixEnds(text)))
		oracle.FieldsPerRecord, oracle.Comma = -1, rune(comma)
		spaced := strings.Contains(text, ` "`) || strings.Contains(text, `" `)
		for i := 0; ; i++ {
			want, err := oracle.Read()
			for err == nil && slices.Equal(want, []string{""}) { // "" alone on a line, which is blank for us
				want, err = oracle.Read()
			}
			if errors.Is(err, io.EOF) {
				if i != len(got) {
					t.Fatalf("%q: got %q, want %d records", text, got, i)
				}
				return
			}
			if i >= len(got) {
				if spaced && err != nil {
					return
				}
				t.Fatalf("%q: got %q, want another record: %q, %v", text, got, want, err)
			}
			if err != nil {
				if got[i] != nil && !spaced {
					t.Fatalf("%q: record %d: got %q, want the error %v", text, i, got[i], err)
				}
				return
			}
			for j := range got[i] {
				got[i][j] = unixEnds(got[i][j])
			}
			if !slices.Equal(got[i], want) {
				t.Fatalf("%q: record %d: got %q, want %q", text, i, got[i], want)
			}
		}
	})
}

// FuzzHeader writes a file in one of the ways of spreadsheets and other programs, with any text as the name of a foreign
// column, as its value and as a body. They change nothing else.
func FuzzHeader(f *testing.F) {
	for i, text := range []string{"", "a;b;c;d;e", "a,\r\n,\"\",", "\t\t\t\t\n\n", "sep=,", "\ufeff", "Äpfel 😀", "=1+1", "'=", " \r", "{", "\x1f\x8b"} {
		f.Add(text, text, uint16(i*977))
	}
	f.Fuzz(func(t *testing.T, foreign, body string, how uint16) {
		if !utf8.ValidString(foreign) || !utf8.ValidString(body) || strings.IndexByte(body, 0) >= 0 || len(foreign) > 1000 || len(body) > 1000 {
			return
		}
		choose := func(n int) int { // one of so many ways
			way := int(how) % n
			how /= uint16(n)
			return way
		}
		separator := string(",;\t"[choose(3)])
		end := []string{"\n", "\r\n", "\r", "\r\r\n"}[choose(4)]
		start := []string{"", "\ufeff", "\ufeff\ufeff", "\ufeff" + end + "  " + end, "\ufeff\"sep=" + separator + "\"" + end + "\ufeff", end + separator + separator + end}[choose(6)]
		format := []transfer.Format{transfer.CSV, transfer.Spreadsheet}[choose(2)]
		value := body
		if format == transfer.Spreadsheet {
			value = transfer.Neutral(body)
		}
		quoted := func(fields ...string) string {
			for i, field := range fields {
				fields[i] = `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
			}
			return strings.Join(fields, separator) + end
		}
		const author = "user_01jvsz5r0xe3k8m1p4s6t9w2yb"
		text := start + quoted("x"+foreign, "authorId", "title", "body") + quoted(foreign, author, "t", value)
		encoded := []func(string) string{func(text string) string { return text }, littleEndian, bigEndian, padded}[choose(4)](text)
		file, err := transfer.NewReader(strings.NewReader(encoded), format, 1<<20)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		row, err := file.Read()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := "posts author=" + author + " title=t"
		if body != "" {
			want += " body=" + body
		}
		if got := row.Texts(); got != want || len(row.Faults) > 0 {
			t.Fatalf("%q: got %q, %v, want %q", text, got, row.Faults, want)
		}
		if row, err := file.Read(); !errors.Is(err, io.EOF) {
			t.Fatalf("%q: got another row: %v, %v, want the end", text, row, err)
		}
	})
}

// littleEndian is a text in UTF-16, with the mark that the text may lack.
func littleEndian(text string) string { return inUTF16(text, binary.LittleEndian) }

func bigEndian(text string) string { return inUTF16(text, binary.BigEndian) }

func inUTF16(text string, order binary.AppendByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

// padded is a text in two streams of gzip, each of which zero bytes follow.
func padded(text string) string {
	var b bytes.Buffer
	for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
		z := gzip.NewWriter(&b)
		_, err := io.WriteString(z, part)
		if err = errors.Join(err, z.Close()); err != nil {
			panic(err)
		}
		b.Write(make([]byte, 1+len(part)))
	}
	return b.String()
}

// FuzzSpreadsheet checks that every text comes back, and that a spreadsheet executes none.
func FuzzSpreadsheet(f *testing.F) {
	for _, text := range []string{"", "'", "=1", "'=1", "''=1", "'a", " =1", "\t", "\rx", "＝1", "-", "@x", "'\t", "' @"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cell := transfer.Neutral(text)
		if strings.IndexAny(strings.TrimLeft(cell, " "), "=+-@＝＋－＠") == 0 || strings.IndexAny(cell, "\t\r\n") == 0 {
			t.Fatalf("%q: got the cell %q, want one that is not executed", text, cell)
		}
		if got := transfer.Plain(cell); got != text {
			t.Fatalf("%q: got %q from the cell %q, want the text", text, got, cell)
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
		for _, format := range []transfer.Format{"", transfer.CSV, transfer.JSONLines, transfer.Spreadsheet} {
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
				if row.Line < last || row.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+1 && !strings.HasPrefix(text, "\x1f\x8b") {
					t.Fatalf("%q: got line %d after line %d, want rising lines", text, row.Line, last)
				}
				last = row.Line
				if len(row.Faults) == 0 && !strings.Contains(row.Texts(), "=") {
					t.Fatalf("%q: line %d: got neither values nor faults, want one of them", text, row.Line)
				}
			}
		}
	})
}
