package transfer

import "strings"

// A spreadsheet executes a cell that begins like a formula. The format Spreadsheet adds an apostrophe before such a
// text, and before a text that has apostrophes and then begins like a formula. So a reader can restore every text. See
// https://owasp.org/www-community/attacks/CSV_Injection.

// neutral returns a form of a text that a spreadsheet does not execute.
func neutral(text string) string {
	if executed(text) {
		return "'" + text
	}
	return text
}

// plain returns the text from the form of neutral.
func plain(text string) string {
	if strings.HasPrefix(text, "'") && executed(text) {
		return text[1:]
	}
	return text
}

// executed reports whether a text, after any apostrophes, begins like a formula, or with a control character that a
// spreadsheet may drop. Some spreadsheets also drop blanks, and some treat full-width characters like the usual ones.
func executed(text string) bool {
	text = strings.TrimLeft(text, "'")
	if strings.IndexAny(text, "\t\r\n") == 0 {
		return true
	}
	return strings.IndexAny(strings.TrimLeft(text, " \u00a0\u3000"+mark), "=+-@＝＋－＠") == 0
}
