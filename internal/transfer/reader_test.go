package transfer_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"roster/ent/rules"
	"roster/internal/transfer"
)

const limit = 1000 // bytes of a row

// read reads a file, and says for each row where it stands, what it has, and what is wrong with it.
func read(t *testing.T, r io.Reader, format transfer.Format) (rows, unknown []string, err error) {
	t.Helper()
	file, err := transfer.NewReader(r, format, limit)
	if err != nil {
		return nil, nil, err
	}
	return readAll(t, file)
}

func readAll(t *testing.T, file *transfer.Reader) (rows, unknown []string, err error) {
	t.Helper()
	for {
		row, err := file.Read()
		if errors.Is(err, io.EOF) {
			return rows, file.Unknown(), nil
		}
		if err != nil {
			return rows, nil, err
		}
		text := fmt.Sprintf("%d %s", row.Line, row.Texts())
		for _, f := range row.Faults {
			if f.Line != row.Line {
				t.Errorf("got a fault of line %d, want line %d", f.Line, row.Line)
			}
			text += fmt.Sprintf(" %s(%s)", f.Field, f.Code)
		}
		rows = append(rows, text)
	}
}

func TestReadUsers(t *testing.T) {
	t.Parallel()
	const ada, grace = "users username=Ada email=ada@example.com", "users username=grace email=grace@example.com"
	for name, text := range map[string]string{
		"plain":               "username,email\nAda,ada@example.com\ngrace,grace@example.com\n",
		"no end of line":      "username,email\nAda,ada@example.com\ngrace,grace@example.com",
		"CRLF":                "username,email\r\nAda,ada@example.com\r\ngrace,grace@example.com\r\n",
		"mark and CRLF":       "\ufeffusername,email\r\nAda,ada@example.com\r\ngrace,grace@example.com\r",
		"semicolons":          "\ufeffusername;email\r\nAda;ada@example.com\r\ngrace;grace@example.com\r\n",
		"tabs":                "username\temail\nAda\tada@example.com\ngrace\tgrace@example.com\n",
		"quotes":              "\"username\",\"email\"\n\"Ada\",ada@example.com\n\"grace\",\"grace@example.com\"\n",
		"any order":           "Email,User_Name\nada@example.com,Ada\ngrace@example.com,grace\n",
		"names as people do":  "USERNAME, E-Mail \nAda,ada@example.com\ngrace,grace@example.com\n",
		"CR alone":            "username,email\rAda,ada@example.com\rgrace,grace@example.com\r",
		"CR CR LF":            "username,email\r\r\nAda,ada@example.com\r\r\ngrace,grace@example.com\r\r\n",
		"two marks":           "\ufeff\ufeff\"username\",email\nAda,ada@example.com\ngrace,grace@example.com\n",
		"fields dropped":      "username,email,id,version,,\nAda,ada@example.com\ngrace,grace@example.com,\n",
		"fields added":        "username,email\nAda,ada@example.com,,\ngrace,grace@example.com, , \n",
		"blanks":              "username,email,version\n Ada , ada@example.com\t, 2 \n\u00a0grace,grace@example.com\u00a0,\n",
		"spaces and quotes":   "\"username\", \"email\"\n\"Ada\" , \"ada@example.com\" \n  \"grace\",\"grace@example.com\"\n",
		"lines of blanks":     "username,email\nAda,ada@example.com\ngrace,grace@example.com\n  \n , \t\n\u00a0\n",
		"nothing":             "id,username,email,created_at,updated_at,version\nnull,Ada,ada@example.com,NULL,\\N, null \n,grace,grace@example.com,,,\n",
		"numbers":             "username;email;version\nAda;ada@example.com;2.0\ngrace;grace@example.com;1.50E+2\n",
		"UTF-16":              littleEndian("username\temail\r\nAda\tada@example.com\r\ngrace\tgrace@example.com\r\n"),
		"UTF-16, big-endian":  bigEndian("username,email\nAda,ada@example.com\ngrace,grace@example.com\n"),
		"an index":            ",username,email\n,Ada,ada@example.com\n,grace,grace@example.com\n",
		"trailing lines":      "username,email\nAda,ada@example.com\ngrace,grace@example.com\n,\n,\n",
		"JSON":                "{\"username\":\"Ada\",\"email\":\"ada@example.com\"}\n{\"email\":\"grace@example.com\",\"username\":\"grace\"}",
		"JSON, mark and CRLF": "\ufeff{\"username\":\"Ada\",\"email\":\"ada@example.com\"}\r\n {\"id\":null,\"email\":\"grace@example.com\",\"username\":\"grac\\u0065\"}\r\n\r\n",
		"JSON, CR alone":      "{\"username\":\"Ada\",\"email\":\"ada@example.com\"}\r{\"email\":\"grace@example.com\",\"username\":\"grace\"}\r",
		"JSON, sequence":      "\x1e{\"username\":\" Ada \",\"email\":\"ada@example.com\",\"version\":2.0}\n\x1e{\"email\":\"grace@example.com\",\"username\":\"grace\",\"version\":150e-1}\n",
		"no account":          "status,username,email,identity_issuer,Identity Subject\nnull,Ada,ada@example.com,,\nACTIVE ,grace,grace@example.com\n",
		"JSON, no account":    "{\"username\":\"Ada\",\"email\":\"ada@example.com\",\"status\":null,\"identity\":null}\n{\"email\":\"grace@example.com\",\"username\":\"grace\",\"status\":\"\"}\n",
		"JSON, nulls":         "{\"username\":\"Ada\",\"email\":\"ada@example.com\",\"id\":null,\"version\":null,\"authorId\":null,\"posts\":null,\"x\":null}\n{\"email\":\"grace@example.com\",\"username\":\"grace\",\"posts\":[null]}\nnull\n",
	} {
		want := []string{"2 " + ada, "3 " + grace}
		if strings.HasPrefix(name, "JSON") {
			want = []string{"1 " + ada, "2 " + grace}
		}
		for _, compressed := range []bool{false, true} {
			var in io.Reader = strings.NewReader(text)
			if compressed {
				in = strings.NewReader(zip(t, text).String() + strings.Repeat("\x00", 512))
			}
			rows, unknown, err := read(t, in, "")
			if err != nil || !slices.Equal(rows, want) || unknown != nil {
				t.Errorf("%s: %q, %q, %v", name, rows, unknown, err)
			}
		}
	}
}

func zip(t *testing.T, text string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestRead(t *testing.T) {
	t.Parallel()
	const user, post = "user_01jvsz5r0xe3k8m1p4s6t9w2yb", "post_01jvsz5r0xe3k8m1p4s6t9w2yb"
	for name, test := range map[string]struct {
		text    string
		rows    []string
		unknown []string
	}{
		"posts": {
			text: "id,authorId,title,body\n" + post + "," + user + ",Engines,\"two\r\nlines, and a \"\"quote\"\"\"\n,user_x,,\n,,x,y\n" + user + "," + post + ",x,y\n",
			rows: []string{
				"2 posts id=" + post + " author=" + user + " title=Engines body=two\r\nlines, and a \"quote\"",
				"4 posts authorId(INVALID) title(BLANK)", "5 posts title=x body=y authorId(INVALID)",
				"6 posts title=x body=y id(INVALID) authorId(INVALID)",
			},
		},
		"users with posts": {
			text: "username,email,title,body\nada,ada@example.com,Engines,one\nada,ada@example.com,Notes,\ngrace,grace@example.com,,\nada,ada@example.com,,text\nbob,bob,x,\n",
			rows: []string{
				"2 users username=ada email=ada@example.com", "2 posts of=ada title=Engines body=one", "3 posts of=ada title=Notes",
				"4 users username=grace email=grace@example.com",
				"5 users username=ada email=ada@example.com", "5 posts of=ada body=text title(BLANK)",
				"6 users username=bob email=bob email(INVALID)", "6 posts of=bob title=x",
			},
		},
		"extra columns": {
			text:    "phone,username,email,Department,body\n1,ada,ada@example.com,x,y\n",
			rows:    []string{"2 users username=ada email=ada@example.com"},
			unknown: []string{"phone", "Department", "body"},
		},
		"wrong quotes": {
			text: "username,email\na\"b,c@d\n\"ab\"c,d@e\nada,ada@example.com\n\"open,x@y\nmore\n",
			rows: []string{"2 users (INVALID)", "3 users (INVALID)", "4 users username=ada email=ada@example.com", "5 users (INVALID)"},
		},
		"numbers of fields": {
			text: "username,email\nada\nada,ada@example.com,x\n\nada,ada@example.com\n",
			rows: []string{"2 users (INVALID)", "3 users (INVALID)", "5 users username=ada email=ada@example.com"},
		},
		"invalid UTF-8": {
			text: "username,email\na\xffa,ada@example.com\nada,a\xe4@example.com\n",
			rows: []string{"2 users username=a\xffa email=ada@example.com username(INVALID)", "3 users username=ada email=a\xe4@example.com email(INVALID)"},
		},
		"long rows": {
			text: "username,email\n" + strings.Repeat("x", limit) + ",y\n\"" + strings.Repeat("x\n", limit) + "\"\n" + strings.Repeat(",", limit) + "\nada,ada@example.com\n",
			rows: []string{"2 users (TOO_LONG)", "3 users (TOO_LONG)", "1004 users (TOO_LONG)", "1005 users username=ada email=ada@example.com"},
		},
		"history": {
			text: "username,email,created_at,updated_at,version\na,a@b.c,2024-01-01T00:00:00+02:00,2024-01-01T00:00:00Z,7\n" +
				"a,a@b.c,yesterday,2024-01-01T00:00:00.0000001Z,0\na,a@b.c,2024-01-02T00:00:00Z,2024-01-01T00:00:00Z,2147483648\n" +
				"a,a@b.c,0999-01-01T00:00:00Z,9999-12-31T23:59:59-01:00,x\n",
			rows: []string{
				"2 users username=a email=a@b.c", "3 users username=a email=a@b.c createdAt(INVALID) updatedAt(INVALID) version(INVALID)",
				"4 users username=a email=a@b.c updatedAt(INVALID) version(INVALID)",
				"5 users username=a email=a@b.c createdAt(INVALID) updatedAt(INVALID) version(INVALID)",
			},
		},
		"accounts": {
			text: "username,email,status,identityIssuer,identitySubject\nada,a@b.c,SUSPENDED,https://id.example/, 1 \n" +
				"ada,a@b.c,active,null,\nada,a@b.c,ACTIVE,,\\N\n\"ada\",a@b.c,\\N,\"i\n\",'=\nada,a@b.c,," + strings.Repeat("é", 128) + ",\xff\n",
			rows: []string{
				"2 users username=ada email=a@b.c status=SUSPENDED identity=https://id.example/| 1 ",
				"3 users username=ada email=a@b.c status=active identity=null| status(INVALID) identity.subject(BLANK)",
				`4 users username=ada email=a@b.c identity=|\N identity.issuer(BLANK)`,
				"5 users username=ada email=a@b.c identity=i\n|'=",
				"7 users username=ada email=a@b.c identity=" + strings.Repeat("é", 128) + "|\xff identity.issuer(TOO_LONG) identity.subject(INVALID)",
			},
		},
		"accounts with posts": {
			text: "username,email,title,status,identityIssuer,identitySubject\nada,a@b.c,x,SUSPENDED,i,s\nada,a@b.c,y,,,\n",
			rows: []string{"2 users username=ada email=a@b.c status=SUSPENDED identity=i|s", "2 posts of=ada title=x", "3 posts of=ada title=y"},
		},
		"posts with a status": {
			text:    "authorId,title,Status,identityIssuer\n" + user + ",x,published,i\n",
			rows:    []string{"2 posts author=" + user + " title=x"},
			unknown: []string{"Status", "identityIssuer"},
		},
		"JSON of accounts": {
			text: `{"username": "ada", "email": "a@b.c", "status": " SUSPENDED ", "identity": {"subject": " \u0041", "x": 1, "issuer": "i"}}` + "\n" +
				`{"username": "ada", "email": "a@b.c", "status": 1, "identity": "x"}` + "\n" +
				`{"username": "ada", "email": "a@b.c", "status": "", "identity": {"issuer": 1, "subject": null}}` + "\n" +
				`{"username": "ada", "email": "a@b.c", "identity": {"issuer": "i", "issuer": "i", "subject": "s"}}` + "\n" +
				`{"username": "ada", "email": "a@b.c", "identity": {}, "posts": [{"title": "x", "identity": {}}]}` + "\n" +
				`{"authorId": "` + user + `", "title": "x", "identity": null, "status": "x"}` + "\n",
			rows: []string{
				"1 users username=ada email=a@b.c status=SUSPENDED identity=i| A",
				"2 users username=ada email=a@b.c status(INVALID) identity(INVALID)",
				"3 users username=ada email=a@b.c identity=?| identity.issuer(INVALID) identity.subject(BLANK)",
				"4 users username=ada email=a@b.c identity(INVALID)",
				"5 users username=ada email=a@b.c identity=| identity.issuer(BLANK) identity.subject(BLANK)", "5 posts of=ada title=x",
				"6 posts author=" + user + " title=x",
			},
			unknown: []string{"identity.x", "posts.identity", "status"},
		},
		"JSON of all kinds": {
			text: `{"username": "ada", "email": "ada@example.com", "phone": 1, "version": 2, "posts": [{"title": "Engines", "body": null, "x": 1}, {"title": ""}, 7]}` + "\n" +
				`{"id": "` + post + `", "authorId": "` + user + `", "title": "\ud83d\ude00", "body": "\\ud800"}` + "\n",
			rows: []string{
				"1 users username=ada email=ada@example.com", "1 posts of=ada title=Engines", "1 posts of=ada posts.1.title(BLANK)", "1 posts posts.2(INVALID)",
				"2 posts id=" + post + " author=" + user + ` title=😀 body=\ud800`,
			},
			unknown: []string{"phone", "posts.x"},
		},
		"JSON that is wrong": {
			text: "{\"username\": \"a\", \"username\": \"b\"}\n{\"username\": \"a\xff\"}\n{\"username\": \"\\ud800x\"}\n{\"username\": 1, \"email\": [\"x\"], \"version\": \"1\"}\n" +
				"{}\n[]\n{\"a\": 1}}\n{\"a\": 1\n\"x\n{\"posts\": {}}\n{\"x\": \"" + strings.Repeat("x", limit) + "\"}\n{\"username\": \"ada\", \"email\": \"ada@example.com\"}",
			rows: []string{
				"1 users (INVALID)", "2 users (INVALID)", "3 users (INVALID)", "4 users version(INVALID) username(INVALID) email(INVALID)",
				"5 users username(BLANK) email(BLANK)", "6 users (INVALID)", "7 users (INVALID)", "8 users (INVALID)", "9 users (INVALID)",
				"10 users username(BLANK) email(BLANK) posts(INVALID)", "11 users (TOO_LONG)", "12 users username=ada email=ada@example.com",
			},
		},
	} {
		rows, unknown, err := read(t, strings.NewReader(test.text), "")
		if err != nil || !slices.Equal(rows, test.rows) || !slices.Equal(unknown, test.unknown) {
			t.Errorf("%s: got %q, %q, %v, want %q, %q", name, rows, unknown, err, test.rows, test.unknown)
		}
	}
}

func TestReadFails(t *testing.T) {
	t.Parallel()
	broken := zip(t, "username,email\nada,ada@example.com\n"+strings.Repeat("x", 10_000)).String()
	for name, test := range map[string]struct {
		text   string
		format transfer.Format
		want   string
	}{
		"empty":           {"", "", transfer.ErrEmpty.Error()},
		"a mark only":     {"\ufeff", "", transfer.ErrEmpty.Error()},
		"blank":           {" \r\n\n", "", transfer.ErrEmpty.Error()},
		"empty JSON":      {"", transfer.JSONLines, transfer.ErrEmpty.Error()},
		"empty gzip":      {zip(t, "").String(), "", transfer.ErrEmpty.Error()},
		"UTF-32":          {"\xff\xfe\x00\x00u\x00\x00\x00", "", "the file is UTF-32: save it as UTF-8"},
		"UTF-16, no mark": {"u\x00s\x00", "", "this is no text, or UTF-16 without a byte-order mark: save it as UTF-8"},
		"a workbook":      {"PK\x03\x04\x14\x00\x06\x00", "", "this is a ZIP archive or an Excel workbook: save it as CSV"},
		"an old workbook": {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", transfer.CSV, "this is an Excel workbook of the old form (.xls): save it as CSV"},
		"a zipped one":    {zip(t, "PK\x03\x04").String(), "", "this is a ZIP archive or an Excel workbook: save it as CSV"},
		"zipped twice":    {zip(t, zip(t, "username,email\n").String()).String(), "", "the file is compressed by gzip twice: decompress it once"},
		"a web page":      {"<!DOCTYPE html><table>", "", "this is HTML or XML: save the rows as CSV"},
		"bzip2":           {"BZh91AY&SY\x00", "", "this is compressed by bzip2: decompress it, or compress it by gzip"},
		"many blanks":     {strings.Repeat(" \r\n\t", 100_000), "", transfer.ErrEmpty.Error()},
		"a blank line":    {strings.Repeat(" ", 100_000), "", transfer.ErrEmpty.Error()},
		"separators":      {"\n;;\n,\t,\n", "", "there is no header: the first line names the columns, such as username,email"},
		"a separator":     {"sep=;\r\n", "", "there is no header: the first line names the columns, such as username,email"},
		"an open quote":   {"\"username,email\nada,ada@example.com\n", "", "line 1: the header has a quote that is never closed"},
		"a long quote":    {"\n\"" + strings.Repeat("x\n", limit), "", "line 2: the header has more than 1000 bytes"},
		"garbage":         {zip(t, "username,email\n").String() + "\x00\x00x", "", "something follows the end of the gzip data: the file is damaged"},
		"a JSON array":    {"[{}]", "", "the file is a JSON array: write an object on each line, as jq -c '.[]' does"},
		"no email":        {"Username,Phone\nada,1\n", "", "line 1: there is no column email: the columns are \"Username\", \"Phone\"; users need username and email, posts authorId and title"},
		"odd names":       {"\x1b[2J" + strings.Repeat("é", 100) + ",a\n", "", "line 1: there is no column username: the columns are \"\\x1b[2J" + strings.Repeat("é", 30) + "\", \"a\"; users need username and email, posts authorId and title"},
		"no title":        {"authorId,username,email\n", "", "line 1: there is no column title: the columns are \"authorId\", \"username\", \"email\"; users need username and email, posts authorId and title"},
		"no names":        {"\n1,2\n", "", "line 2: there is no column username: the columns are \"1\", \"2\"; users need username and email, posts authorId and title"},
		"no subject":      {"username,email,Identity-Issuer\n", "", "line 1: there is only one of the columns identityIssuer and identitySubject: add the other, or leave this one out with --ignore"},
		"a column twice":  {"username,email,E_Mail\n", "", "line 1: two columns are email: rename one, or leave one out with --ignore"},
		"a wrong header":  {"user\"name,email\n", "", `line 1: the header has a quote in the wrong place: a field with quotes in it is written "like ""this"""`},
		"JSON for CSV":    {`{"username":"ada"}`, transfer.CSV, `line 1: the header has a quote in the wrong place: a field with quotes in it is written "like ""this"""`},
		"no gzip":         {"\x1f\x8bx", "", "the gzip data are cut off: copy the file again"},
		"a cut gzip":      {broken[:len(broken)-9], "", "the gzip data are cut off: copy the file again"},
		"a damaged gzip":  {broken[:len(broken)-8] + "xxxxyyyy", "", "the gzip data are damaged: copy the file again"},
		"a header so big": {strings.Repeat("x", limit+1) + "\n", "", "line 1: the header has more than 1000 bytes"},
	} {
		_, _, err := read(t, strings.NewReader(test.text), test.format)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

// endless is a line of 100 MB between a start and an end.
func endless(start, end string) io.Reader {
	return io.MultiReader(strings.NewReader(start), io.LimitReader(xs{}, 100_000_000), strings.NewReader(end))
}

type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestReadLongLine is not parallel, since it watches what the process allocates.
func TestReadLongLine(t *testing.T) { //nolint:paralleltest // as said
	for name, in := range map[string]io.Reader{
		"CSV":        endless("username,email\na,", "\nada,ada@example.com\n"),
		"quoted CSV": endless("username,email\n\"a", "\",b\nada,ada@example.com\n"),
		"open quote": endless("username,email\n\"a", "\nada,ada@example.com\n"),
		"JSON":       endless("{\"username\": \"", "\"}\n{\"username\":\"ada\",\"email\":\"ada@example.com\"}\n"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rows, _, err := read(t, in, "")
		runtime.ReadMemStats(&after)
		if want := 2; err != nil || name != "open quote" && len(rows) != want || !strings.HasSuffix(rows[0], "users ("+string(rules.TooLong)+")") && name != "open quote" {
			t.Errorf("%s: got %q, %v, want 2 rows, the first TOO_LONG", name, rows, err)
		}
		if name == "open quote" && (len(rows) != 1 || rows[0] != "2 users (INVALID)") {
			t.Errorf("%s: got %q, want one INVALID row", name, rows)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("%s: got %d bytes allocated, want at most 1 MiB", name, used)
		}
	}
}

// TestReadManyPosts is not parallel, as above: the posts of a line become rows when they are read, not before.
func TestReadManyPosts(t *testing.T) { //nolint:paralleltest // as said
	const size = 1 << 20
	line := `{"username":"ada","email":"ada@example.com","posts":[` + strings.Repeat("1,", size/2) + "1]}\n"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rows, err := transfer.NewReader(strings.NewReader(line), "", 2*size)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		row, err := rows.Read()
		if err != nil || row.Line != 1 || (len(row.Faults) == 0) != (i == 0) {
			t.Fatalf("row %d: got %+v, %v, want line 1, and faults only of posts", i, row, err)
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 20*size {
		t.Errorf("got %d bytes allocated, want at most %d", used, 20*size)
	}
}

// An object of very many members is wrong as a whole.
func TestReadManyMembers(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"username":"ada","email":"ada@example.com"`)
	for i := range 1000 {
		fmt.Fprintf(&b, `,"x%d":1`, i)
	}
	rows, err := transfer.NewReader(strings.NewReader(b.String()+"}\n"), "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	row, err := rows.Read()
	if err != nil || len(row.Faults) != 1 || row.Faults[0].Message != "has more than 1000 members" {
		t.Errorf("got %+v, %v, want a fault of the members", row, err)
	}
}

// TestReadHeader has a header in the ways of spreadsheets, and says where the rows stand.
func TestReadHeader(t *testing.T) {
	t.Parallel()
	const ada = "users username=Ada email=ada@example.com"
	for name, test := range map[string]struct {
		text    string
		rows    []string
		unknown []string
	}{
		"separators in quotes": {"\"a;b;c;d\",username,\"e\tf\tg\th\",email\n1,Ada,2,ada@example.com\n", []string{"2 " + ada}, []string{"a;b;c;d", "e\tf\tg\th"}},
		"lines in quotes":      {"\"User\r\nName\";\"E-Mail\n(of\rwork)\";\"e\nmail\"\r\nAda;x;ada@example.com\r\n", []string{"6 " + ada}, []string{"E-Mail\n(of\rwork)"}},
		"blank lines":          {"\r\n  \r\n\t\r\nusername,email\r\nAda,ada@example.com", []string{"5 " + ada}, nil},
		"blank lines, CR":      {"\r\r\rusername,email\rAda,ada@example.com", []string{"5 " + ada}, nil},
		"lines of separators":  {";;\r\r\n,\r\r\n\r\r\nusername;email\r\r\nAda;ada@example.com", []string{"5 " + ada}, nil},
		"many blank lines":     {strings.Repeat(" \r\n", 100_000) + "\ufeffusername,email\nAda,ada@example.com", []string{"100002 " + ada}, nil},
		"announced":            {"\ufeffsep=;\r\n\ufeffusername;email;a,b,c,d\r\nAda;ada@example.com;\r\n", []string{"3 " + ada}, []string{"a,b,c,d"}},
		"announced, quoted":    {"\"SEP=|\"\n\nusername|email\nAda|ada@example.com\n", []string{"4 " + ada}, nil},
		"announced, a tab":     {"sep=\t\nusername\temail\nAda\tada@example.com\n", []string{"3 " + ada}, nil},
		"a column sep=":        {"sep=x,username,email\n1,Ada,ada@example.com\n", []string{"2 " + ada}, []string{"sep=x"}},
		"an unnamed column":    {",username,email,,\n,Ada,ada@example.com\n1,Ada,ada@example.com,,\n", []string{"2 " + ada, "3 " + ada}, []string{""}},
		"a long name":          {"\"" + strings.Repeat("x,", 400) + "\"\tusername\temail\n\tAda\tada@example.com\n", []string{"2 " + ada}, []string{strings.Repeat("x,", 32)}},
		"fields in the middle": {"username,email,version\nAda,ada@example.com,,7\n,Ada,ada@example.com\nAda\n", []string{
			"2 users (INVALID)", "3 users email=Ada username(BLANK) email(INVALID) version(INVALID)", "4 users (INVALID)",
		}, nil},
		"texts that say null": {"authorId,title,body\nnull,null,\\N\n user_01jvsz5r0xe3k8m1p4s6t9w2yb , x , y \n", []string{
			`2 posts title=null body=\N authorId(INVALID)`, "3 posts author=user_01jvsz5r0xe3k8m1p4s6t9w2yb title= x  body= y ",
		}, nil},
		"texts with apostrophes": {"authorId,title\nuser_01jvsz5r0xe3k8m1p4s6t9w2yb,'=1\n", []string{"2 posts author=user_01jvsz5r0xe3k8m1p4s6t9w2yb title='=1"}, nil},
		"posts in JSON": {`{"authorId":null,"title":"null","body":"null"}` + "\r\r\n\r\n" + `{"username":"Ada","email":"ada@example.com","posts":[null,{"title":null},null,{"title":"x"}]}`, []string{
			"1 posts title=null body=null authorId(INVALID)", "3 " + ada, "3 posts of=Ada posts.1.title(BLANK)", "3 posts of=Ada title=x",
		}, nil},
		"numbers": {"username,email,version\nAda,ada@example.com,2.5\nAda,ada@example.com,1e99\nAda,ada@example.com,1e-1\nAda,ada@example.com,0.0\nAda,ada@example.com,2e9\nAda,ada@example.com,2e10\nAda,ada@example.com,2.00000000000000000001\n", []string{
			"2 " + ada + " version(INVALID)", "3 " + ada + " version(INVALID)", "4 " + ada + " version(INVALID)", "5 " + ada + " version(INVALID)", "6 " + ada, "7 " + ada + " version(INVALID)", "8 " + ada + " version(INVALID)",
		}, nil},
		"half a pair in UTF-16": {littleEndian("username,email\n") + "\x00\xd8x\x00,\x00a\x00", []string{"2 users username=\xffx email=a username(INVALID) email(INVALID)"}, nil},
		"half a unit of UTF-16": {littleEndian("username,email\na,a@b.c") + "x", []string{"2 users username=a email=a@b.c\xff email(INVALID)"}, nil},
	} {
		rows, unknown, err := read(t, strings.NewReader(test.text), "")
		if err != nil || !slices.Equal(rows, test.rows) || !slices.Equal(unknown, test.unknown) {
			t.Errorf("%s: got %q, %q, %v, want %q, %q", name, rows, unknown, err, test.rows, test.unknown)
		}
	}
}

// TestIgnore leaves out columns and members, those with a meaning too.
func TestIgnore(t *testing.T) {
	t.Parallel()
	const ada, id = "users username=Ada email=ada@example.com", "user_01jvsz5r0xe3k8m1p4s6t9w2yb"
	for name, test := range map[string]struct {
		text    string
		ignore  []string
		rows    []string
		unknown []string
		err     string
	}{
		"a foreign column":  {text: "Phone No,username,email,x\n1,Ada,ada@example.com,2\n", ignore: []string{" phone_no "}, rows: []string{"2 " + ada}, unknown: []string{"x"}},
		"a known column":    {text: "id,username,email,version\nx,Ada,ada@example.com,x\n", ignore: []string{"id", "Version"}, rows: []string{"2 " + ada}},
		"posts":             {text: "username,email,title,body\nAda,ada@example.com,x,y\n", ignore: []string{"title", "body"}, rows: []string{"2 " + ada}},
		"one of two":        {text: "E-Mail,username,email\nx,Ada,ada@example.com\n", ignore: []string{"E-Mail"}, rows: []string{"2 " + ada}},
		"nothing":           {text: "username,email\nAda,ada@example.com\n", ignore: []string{"", "phone"}, rows: []string{"2 " + ada}},
		"a needed column":   {text: "username,email\nAda,ada@example.com\n", ignore: []string{"email"}, err: "line 1: there is no column email"},
		"members":           {text: `{"username":"Ada","email":"ada@example.com","id":"x","phone":1,"posts":[{"title":"x","id":1,"phone":2,"y":3}]}`, ignore: []string{"id", "phone", "posts.id"}, rows: []string{"1 " + ada, "1 posts of=Ada title=x"}, unknown: []string{"posts.phone", "posts.y"}},
		"posts of a user":   {text: `{"username":"Ada","email":"ada@example.com","posts":7}`, ignore: []string{"posts"}, rows: []string{"1 " + ada}},
		"what makes a post": {text: `{"username":"Ada","email":"ada@example.com","authorId":"` + id + `"}`, ignore: []string{"authorId"}, rows: []string{"1 " + ada}},
	} {
		file, err := transfer.NewReader(strings.NewReader(test.text), "", limit, test.ignore...)
		if err != nil {
			if test.err == "" || !strings.HasPrefix(err.Error(), test.err) {
				t.Errorf("%s: got %v, want %q", name, err, test.err)
			}
			continue
		}
		rows, unknown, err := readAll(t, file)
		if err != nil || !slices.Equal(rows, test.rows) || !slices.Equal(unknown, test.unknown) {
			t.Errorf("%s: got %q, %q, %v, want %q, %q", name, rows, unknown, err, test.rows, test.unknown)
		}
	}
}

// BenchmarkRead reads and checks users from CSV.
func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	text.WriteString("username,email,createdAt,updatedAt,version\n")
	const users = 1000
	for i := range users {
		fmt.Fprintf(&text, "User%d,\"User%d@example.com\",2026-01-01T00:00:00.000000Z,2026-01-01T00:00:00.000000Z,1\n", i, i)
	}
	b.ReportAllocs()
	for b.Loop() {
		file, err := transfer.NewReader(strings.NewReader(text.String()), "", limit)
		if err != nil {
			b.Fatal(err)
		}
		for range users {
			if row, err := file.Read(); err != nil || len(row.Faults) > 0 {
				b.Fatalf("got %+v, %v, want a user", row, err)
			}
		}
	}
}
