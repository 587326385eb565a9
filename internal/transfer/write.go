package transfer

import (
	"bufio"
	"encoding/json"
	"strings"
)

// A rowWriter writes rows in a format. Its errors show at the end of a page.
type rowWriter interface {
	start()
	row(values []string)
	err() error
}

var (
	_ rowWriter = (*csvWriter)(nil)
	_ rowWriter = (*jsonWriter)(nil)
)

func newWriter(f Format, w *bufio.Writer, columns []column) rowWriter {
	if f == JSONLines {
		return newJSONWriter(w, columns)
	}
	return &csvWriter{w: w, columns: columns}
}

// sticky keeps the first error of a writer, which bufio.Writer returns again and again.
type sticky struct{ failed error }

func (s *sticky) note(_ int, err error) {
	if s.failed == nil {
		s.failed = err
	}
}

func (s *sticky) err() error { return s.failed }

// csvWriter writes RFC 4180, but that lines end as they do on Unix.
type csvWriter struct {
	sticky
	w       *bufio.Writer
	columns []column
}

func (c *csvWriter) start() {
	names := make([]string, len(c.columns))
	for i := range c.columns {
		names[i] = c.columns[i].field
	}
	c.row(names)
}

func (c *csvWriter) row(values []string) {
	for i, v := range values {
		if i > 0 {
			c.note(c.w.WriteString(","))
		}
		if strings.ContainsAny(v, ",;\t\"\r\n") {
			v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		}
		c.note(c.w.WriteString(v))
	}
	c.note(c.w.WriteString("\n"))
}

// jsonWriter writes an object on each line.
type jsonWriter struct {
	sticky
	w       *bufio.Writer
	texts   *json.Encoder
	text    strings.Builder
	columns []column
}

func newJSONWriter(w *bufio.Writer, columns []column) *jsonWriter {
	j := &jsonWriter{w: w, columns: columns}
	j.texts = json.NewEncoder(&j.text)
	j.texts.SetEscapeHTML(false)
	return j
}

func (*jsonWriter) start() {}

func (j *jsonWriter) row(values []string) {
	before := `{"`
	for i, v := range values {
		field := j.columns[i].field
		j.note(j.w.WriteString(before + field + `":`))
		before = `,"`
		if field != versionField {
			j.text.Reset()
			j.note(0, j.texts.Encode(v))
			v = strings.TrimSuffix(j.text.String(), "\n")
		}
		j.note(j.w.WriteString(v))
	}
	j.note(j.w.WriteString("}\n"))
}
