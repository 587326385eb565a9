package fuzzhttp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/graph/graphtest"
)

// requester makes the random requests of one exchange.
type requester struct {
	*graphtest.Operation
	seeds   []seedRequest
	ids     []string // of the rows
	streams bool
	tame    bool     // values are such that the server executes the operation, mostly
	field   string   // whose arguments are written
	callers *callers // may be nil
	caller  int      // whose token is sent, or -1
}

func newRequester(f *fuzz, random *rand.Rand) *requester {
	return &requester{Operation: graphtest.NewOperation(random, f.schema), seeds: f.seeds, ids: f.ids, streams: f.streams, callers: f.callers, caller: -1}
}

// member is a key of a JSON object, and the text of its value.
type member struct{ key, value string }

// members are the parameters of a GraphQL request, mostly of one that is right.
func (r *requester) members() []member {
	document, variables := r.document()
	if strings.HasPrefix(document, "{\"") { // a whole body
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(document), &object) == nil {
			document = ""
			if err := json.Unmarshal(object["query"], &document); err != nil {
				document = "{ __typename }"
			}
			variables = string(object["variables"])
		}
	}
	if r.Chance(8) {
		document = string(r.mutate([]byte(document)))
	}
	query := r.text(document)
	if r.Chance(60) {
		query = strings.Replace(query, " ", graphtest.Pick(r.Random, `\ud800`, `\udc00x`, `\ud83d\ude00`, `\u0000`, `\u000a`), 1)
	}
	list := []member{{"query", query}}
	if variables != "" {
		list = append(list, member{"variables", variables})
	}
	if r.Chance(10) {
		list = append(list, member{"operationName", graphtest.Pick(r.Random, `"Random"`, `"Wild"`, `""`, `null`, `"nobody"`, `7`)})
	}
	if r.Chance(6) {
		list = r.extend(list, document)
	}
	if r.callers != nil && !slices.ContainsFunc(list, func(m member) bool { return m.key == "extensions" }) {
		list = append(list, member{"extensions", `{"cost":true}`})
	}
	if r.Chance(25) {
		list = r.disarrange(list)
	}
	return list
}

// extend adds extensions, or names the document instead of having it.
func (r *requester) extend(list []member, document string) []member {
	sum := sha256.Sum256([]byte(document))
	hash := hex.EncodeToString(sum[:])
	if r.Chance(5) {
		hash = graphtest.Pick(r.Random, "", "0", strings.ToUpper(hash), "sha256:"+hash, "sha1:x", strings.Repeat("f", 64), hash[1:])
	}
	persisted := `{"persistedQuery":{"version":` + graphtest.Pick(r.Random, "1", "1", "1", "1.0", "2", `"1"`) + `,"sha256Hash":` + r.text(hash) + `}}`
	switch r.Random.IntN(4) {
	case 0:
		list = append(list, member{"extensions", persisted})
		if r.Chance(2) {
			list = list[1:]
		}
	case 1:
		list = append(list, member{"documentId", r.text(hash)})
		if r.Chance(2) {
			list = list[1:]
		}
	case 2:
		list = append(list, member{"extensions", `{"cost":true}`})
	default:
		list = append(list, member{"extensions", graphtest.Pick(r.Random, r.noise(0), `{"x":`+r.noise(0)+`}`)})
	}
	return list
}

// disarrange makes members that a strict reader refuses, or passes over.
func (r *requester) disarrange(list []member) []member {
	at := r.Random.IntN(len(list))
	switch r.Random.IntN(5) {
	case 0:
		return append(list, list[at])
	case 1:
		return append(list, member{strings.ToUpper(list[at].key), list[at].value})
	case 2:
		list[at].value = r.noise(0)
	case 3:
		list = append(list, member{graphtest.Pick(r.Random, "other", "", "é", "__proto__"), r.noise(0)})
	default:
		list = append(list[:at], list[at+1:]...)
	}
	return list
}

// noise is any JSON.
func (r *requester) noise(depth int) string {
	switch n := r.Random.IntN(10); {
	case n < 5 || depth > 4:
		return graphtest.Pick(r.Random, "null", "true", "0", "-0", "1e999", "9223372036854775808", `""`, `"x"`, "[]", "{}", "1.5", `"\ud800"`, "nul", "01", "'x'")
	case n < 7:
		return "[" + r.noise(depth+1) + "," + r.noise(depth+1) + "]"
	case n < 9:
		return `{"a":` + r.noise(depth+1) + `,` + graphtest.Pick(r.Random, `"b":`, `"a":`, `"__proto__":`, `b:`) + r.noise(depth+1) + "}"
	default:
		n := 1 + r.Random.IntN(500)
		return strings.Repeat("[", n) + strings.Repeat("]", n)
	}
}

// body is members as JSON, mostly.
func (r *requester) body(list []member) []byte {
	var b bytes.Buffer
	b.WriteString("{")
	for i, m := range list {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(r.text(m.key) + ":" + m.value)
	}
	b.WriteString("}")
	switch body := b.Bytes(); r.Random.IntN(100) {
	case 0:
		return append([]byte("\ufeff"), body...)
	case 1:
		return append(body, graphtest.Pick(r.Random, " {}", "\x00", ",", "x", "\n\n")...)
	case 2:
		return []byte("[" + string(body) + "]")
	case 3:
		return append(body, bytes.Repeat([]byte(" "), graphtest.Pick(r.Random, 100, 1<<20, 4<<20))...)
	case 4:
		return []byte{}
	case 5, 6, 7, 8, 9:
		return r.mutate(body)
	default:
		return body
	}
}

// queryString is members as parameters of a URL, mostly.
func (r *requester) queryString(list []member) string {
	var parts []string
	for _, m := range list {
		value := m.value
		if m.key != "variables" && m.key != "extensions" {
			_ = json.Unmarshal([]byte(m.value), &value) // or as it is
		}
		parts = append(parts, url.QueryEscape(m.key)+"="+url.QueryEscape(value))
	}
	text := strings.Join(parts, "&")
	switch r.Random.IntN(20) {
	case 0:
		text += graphtest.Pick(r.Random, "&%zz", "&query=%ff", ";a=b", "&&&=", "&variables=%7b", "&operationName=a&operationName=b")
	case 1:
		text = strings.ReplaceAll(string(printable(r.mutate([]byte(text)))), " ", "+")
	}
	return text[:min(len(text), 60_000)] // longer, net/http answers
}

// document is one of those that tests send, or a random one, and its variables in JSON, if it has any.
func (r *requester) document() (document, variables string) {
	switch n := r.Random.IntN(10); {
	case !r.streams && n < 3:
		s := graphtest.Pick(r.Random, r.seeds...)
		if s.body != "" {
			return r.filled(s.body), ""
		}
		return r.filled(s.document), r.filled(s.variables)
	default:
		r.tame = !r.streams && n < 6
		document = r.wild()
	}
	if len(r.Sent) == 0 {
		return document, ""
	}
	text, err := json.Marshal(r.Sent)
	if err != nil {
		panic(err) // of values that were JSON
	}
	return document, string(text)
}

// filled is a text of testdata with some IDs, and what is repeated there.
func (r *requester) filled(text string) string {
	text = graphtest.Placeholder().ReplaceAllStringFunc(text, func(string) string { return r.anyID() })
	repetition := graphtest.Repetition()
	return repetition.ReplaceAllStringFunc(text, func(found string) string {
		parts := repetition.FindStringSubmatch(found)
		return strings.Repeat(parts[1], min(len(parts[2])*100, 20_000))
	})
}

// anyID is an ID, mostly of a row.
func (r *requester) anyID() string {
	if r.tame {
		of := slices.DeleteFunc(slices.Clone(r.ids), func(id string) bool {
			return !strings.HasPrefix(id, strings.TrimSuffix(r.field, "s")+"_")
		})
		if len(of) == 0 {
			of = r.ids
		}
		return graphtest.Pick(r.Random, of...)
	}
	if len(r.ids) == 0 || r.Chance(10) {
		return graphtest.Pick(r.Random, "", "x", "user_", "user_00000000000000000000000000", "post_zzzzzzzzzzzzzzzzzzzzzzzzzz", "USER_01jvsz5r0xe3k8m1p4s6t9w2yb")
	}
	return graphtest.Pick(r.Random, r.ids...)
}

// wild writes an operation that fits the schema. Its values have the right types, mostly; when tame, they also name what
// exists. Its variables are r.Sent.
func (r *requester) wild() string {
	r.Operation = graphtest.NewOperation(r.Random, r.Schema)
	r.Nulls = !r.tame
	roots := []*ast.Definition{r.Schema.Query}
	for _, root := range []*ast.Definition{r.Schema.Mutation, r.Schema.Subscription} {
		if root != nil && !r.tame {
			roots = append(roots, root, root)
		}
	}
	root := graphtest.Pick(r.Random, roots...)
	set := ""
	if root == r.Schema.Subscription {
		set = "{ " + r.wildField(graphtest.Pick(r.Random, r.served(root)...), 4) + " }"
	} else {
		set = r.wildSet(root, 4)
	}
	head := strings.ToLower(root.Name) + " Wild"
	if r.tame {
		head = strings.ToLower(root.Name) + " Random"
	}
	if len(r.Definitions) > 0 {
		head += "(" + strings.Join(r.Definitions, ", ") + ")"
	}
	return head + " " + set
}

// served are the fields of a type that are to be asked for: those of streamtest's schema that panic are for other tests,
// and it knows no introspection. Random introspection is seldom allowed.
func (r *requester) served(def *ast.Definition) (fields []*ast.FieldDefinition) {
	for _, f := range def.Fields {
		if !r.streams && !r.tame || f.Name != "panics" && !strings.HasPrefix(f.Name, "__") {
			fields = append(fields, f)
		}
	}
	return fields
}

func (r *requester) wildSet(def *ast.Definition, depth int) string {
	if def.Kind != ast.Object {
		types := r.Schema.GetPossibleTypes(def)
		return "{ __typename ... on " + graphtest.Pick(r.Random, types...).Name + " { __typename } }"
	}
	parts := []string{"__typename"}
	for _, f := range r.served(def) {
		if to := r.Schema.Types[f.Type.Name()]; (depth > 0 || !to.IsCompositeType()) && r.Chance(1+len(def.Fields)/3) {
			parts = append(parts, r.wildField(f, depth-1))
		}
	}
	return "{ " + strings.Join(parts, " ") + " }"
}

func (r *requester) wildField(f *ast.FieldDefinition, depth int) string {
	var args []string
	r.field = f.Name
	for _, arg := range f.Arguments {
		if arg.Type.NonNull && arg.DefaultValue == nil || r.Chance(3) && (!r.tame || !cursorOrLast(arg.Name)) {
			args = append(args, arg.Name+": "+r.Value(arg.Type, r.wildValue(arg.Name, arg.Type, 4)))
		}
	}
	text := r.Name("w") + ": " + f.Name
	if len(args) > 0 {
		text += "(" + strings.Join(args, ", ") + ")"
	}
	if !r.streams {
		text += r.Directives()
	}
	if to := r.Schema.Types[f.Type.Name()]; to.IsCompositeType() {
		text += " " + r.wildSet(to, depth)
	}
	return text
}

// wildValue is a value of a type, mostly.
func (r *requester) wildValue(name string, t *ast.Type, depth int) any {
	if !r.tame && r.Chance(40) {
		return nil
	}
	if !r.tame && r.Chance(60) {
		return graphtest.Pick[any](r.Random, "x", 7, true, 1.5)
	}
	if t.Elem != nil {
		list := []any{}
		for range r.Random.IntN(4) {
			list = append(list, r.wildValue(name, t.Elem, depth-1))
		}
		return list
	}
	def := r.Schema.Types[t.Name()]
	switch {
	case def.Kind == ast.Enum && !r.tame && r.Chance(20):
		return graphtest.Enum("NOTHING")
	case def.Kind == ast.Enum:
		return graphtest.Enum(graphtest.Pick(r.Random, def.EnumValues...).Name)
	case def.Kind == ast.InputObject:
		return r.wildObject(def, depth)
	}
	switch t.Name() {
	case "Int":
		return r.number(name)
	case "Boolean":
		return r.Chance(2)
	case "ID":
		return r.anyID()
	case "DateTime":
		if r.tame {
			if name == "to" { // after from
				return "2026-02-28T00:00:00Z"
			}
			return "2026-01-31T09:30:00.123456+02:00"
		}
		return graphtest.Pick[any](r.Random, "2026-01-31T09:30:00Z", "2026-01-31T09:30:00.123456+02:00", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "now", "",
			json.Number("99999999999999999999"), json.Number("1e999"))
	}
	return r.word()
}

func (r *requester) wildObject(def *ast.Definition, depth int) map[string]any {
	object := map[string]any{}
	if def.Directives.ForName("oneOf") != nil && !r.Chance(10) {
		f := graphtest.Pick(r.Random, def.Fields...)
		of := *f.Type
		of.NonNull = true
		object[f.Name] = r.wildValue(f.Name, &of, depth-1)
		return object
	}
	for _, f := range def.Fields {
		required := f.Type.NonNull && f.DefaultValue == nil
		if required || depth > 0 && r.Chance(3) {
			object[f.Name] = r.wildValue(f.Name, f.Type, depth-1)
		}
	}
	return object
}

// cursorOrLast reports whether an argument seldom has a right value: a cursor, or last, beside which first is wrong.
func cursorOrLast(argument string) bool {
	return argument == "after" || argument == "before" || argument == "last"
}

// number is an Int. On streamtest's schema it says how long something takes, or how large it is.
func (r *requester) number(name string) int {
	switch {
	case r.tame:
		return graphtest.Pick(r.Random, 1, 2, 3, 10)
	case !r.streams:
		return graphtest.Pick(r.Random, 0, 1, 2, 3, 10, 100, 101, -1, 1000, math.MaxInt32, math.MinInt32)
	case name == "size":
		return graphtest.Pick(r.Random, -1, 0, 10, 5000, 100_000, math.MaxInt32)
	}
	return graphtest.Pick(r.Random, -1, 0, 1, 2, 3, 20)
}

// word is a text of any kind.
func (r *requester) word() string {
	if r.tame || r.Chance(2) {
		return r.plausible()
	}
	return graphtest.Pick(r.Random, "", " ", "a", "admin", "\x00", "é", "e\u0301", "ﬃ", "İ", "\u202e", "😀", "%", "_", `\`, "'", `"`, "\ufeff", "\u2028", "null",
		strings.Repeat("x", 200), strings.Repeat("é", 201), strings.Repeat("a", 5000), "$1", "?", "--", "user@example.com", "USER@EXAMPLE.COM")
}

// plausible is a text that fields accept, with letters that fold: now and then an address.
func (r *requester) plausible() string {
	var b strings.Builder
	for range 2 + r.Random.IntN(4) {
		b.WriteString(graphtest.Pick(r.Random, "a", "A", "b", "Ä", "a\u0308", "ß", "SS", "é", "σ", "ς", "ａ", "1", "_", "-", "ж", "Ж", "名", "ı"))
	}
	if r.Chance(3) {
		b.WriteString(graphtest.Pick(r.Random, "@example.com", "@Example.COM", "@bücher.example"))
	}
	return b.String()
}

// text is a text as JSON. Bytes that are no UTF-8 stay.
func (*requester) text(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// mutate changes some bytes.
func (r *requester) mutate(text []byte) []byte {
	text = bytes.Clone(text)
	for more := true; more; more = !r.Chance(3) {
		from := r.Random.IntN(len(text) + 1)
		to := min(len(text), from+r.Random.IntN(20))
		switch r.Random.IntN(6) {
		case 0:
			text = append(text[:from:from], text[to:]...)
		case 1:
			text = append(text[:to:to], text[from:]...) // doubled
		case 2:
			if from < len(text) {
				text[from] ^= 1 << r.Random.IntN(8)
			}
		case 3:
			text = append(text[:from:from], append([]byte{byte(r.Random.IntN(256))}, text[from:]...)...)
		case 4:
			text = text[:from]
		default:
			text = append(text[:from:from], append([]byte(r.token()), text[to:]...)...)
		}
	}
	return text
}

// token is what matters to some reader.
func (r *requester) token() string {
	return graphtest.Pick(r.Random, "{", "}", "(", ")", "[", "]", `"`, `"""`, `\`, `\u0000`, `\ud800`, "$", "$v1", "...", "... on User", "@skip(if: true)", "@defer",
		"@include(if: $v1)", "#", ",", ":", "=", "!", "|", "&", "\x00", "\xff", "\xc3", "\ufeff", "\r\n", "\n", "null", "true", "-1", "1e400", "0x7f",
		"99999999999999999999", "__typename", "__schema{types{name}}", "__proto__", "query", "mutation", "subscription", "fragment F on User", "F",
		"first: 2147483648", "after: \"x\"", "{a:", "users", "nodes", "id", "\"extensions\":", "\"id\":", "\"payload\":", strings.Repeat("{a", 300), strings.Repeat("x", 10_000))
}

// printable is a text without what cannot be in a header.
func printable(text []byte) []byte {
	return bytes.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return -1
		}
		return c
	}, text)
}
