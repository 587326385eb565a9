package tracing

import "regexp"

// The verb of a statement, and the first table after it.
var (
	verb  = regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|COPY|[A-Z]*SAVEPOINT)\b`)
	table = regexp.MustCompile("\\b(?:FROM|INTO|UPDATE|COPY) [\"`]?([a-z_]+)[\"`]?(?:[^(a-z_]|$)")
)

// summaryOf returns the verb and the table of a statement, such as "SELECT users". There are few different ones, so that they
// can be the names of spans.
func summaryOf(text string) string {
	summary := verb.FindString(text)
	if summary == "" {
		return "statement"
	}
	if found := table.FindStringSubmatch(text); found != nil {
		summary += " " + found[1]
	}
	return summary
}
