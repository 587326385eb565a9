package graph_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
	"roster/internal/directory"
)

// TestPackets writes long values to a MariaDB server with small packets, and with packets of the default size. Neither the
// bytes of the values nor how many rows go together matter. A value that alone is longer than a packet is refused, and the
// answer names the setting.
func TestPackets(t *testing.T) {
	t.Parallel()
	server, err := servers.StartMySQL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	for name, packet := range map[string]int{"small": 1 << 20, "default": 16 << 20} {
		t.Run(name, func(t *testing.T) { // one after the other: the setting is the server's
			p := &packets{tester: serveOn(t, server, packet), packet: packet}
			p.author = p.create()
			p.many()
			p.long()
			p.names()
		})
	}
}

// serveOn starts a Roster server on a new database of a MariaDB server, whose packets have at most so many bytes.
func serveOn(t *testing.T, server *servers.Server, packet int) *tester {
	t.Helper()
	admin, err := servers.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("packets_%d", packet)
	for _, statement := range []string{fmt.Sprintf("SET GLOBAL max_allowed_packet = %d", packet), "CREATE DATABASE " + name} {
		if err := execute(t.Context(), admin, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := admin.Close(); err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	return serve(t, dbtest.MySQL, settings{
		url:     address.String(),
		answers: answersOf(64 << 20), // the longest body is 24 MiB as JSON
	})
}

func execute(ctx context.Context, db *sql.DB, statement string) error {
	_, err := db.ExecContext(ctx, statement)
	return err
}

type packets struct {
	*tester
	packet int
	author string
}

func (p *packets) create() string {
	var made struct {
		CreateUser struct{ User struct{ ID string } }
	}
	p.must(&made, `mutation { createUser(input: {username: "ada", email: "ada@example.com"}) { user { id } } }`)
	return made.CreateUser.User.ID
}

func (p *packets) input(title, body string) map[string]any {
	return map[string]any{"authorId": p.author, "title": title, "body": body}
}

// holds checks that the posts with the title have these bodies, in their order.
func (p *packets) holds(title string, bodies ...string) {
	p.Helper()
	var found struct {
		Posts struct{ Nodes []struct{ Body string } }
	}
	p.must(&found, `query ($title: String!) { posts(first: 100, where: {title: {eq: $title}}) { nodes { body } } }`, "title", title)
	if len(found.Posts.Nodes) != len(bodies) {
		p.Fatalf("%d posts are called %s, want %d", len(found.Posts.Nodes), title, len(bodies))
	}
	for i, n := range found.Posts.Nodes {
		if n.Body != bodies[i] {
			p.Errorf("%s %d has %d bytes, not the %d that were sent", title, i, len(n.Body), len(bodies[i]))
		}
	}
}

// many writes posts that fit one by one, and not together, since JSON has six bytes for one of theirs.
func (p *packets) many() {
	p.Helper()
	var bodies []string
	var inputs []any
	for i, c := range []string{"\x01", "\"", "\\", "😀", "x", "\x1f"} {
		body := strings.Repeat(c, 160_000/len(c)) + fmt.Sprint(i)
		bodies, inputs = append(bodies, body), append(inputs, p.input("many", body))
	}
	p.must(nil, "mutation ($inputs: [CreatePostInput!]!) { createPosts(inputs: $inputs) { posts { id } } }", "inputs", inputs)
	p.holds("many", bodies...)
}

// long writes a post that has as many bytes as a packet, or as a body may have, and one that has more.
func (p *packets) long() {
	p.Helper()
	length := min(p.packet, 4<<20)
	body := strings.Repeat("x", length)
	var made struct {
		CreatePost struct{ Post struct{ ID string } }
	}
	p.must(&made, "mutation ($input: CreatePostInput!) { createPost(input: $input) { post { id } } }", "input", p.input("long", body))
	p.holds("long", body)
	over := strings.Repeat("x", length+1)
	codes, says := "COST_LIMIT", "max_allowed_packet"
	if p.packet > 4<<20 {
		codes, says = "TOO_LONG", "4194304 bytes"
	}
	for document, input := range map[string]map[string]any{
		"mutation ($input: CreatePostInput!) { createPost(input: $input) { post { id } } }": p.input("over", over),
		"mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post { id } } }": {"id": made.CreatePost.Post.ID, "body": over},
	} {
		if a := p.fails(codes, document, "input", input); !strings.Contains(a.Errors[0].Message, says) {
			p.Errorf("the answer says %q", a.Errors[0].Message)
		}
	}
	p.holds("long", body)

	// By an import: bytes that are the longest in JSON, and one row too long.
	fits := strings.Repeat("\x01", length-1) + "2"
	bodies := []string{fits, strings.Repeat("\"", length), over, strings.Repeat("😀", length/4), "short"}
	faults := load(p.tester, p.file("file", bodies), directory.Fail)
	if len(faults) != 1 || faults[0].Code != "TOO_LONG" || faults[0].Field != "body" || faults[0].Line != 3 || !strings.Contains(faults[0].Message, says) {
		p.Errorf("an import says %+v", faults)
	}
	p.holds("file", append(bodies[:2:2], bodies[3:]...)...)
}

func (p *packets) file(title string, bodies []string) []byte {
	var text []byte
	for _, body := range bodies {
		line, err := json.Marshal(p.input(title, body))
		if err != nil {
			p.Fatal(err)
		}
		text = append(append(text, line...), '\n')
	}
	return text
}

// names imports users whose keys are long, a whole chunk of them at once, and updates them.
func (p *packets) names() {
	p.Helper()
	const users = 3000
	var text strings.Builder
	text.WriteString("username,email\n")
	for i := range users {
		fmt.Fprintf(&text, "%s%d,%s%d@example.com\n", strings.Repeat("𠀀", 70), i, strings.Repeat("𠀀", 15), i)
	}
	for _, email := range []string{"@example.com", "@example.org"} {
		file := strings.ReplaceAll(text.String(), "@example.com", email)
		if faults := load(p.tester, []byte(file), directory.Update); len(faults) > 0 {
			p.Errorf("%d faults: %+v", len(faults), faults[0])
		}
	}
	var found struct{ Users struct{ TotalCount int } }
	p.must(&found, `{ users(where: {email: {contains: "@example.org"}}) { totalCount } }`)
	if found.Users.TotalCount != users {
		p.Errorf("%d users are updated", found.Users.TotalCount)
	}
}
