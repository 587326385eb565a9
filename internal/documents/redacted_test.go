package documents_test

import (
	"testing"

	"roster/internal/documents"
)

func TestRedacted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{ users { nodes { id } } }`: `{ users { nodes { id } } }`,
		"# secret é\nquery Q($a: Int = 5, $b: [ID!]) @x(y: true) {\n  a: users(first: 12, where: {username: {eq: \"ada é\"}}) { ...F # secret\n  }\n}": `query Q($a: Int = ? $b: [ID!]) @x(y: true) { a: users(first: ? where: {username: {eq: ?}}) { ...F } }`,
		"{a(b:\"\"\"secret\n\"\"\",c:-1.5e3,d:\"\\\"secret\",e:\"\")}":                                                                                 `{a(b:? c:? d:? e:?)}`,
		"mutation{a(b:[1,2],c:null,d:DESC)}\nfragment F on User{id}":                                                                                   `mutation{a(b:[? ?] c:null d:DESC)} fragment F on User{id}`,
	} {
		if got := (&documents.Document{Text: text}).Redacted(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", text, got, want)
		}
	}
}
