package transfer

import "strings"

// A spreadsheet executes a cell that begins like a formula. In the format Spreadsheet an apostrophe stands before such a
// text, and before a text that begins with apostrophes and then like a formula. So every text can be told from the one
// that it is written as. See https://owasp.org/www-community/attacks/CSV_Injection.

// neutral returns a text as a spreadsheet may have it.
func neutral(text string) string {
	if executed(text) {
		return "'" + text
	}
	return text
}

// plain returns the text that neutral had.
func plain(text string) string {
	if strings.HasPrefix(text, "'") && executed(text) {
		return text[1:]
	}
	return text
}

// executed reports whether a text, behind its apostrophes, begins like a formula, or with a control character that a
// spreadsheet may drop. Some drop blanks, too, and some take full-width characters for the usual ones.
func executed(text string) bool {
	text = strings.TrimLeft(text, "'")
	if strings.IndexAny(text, "\t\r\n") == 0 {
		return true
	}
	return strings.IndexAny(strings.TrimLeft(text, " \u00a0\u3000"+mark), "=+-@＝＋－＠") == 0
}
