package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"roster/ent"
	"roster/ent/query"
	"roster/internal/database"
	"roster/internal/typeid"
)

// A request is a POST of the body, or a GET without a body. The token may be empty.
type request struct{ path, body, token string }

func (r request) http(ctx context.Context, address string) (*http.Request, error) {
	method := http.MethodPost
	if r.body == "" {
		method = http.MethodGet
	}
	out, err := http.NewRequestWithContext(ctx, method, "http://"+address+r.path, strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	out.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		out.Header.Set("Authorization", "Bearer "+r.token)
	}
	return out, nil
}

// A workload is one kind of request, in two languages.
type workload struct {
	name, title string
	part        int                      // only one in part of the -n requests is made
	objects     int                      // in an answer
	writes      int                      // users that each request creates
	key         func(i int) string       // the subject of the i-th request
	roster      func(key string) request // in GraphQL
	floor       func(key string) request // for package floor
}

// newWorkloads returns the workloads on a number of users. The cursor and the ID are those of the last of nine tenths of them.
func newWorkloads(users int, cursor string, id typeid.ID) []workload {
	const fields = "{ id username email createdAt }"
	none := func(int) string { return "" }
	return []workload{
		{
			name: "W1", title: "one user by name", part: 1, objects: 1,
			key: func(i int) string { return username(i * 7919 % users) },
			roster: func(key string) request {
				return graphQL("query($key: String!) { user(by: { username: $key }) "+fields+" }", map[string]string{"key": key})
			},
			floor: func(key string) request { return request{path: "/user?username=" + url.QueryEscape(key)} },
		},
		{
			name: "W2", title: "100 users", part: 4, objects: 100,
			key:    none,
			roster: func(string) request { return graphQL("{ users(first: 100) { nodes "+fields+" } }", nil) },
			floor:  func(string) request { return request{path: "/users"} },
		},
		{
			name: "W3", title: "50 users x 10 posts x author", part: 20, objects: 50 + 50*10*2,
			key:    none,
			roster: func(string) request { return graphQL(feedDocument, nil) },
			floor:  func(string) request { return request{path: "/feed"} },
		},
		{
			name: "W4", title: "create a user", part: 2, objects: 1, writes: 1,
			key: func(int) string { return strings.ToLower(rand.Text()) },
			roster: func(key string) request {
				return graphQL("mutation($input: CreateUserInput!) { createUser(input: $input) { user "+fields+" } }",
					map[string]any{"input": newUser(key)})
			},
			floor: func(key string) request { return request{path: "/users", body: encode(newUser(key))} },
		},
		{
			name: "W5", title: "create 1,000 users", part: 100, objects: manyUsers, writes: manyUsers,
			key: func(int) string { return strings.ToLower(rand.Text()) },
			roster: func(key string) request {
				return graphQL("mutation($inputs: [CreateUserInput!]!) { createUsers(inputs: $inputs) { users "+fields+" } }",
					map[string]any{"inputs": newUsers(key)})
			},
			floor: func(key string) request { return request{path: "/users/many", body: encode(newUsers(key))} },
		},
		{
			name: "W6", title: "100 users after nine tenths", part: 4, objects: 100,
			key: none,
			roster: func(string) request {
				return graphQL("query($after: String!) { users(first: 100, after: $after) { nodes "+fields+" } }",
					map[string]string{"after": cursor})
			},
			floor: func(string) request { return request{path: "/users?after=" + id.String()} },
		},
		{
			name: "W7", title: "create 2 users in 2 fields", part: 2, objects: 2, writes: 2,
			key: func(int) string { return strings.ToLower(rand.Text()) },
			roster: func(key string) request {
				return graphQL("mutation($a: CreateUserInput!, $b: CreateUserInput!) { a: createUser(input: $a) { user "+fields+" } b: createUser(input: $b) { user "+fields+" } }",
					map[string]any{"a": newUser(key + "0"), "b": newUser(key + "1")})
			},
			floor: func(key string) request { return request{path: "/users/many", body: encode(newUsers(key)[:2])} },
		},
	}
}

// feedDocument is W3. compare.go reads it in other ways too.
const feedDocument = "{ users(first: 50) { nodes { id username posts(first: 10) { nodes { id title author { id username } } } } } }"

// newUser is the input of W4.
func newUser(username string) map[string]string {
	return map[string]string{"username": username, "email": username + "@example.com"}
}

// manyUsers is the number of users that W5 creates at once.
const manyUsers = 1000

// newUsers are the inputs of W5.
func newUsers(key string) []map[string]string {
	list := make([]map[string]string, manyUsers)
	for i := range list {
		list[i] = newUser(key + strconv.Itoa(i))
	}
	return list
}

func graphQL(document string, variables any) request {
	return request{path: "/graphql", body: encode(map[string]any{"query": document, "variables": variables})}
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("bench: strings and maps of them do not marshal: %v", err))
	}
	return string(b)
}

// check returns the error of a wrong answer. It does not parse the answer: that would take CPU from the server.
func (w workload) check(key string, status int, body []byte) error {
	switch {
	case status != http.StatusOK:
		return fmt.Errorf("%s: status %d: %.500s", w.name, status, body)
	case !bytes.HasPrefix(body, []byte(`{"data":{`)): // errors would come first
		return fmt.Errorf("%s: no data, or errors: %.500s", w.name, body)
	case bytes.Count(body, []byte(`"id":"`)) != w.objects:
		return fmt.Errorf("%s: %d objects instead of %d: %.500s", w.name, bytes.Count(body, []byte(`"id":"`)), w.objects, body)
	case w.objects == 1 && !bytes.Contains(body, []byte(`"username":`+encode(key))):
		return fmt.Errorf("%s: not about %s: %.500s", w.name, key, body)
	}
	return nil
}

// ninetyPercent returns where nine tenths of the users end: the cursor and the ID of the last of them.
func (st *store) ninetyPercent(ctx context.Context) (cursor string, id typeid.ID, err error) {
	session := st.Session(database.Snapshot)
	defer session.Rollback()
	client := ent.NewClient(ent.Driver(session))
	size, after := query.MaxSize, (*string)(nil)
	for seen := 0; seen < st.users/10*9; seen += size {
		page, err := query.ReadPage[ent.User, ent.UserWhere](ctx, client.User.Reader(), "Users", query.All, query.Args{First: &size, After: after}, nil, nil)
		if err != nil {
			return "", id, err
		}
		nodes := page.Nodes()
		if len(nodes) == 0 {
			return "", id, errors.New("the users end before nine tenths of them")
		}
		after, id = page.PageInfo().EndCursor, nodes[len(nodes)-1].ID
	}
	return *after, id, nil
}
