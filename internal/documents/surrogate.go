package documents

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

// wholeCharacters refuses half a surrogate pair that a string of the document escapes. gqlparser reads it as U+FFFD, and
// nobody would notice that the text is another one.
func wholeCharacters(document string) *gqlerror.Error {
	at := halfSurrogate(document)
	if at < 0 {
		return nil
	}
	before := document[:at]
	err := refuse(ParseFailed, "Half a surrogate pair is no character.")
	err.Locations = []gqlerror.Location{{
		Line:   strings.Count(before, "\n") + 1,
		Column: utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1,
	}}
	return err
}

var (
	// quotations are the comments, the block strings and, as a group, the strings of a document.
	quotations = regexp.MustCompile(`#[^\r\n]*|"""(?s:(?:\\"""|.)*?)"""|("(?:[^"\\\r\n]|\\.)*")`)
	// escapes are those of a string, with half a pair as a group.
	escapes = regexp.MustCompile(`\\(?:u[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2}|(u[dD][89a-fA-F][[:xdigit:]]{2})|.)`)
)

// halfSurrogate is where a string of a document escapes half a surrogate pair; -1 when none does.
func halfSurrogate(document string) int {
	if !strings.Contains(document, `\u`) {
		return -1
	}
	for _, q := range quotations.FindAllStringSubmatchIndex(document, -1) {
		if q[2] < 0 {
			continue
		}
		for _, e := range escapes.FindAllStringSubmatchIndex(document[q[2]:q[3]], -1) {
			if e[2] >= 0 {
				return q[2] + e[0]
			}
		}
	}
	return -1
}
