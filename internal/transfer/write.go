package transfer

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A rowWriter writes rows in a format.
type rowWriter interface {
	start()
	row(values []string)
}

var (
	_ rowWriter = (*csvWriter)(nil)
	_ rowWriter = (*jsonWriter)(nil)
)

func newWriter(f Format, w *bytes.Buffer, columns []column) rowWriter {
	if f == JSONLines {
		return newJSONWriter(w, columns)
	}
	return &csvWriter{w: w, columns: columns, spreadsheet: f == Spreadsheet}
}

// csvWriter writes RFC 4180, but ends lines with LF.
type csvWriter struct {
	w           *bytes.Buffer
	columns     []column
	spreadsheet bool
}

func (c *csvWriter) start() {
	if c.spreadsheet {
		c.w.WriteString(mark)
	}
	names := make([]string, len(c.columns))
	for i := range c.columns {
		names[i] = c.columns[i].field
	}
	c.row(names)
}

func (c *csvWriter) row(values []string) {
	for i, v := range values {
		if i > 0 {
			c.w.WriteByte(',')
		}
		if c.spreadsheet {
			v = neutral(v)
		}
		if !strings.ContainsAny(v, ",;\t\"\r\n") {
			c.w.WriteString(v)
			continue
		}
		c.w.WriteByte('"')
		for part := range strings.SplitAfterSeq(v, `"`) {
			c.w.WriteString(part)
			if strings.HasSuffix(part, `"`) {
				c.w.WriteByte('"')
			}
		}
		c.w.WriteByte('"')
	}
	c.w.WriteByte('\n')
}

// jsonWriter writes an object on each line.
type jsonWriter struct {
	w       *bytes.Buffer
	texts   *json.Encoder
	columns []column
}

func newJSONWriter(w *bytes.Buffer, columns []column) *jsonWriter {
	j := &jsonWriter{w: w, texts: json.NewEncoder(w), columns: columns}
	j.texts.SetEscapeHTML(false)
	return j
}

func (*jsonWriter) start() {}

func (j *jsonWriter) row(values []string) {
	before := `{"`
	for i, v := range values {
		field := j.columns[i].field
		j.w.WriteString(before + field + `":`)
		before = `,"`
		if field == versionField {
			j.w.WriteString(v)
			continue
		}
		_ = j.texts.Encode(v) // neither a string nor a buffer can fail
		j.w.Truncate(j.w.Len() - len("\n"))
	}
	j.w.WriteString("}\n")
}
