package transfer

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A rowWriter writes the values of a row, in the order of the columns.
type rowWriter func(values []string)

// newWriter writes the start of a file, and returns a writer of its rows.
func newWriter(f Format, w *bytes.Buffer, columns []column) rowWriter {
	if f == JSONLines {
		return jsonWriter(w, columns)
	}
	write := csvWriter(w, f == Spreadsheet)
	if f == Spreadsheet {
		w.WriteString(mark)
	}
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].field
	}
	write(names)
	return write
}

// csvWriter writes RFC 4180, but ends lines with LF.
func csvWriter(w *bytes.Buffer, spreadsheet bool) rowWriter {
	return func(values []string) {
		for i, v := range values {
			if i > 0 {
				w.WriteByte(',')
			}
			if spreadsheet {
				v = neutral(v)
			}
			if strings.ContainsAny(v, ",;\t\"\r\n") {
				v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
			}
			w.WriteString(v)
		}
		w.WriteByte('\n')
	}
}

// jsonWriter writes an object on each line.
func jsonWriter(w *bytes.Buffer, columns []column) rowWriter {
	texts := json.NewEncoder(w)
	texts.SetEscapeHTML(false)
	text := func(v string) {
		_ = texts.Encode(v) // neither a string nor a buffer can fail
		w.Truncate(w.Len() - len("\n"))
	}
	return func(values []string) {
		before := `{"`
		for i, v := range values {
			switch field := columns[i].field; field {
			case issuerColumn:
				if v == "" { // null would remove the identity that a user got after the export
					continue
				}
				w.WriteString(before + identityField + `":{"` + issuerMember + `":`)
				text(v)
				w.WriteString(`,"` + subjectMember + `":`)
				text(values[i+1])
				w.WriteString("}")
			case subjectColumn: // with the issuer
			case versionField:
				w.WriteString(before + field + `":` + v)
			default:
				w.WriteString(before + field + `":`)
				text(v)
			}
			before = `,"`
		}
		w.WriteString("}\n")
	}
}
