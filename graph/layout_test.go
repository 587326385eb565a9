package graph_test

import (
	"bytes"
	"strings"
	"testing"
)

// layout lays JSON without white space out for people: what fits into a line is one.
func layout(text []byte) string {
	const width = 120
	var b bytes.Buffer
	var write func(text string, indent, room int)
	write = func(text string, indent, room int) {
		line := spaced(text)
		if len(line) <= room || len(text) < 2 || text[0] != '{' && text[0] != '[' || text[1] == '}' || text[1] == ']' {
			b.WriteString(line)
			return
		}
		b.WriteByte(text[0])
		elements := elements(text[1 : len(text)-1])
		for i, element := range elements {
			b.WriteString("\n" + strings.Repeat(" ", indent+2))
			key := 0
			if text[0] == '{' {
				key = stringEnd(element) + len(":")
				b.WriteString(element[:key] + " ")
			}
			comma := min(len(elements)-1-i, 1)
			write(element[key:], indent+2, width-indent-2-min(key, 1)-key-comma)
			b.WriteString(",,"[:comma])
		}
		b.WriteString("\n" + strings.Repeat(" ", indent))
		b.WriteByte(text[len(text)-1])
	}
	write(string(text), 0, width)
	b.WriteByte('\n')
	return b.String()
}

// elements splits what stands between the brackets of an array or an object.
func elements(text string) (list []string) {
	depth, start := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringEnd(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				list = append(list, text[start:i])
				start = i + 1
			}
		}
	}
	return append(list, text[start:])
}

// spaced puts a space behind each colon and comma.
func spaced(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			end := i + stringEnd(text[i:])
			b.WriteString(text[i:end])
			i = end - 1
		case ':', ',':
			b.WriteByte(c)
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// stringEnd is the length of the string at the start of a text.
func stringEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func TestLayout(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", 100) + `"`
	for text, want := range map[string]string{
		`{"a":1,"b":[true,null,"x,y: {\"}\\"]}`:       `{"a": 1, "b": [true, null, "x,y: {\"}\\"]}` + "\n",
		`{"a":[` + long + `,{}],"b":[],"c,":{"d":2}}`: "{\n" + `  "a": [` + long + `, {}],` + "\n" + `  "b": [],` + "\n" + `  "c,": {"d": 2}` + "\n}\n",
		`[` + long + `,` + long + `]`:                 "[\n  " + long + ",\n  " + long + "\n]\n",
	} {
		if got := layout([]byte(text)); got != want {
			t.Errorf("%s became\n%swant\n%s", text, got, want)
		}
	}
}
