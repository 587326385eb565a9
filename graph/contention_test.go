package graph_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/graph"
	"roster/internal/dbtest"
	"roster/internal/typeid"
)

// TestContention lets 16 clients create, change, read and delete the same few users and posts at the same time, for as long
// as -contention says. No update is lost, no operation is half done, and no reader sees a state that never was; errors are
// only those that the requests bring about, and CONFLICT in under 1 % of the operations.
//
// Two kinds of users show that. Hot ones are renamed all the time, and the two posts of each with them in the same
// operation: their titles are always the user's name. Guests come, with two posts, get more and go.
func TestContention(t *testing.T) {
	t.Parallel()
	const clientCount, operations, users = 16, 20, 4
	duration := value[time.Duration]("contention")
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		started := time.Now()
		s := &contention{codes: map[string]int{}, names: map[string]map[int]string{}, posts: map[string]int{}}
		s.tester = serve(t, e, settings{graph: func(o *graph.Options) {
			o.Clock, o.IDs = time.Now, typeid.NewSource(time.Now, rand.NewChaCha8([32]byte{}))
		}})
		for i := range users {
			name := fmt.Sprintf("hot%d", i)
			u := s.create(name, name, name)
			s.hot = append(s.hot, u.ID)
			s.names[u.ID] = map[int]string{1: name}
			s.guests = append(s.guests, fmt.Sprintf("guest%d", i))
		}
		clients(clientCount, func(client int) {
			random := rand.New(rand.NewPCG(1, uint64(client)))
			for i := 0; !t.Failed(); i++ {
				if duration == 0 && i == operations || duration > 0 && time.Since(started) > duration {
					return
				}
				s.operate(random, fmt.Sprintf("c%d-%d", client, i))
			}
		})
		s.check()
		codes := make([]string, 0, len(s.codes))
		for _, code := range slices.Sorted(maps.Keys(s.codes)) {
			codes = append(codes, fmt.Sprintf("%s %d", code, s.codes[code]))
		}
		t.Logf("%v: %d operations in %v: %s", e, s.total, time.Since(started).Round(time.Millisecond), strings.Join(codes, ", "))
		if conflicts := s.codes["CONFLICT"]; conflicts > max(s.total/100, 3) {
			t.Errorf("CONFLICT: got %d of %d operations, want at most one in a hundred", conflicts, s.total)
		}
	})
}

// contention is what the clients have done so far.
type contention struct {
	*tester
	hot    []string // IDs
	guests []string // names

	mu    sync.Mutex
	total int
	codes map[string]int
	names map[string]map[int]string // what each hot user is called, by its ID and version
	posts map[string]int            // how many posts each guest has, by its ID; 0 when it is gone
}

// operate does operations of a random kind.
func (s *contention) operate(random *rand.Rand, name string) {
	hot, guest := s.hot[random.IntN(len(s.hot))], s.guests[random.IntN(len(s.guests))]
	switch random.IntN(10) {
	case 0, 1, 2:
		s.rename(hot, name)
	case 3:
		s.take(hot, name)
	case 4:
		s.look(hot)
	case 5:
		s.readAll()
	case 6:
		s.come(guest)
	case 7:
		s.write(guest, name)
	case 8:
		s.move(guest, name)
	default:
		s.leave(guest)
	}
}

// send does an operation, into whose data into points, and counts how it ended: with success, CONFLICT or one of the
// codes. It reports success.
func (s *contention) send(into any, codes []string, document string, variables ...any) bool {
	a := s.do(document, variables...)
	ended := a.codes()
	if ended == "" {
		ended = "success"
	}
	s.mu.Lock()
	s.total++
	s.codes[ended]++
	s.mu.Unlock()
	for _, e := range a.Errors {
		if !slices.Contains(append(codes, "CONFLICT"), e.Extensions.Code) {
			s.Errorf("%s\nfailed: %+v", document, a.Errors)
		}
	}
	if err := json.Unmarshal(a.Data, into); err != nil {
		s.Errorf("%v in %s", err, a.Data)
	}
	return len(a.Errors) == 0
}

// look reads a hot user. The names of all are one.
func (s *contention) look(id string) (u user, ok bool) {
	var data struct{ User user }
	ok = s.send(&data, nil, "query ($id: ID!) { user(by: {id: $id}) { id username version posts { nodes { id title } } } }", "id", id)
	if u = data.User; ok {
		s.whole(u)
	}
	return u, ok
}

// whole checks that a hot user is as an operation left it.
func (s *contention) whole(u user) {
	if len(u.Posts.Nodes) != 2 || u.Posts.Nodes[0].Title != u.Username || u.Posts.Nodes[1].Title != u.Username {
		s.Errorf("a reader saw half an operation: %+v", u)
	}
}

// rename reads a hot user and gives it and its posts another name.
func (s *contention) rename(id, name string) {
	u, ok := s.look(id)
	if !ok {
		return
	}
	var data map[string]any
	ok = s.send(&data, []string{"STALE_VERSION"}, `mutation ($id: ID!, $name: String!, $version: Int!, $one: ID!, $two: ID!) {
		updatePost(input: {id: $one, title: $name}) { post { id } }
		updateUser(input: {id: $id, username: $name, expectedVersion: $version}) { user { version } }
		two: updatePost(input: {id: $two, title: $name}) { post { id } }
	}`, "id", id, "name", name, "version", u.Version, "one", u.Posts.Nodes[0].ID, "two", u.Posts.Nodes[1].ID)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, given := s.names[id][u.Version+1]; given {
		s.Errorf("version %d of a user was given to %s and to %s", u.Version+1, other, name)
	}
	s.names[id][u.Version+1] = name
}

// take creates a user of a hot user's name, which is taken unless the hot one was renamed meanwhile, and deletes it.
func (s *contention) take(id, name string) {
	u, ok := s.look(id)
	if !ok {
		return
	}
	var data struct{ CreateUser struct{ User user } }
	ok = s.send(&data, []string{"TAKEN"}, `mutation ($username: String!, $email: String!) {
		createUser(input: {username: $username, email: $email}) { user { id } }
	}`, "username", u.Username, "email", name+"@example.com")
	if ok {
		s.send(&data, nil, "mutation ($id: ID!) { deleteUser(input: {id: $id}) { deletedId } }", "id", data.CreateUser.User.ID)
	}
}

// come creates a guest with two posts.
func (s *contention) come(name string) {
	var data struct{ CreateUser struct{ User user } }
	ok := s.send(&data, []string{"TAKEN"}, `mutation ($name: String!, $email: String!) {
		createUser(input: {username: $name, email: $email, posts: [{title: "one"}, {title: "two"}]}) { user { id posts { totalCount } } }
	}`, "name", name, "email", name+"@example.com")
	if ok {
		u := data.CreateUser.User
		if u.Posts.TotalCount != 2 {
			s.Errorf("a new guest has %d posts", u.Posts.TotalCount)
		}
		s.add(u.ID, 2)
	}
}

// add notes that a guest has got posts.
func (s *contention) add(id string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts[id] += n
}

// find reads a guest, if it is there.
func (s *contention) find(name string) (u user, ok bool) {
	var data struct{ User *user }
	ok = s.send(&data, nil, "query ($name: String!) { user(by: {username: $name}) { id version posts { totalCount } } }", "name", name)
	if !ok || data.User == nil {
		return u, false
	}
	if data.User.Posts.TotalCount < 2 {
		s.Errorf("a guest has %d posts", data.User.Posts.TotalCount)
	}
	return *data.User, true
}

// write creates a post of a guest, which may be gone by then.
func (s *contention) write(name, title string) {
	u, ok := s.find(name)
	if !ok {
		return
	}
	var data map[string]any
	if s.send(&data, []string{"NOT_FOUND"}, `mutation ($id: ID!, $title: String!) {
		createPost(input: {authorId: $id, title: $title}) { post { author { username } } }
	}`, "id", u.ID, "title", title) {
		s.add(u.ID, 1)
	}
}

// move changes the address of a guest, which may have changed or be gone by then.
func (s *contention) move(name, local string) {
	u, ok := s.find(name)
	if !ok {
		return
	}
	var data struct{ UpdateUser struct{ User user } }
	ok = s.send(&data, []string{"NOT_FOUND", "STALE_VERSION"}, `mutation ($id: ID!, $email: String!, $version: Int!) {
		updateUser(input: {id: $id, email: $email, expectedVersion: $version}) { user { version } }
	}`, "id", u.ID, "email", local+"@example.org", "version", u.Version)
	if got := data.UpdateUser.User.Version; ok && got != u.Version+1 {
		s.Errorf("version %d became %d", u.Version, got)
	}
}

// leave deletes a guest and its posts, unless it has changed or gone.
func (s *contention) leave(name string) {
	u, ok := s.find(name)
	if !ok {
		return
	}
	var data map[string]any
	if s.send(&data, []string{"NOT_FOUND", "STALE_VERSION"}, `mutation ($id: ID!, $version: Int!) {
		deleteUser(input: {id: $id, expectedVersion: $version, dependents: CASCADE}) { deletedId }
	}`, "id", u.ID, "version", u.Version) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.posts[u.ID] -= 1 << 20 // gone: no post can have been created since
	}
}

// readAll reads everything at one moment and returns it.
func (s *contention) readAll() []user {
	var data struct {
		Users struct {
			Nodes      []user
			TotalCount int
		}
		Posts struct{ TotalCount int }
	}
	ok := s.send(&data, nil, `{
		users(first: 100) { nodes { id username version posts(first: 100) { nodes { title author { id username } } totalCount } } totalCount }
		posts { totalCount }
	}`)
	if !ok {
		return nil
	}
	posts := 0
	for _, u := range data.Users.Nodes {
		posts += u.Posts.TotalCount
		for _, p := range u.Posts.Nodes {
			if p.Author.ID != u.ID || p.Author.Username != u.Username {
				s.Errorf("a reader saw two moments: %+v", u)
			}
		}
		switch {
		case slices.Contains(s.hot, u.ID):
			s.whole(u)
		case slices.Contains(s.guests, u.Username) && u.Posts.TotalCount < 2:
			s.Errorf("a guest has %d posts", u.Posts.TotalCount)
		}
	}
	if posts != data.Posts.TotalCount || len(data.Users.Nodes) != data.Users.TotalCount {
		s.Errorf("a reader saw two moments: %d users of %d, %d posts of %d",
			len(data.Users.Nodes), data.Users.TotalCount, posts, data.Posts.TotalCount)
	}
	return data.Users.Nodes
}

// check compares what is there in the end with what the clients were told.
func (s *contention) check() {
	there := map[string]user{}
	for _, u := range s.readAll() {
		there[u.ID] = u
	}
	for _, id := range s.hot {
		names := s.names[id]
		if u := there[id]; u.Version != len(names) || u.Username != names[u.Version] {
			s.Errorf("after %d updates a user is %+v", len(names)-1, u)
		}
		delete(there, id)
	}
	for id, posts := range s.posts {
		u, ok := there[id]
		switch {
		case posts < 0 && ok, posts > 0 && u.Posts.TotalCount != posts:
			s.Errorf("a guest should have %d posts: %+v", posts, u)
		}
		delete(there, id)
	}
	if len(there) > 0 {
		s.Errorf("nobody created %+v", there)
	}
}
