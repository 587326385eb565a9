// Command floor gives the answers of the workloads in package bench with the least work that a Go program can do: net/http,
// database/sql and lib/pq, SQL and JSON by hand, no GraphQL. No program with these libraries can be much faster, so Roster is
// measured against it. It serves the PostgreSQL database in DATABASE_URL on a free port, and prints the port.
package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/lib/pq"

	"roster/ent/rules"
	"roster/internal/typeid"
)

const (
	connections = 16 // Roster's default
	dateTime    = "2006-01-02T15:04:05.000000Z"
	readTimeout = 10 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Getenv("DATABASE_URL"), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "floor: %v\n", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, databaseURL string, stdout io.Writer) (err error) {
	a, err := open(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.db.Close()) }()
	mux := http.NewServeMux()
	mux.Handle("GET /user", handler(a.user))
	mux.Handle("GET /users", handler(a.users))
	mux.Handle("GET /feed", handler(a.feed))
	mux.Handle("POST /users", handler(a.create))
	mux.Handle("POST /users/many", handler(a.createMany))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "http://%s/\n", listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: readTimeout}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // makes Serve return
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// app has the prepared statements.
type app struct {
	db                                        *sql.DB
	byName, first, after                      *sql.Stmt // whole users
	feedUsers, feedPosts, feedAuthors, insert *sql.Stmt
	insertChange, insertMany, insertChanges   *sql.Stmt
	ids                                       *typeid.Source
}

func open(ctx context.Context, databaseURL string) (*app, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, errors.New("DATABASE_URL is no URL") // the error would show the password
	}
	query := u.Query()
	query.Set("binary_parameters", "yes")
	u.RawQuery = query.Encode()
	connector, err := pq.NewConnector(u.String())
	if err != nil {
		return nil, errors.New("DATABASE_URL is no URL of PostgreSQL")
	}
	a := &app{db: sql.OpenDB(connector), ids: typeid.NewSource(time.Now, rand.Reader)}
	a.db.SetMaxOpenConns(connections)
	a.db.SetMaxIdleConns(connections)
	const userColumns = "SELECT id, username, email, created_at FROM users"
	for statement, text := range map[**sql.Stmt]string{
		&a.byName:    userColumns + " WHERE username_key = $1",
		&a.first:     userColumns + " ORDER BY id LIMIT $1",
		&a.after:     userColumns + " WHERE id > $1 ORDER BY id LIMIT $2",
		&a.feedUsers: "SELECT id, username FROM users ORDER BY id LIMIT $1",
		&a.feedPosts: "SELECT p.id, p.title, p.author_id FROM unnest($1::uuid[]) WITH ORDINALITY k (id, n) CROSS JOIN LATERAL " +
			"(SELECT id, title, author_id FROM posts WHERE author_id = k.id ORDER BY id LIMIT $2) p ORDER BY k.n, p.id",
		&a.feedAuthors: "SELECT id, username FROM users WHERE id = ANY($1::uuid[])",
		&a.insert: "INSERT INTO users (id, username, username_key, email, email_key, created_at, updated_at, version) " +
			"VALUES ($1, $2, $3, $4, $5, $6, $6, 1)",
		&a.insertChange: "INSERT INTO changes (type, node_id, kind, version, fields, at) VALUES ('user', $1, 'created', 1, '', $2)",
		&a.insertMany: "INSERT INTO users (id, username, username_key, email, email_key, created_at, updated_at, version) " +
			"SELECT id, username, username_key, email, email_key, $6::timestamptz, $6::timestamptz, 1 " +
			"FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) AS n (id, username, username_key, email, email_key)",
		&a.insertChanges: "INSERT INTO changes (type, node_id, kind, version, fields, at) " +
			"SELECT 'user', id, 'created', 1, '', $2::bigint FROM unnest($1::uuid[]) AS id",
	} {
		if *statement, err = a.db.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // kept as long as the database
			return nil, errors.Join(err, a.db.Close())
		}
	}
	return a, nil
}

// user is a whole user. A person has the fields that the feed selects.
type user struct {
	person

	Email     string `json:"email"`
	CreatedAt string `json:"createdAt"`
}

type person struct {
	ID       string `json:"id"`
	Username string `json:"username"`
}

func newUser(id typeid.ID, username, email string, created time.Time) user {
	return user{person{id.As("user").String(), username}, email, created.UTC().Format(dateTime)}
}

// scanUser reads a whole user, from one row or from the current one of several.
func scanUser(row interface{ Scan(...any) error }) (user, error) {
	var id typeid.ID
	var username, email string
	var created time.Time
	err := row.Scan(&id, &username, &email, &created)
	return newUser(id, username, email, created), err
}

// user is W1.
func (a *app) user(r *http.Request) (answer, error) {
	key, fault := rules.Username(r.FormValue("username"))
	if fault != nil {
		return answer{}, fault
	}
	u, err := scanUser(a.byName.QueryRowContext(r.Context(), key))
	return answer{`{"data":{"user":`, u, `}}`}, err
}

// users is W2 and, with the parameter after, W6.
func (a *app) users(r *http.Request) (answer, error) {
	statement, args := a.first, []any{100}
	if after := r.FormValue("after"); after != "" {
		id, err := typeid.Parse(after)
		if err != nil {
			return answer{}, err
		}
		statement, args = a.after, []any{id, 100}
	}
	users := make([]user, 0, 100)
	err := each(r.Context(), statement, func(rows *sql.Rows) error {
		u, err := scanUser(rows)
		users = append(users, u)
		return err
	}, args...)
	return answer{`{"data":{"users":{"nodes":`, users, `}}}`}, err
}

// create is W4: the user and its change, in one transaction.
func (a *app) create(r *http.Request) (answer, error) {
	var in struct{ Username, Email string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return answer{}, err
	}
	usernameKey, fault := rules.Username(in.Username)
	if fault != nil {
		return answer{}, fault
	}
	emailKey, fault := rules.Email(in.Email)
	if fault != nil {
		return answer{}, fault
	}
	id, now := a.ids.New("user"), time.Now()
	tx, err := a.db.BeginTx(r.Context(), nil)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = tx.Rollback() }()                                    // does nothing after the commit
	_, err = tx.StmtContext(r.Context(), a.insert).ExecContext(r.Context(), //nolint:sqlclosecheck // ends with the transaction
		id, in.Username, usernameKey, in.Email, emailKey, now)
	if err != nil {
		return answer{}, err
	}
	_, err = tx.StmtContext(r.Context(), a.insertChange).ExecContext(r.Context(), id, now.UnixMicro()) //nolint:sqlclosecheck // as above
	if err != nil {
		return answer{}, err
	}
	return answer{`{"data":{"createUser":{"user":`, newUser(id, in.Username, in.Email, now), `}}}`}, tx.Commit()
}

// createMany is W5 and W7: the users and their changes, in one transaction.
func (a *app) createMany(r *http.Request) (answer, error) {
	var in []struct{ Username, Email string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return answer{}, err
	}
	now := time.Now()
	users := make([]user, len(in))
	var ids, usernames, usernameKeys, emails, emailKeys []string
	for i, u := range in {
		usernameKey, fault := rules.Username(u.Username)
		if fault != nil {
			return answer{}, fault
		}
		emailKey, fault := rules.Email(u.Email)
		if fault != nil {
			return answer{}, fault
		}
		id := a.ids.New("user")
		users[i] = newUser(id, u.Username, u.Email, now)
		ids, usernames, usernameKeys = append(ids, id.UUID().String()), append(usernames, u.Username), append(usernameKeys, usernameKey)
		emails, emailKeys = append(emails, u.Email), append(emailKeys, emailKey)
	}
	tx, err := a.db.BeginTx(r.Context(), nil)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = tx.Rollback() }()                                        // does nothing after the commit
	_, err = tx.StmtContext(r.Context(), a.insertMany).ExecContext(r.Context(), //nolint:sqlclosecheck // ends with the transaction
		pq.Array(ids), pq.Array(usernames), pq.Array(usernameKeys), pq.Array(emails), pq.Array(emailKeys), now)
	if err != nil {
		return answer{}, err
	}
	_, err = tx.StmtContext(r.Context(), a.insertChanges).ExecContext(r.Context(), pq.Array(ids), now.UnixMicro()) //nolint:sqlclosecheck // as above
	if err != nil {
		return answer{}, err
	}
	return answer{`{"data":{"createUsers":{"users":`, users, `}}}`}, tx.Commit()
}

type (
	feedUser struct {
		person

		Posts feedPosts `json:"posts"`
	}
	feedPosts struct {
		Nodes []feedPost `json:"nodes"`
	}
	feedPost struct {
		ID     string `json:"id"`
		Title  string `json:"title"`
		Author person `json:"author"`
		by     typeid.ID
	}
)

// feed is W3, a statement for each level.
func (a *app) feed(r *http.Request) (answer, error) {
	ctx := r.Context()
	users, index, ids := make([]feedUser, 0, 50), make(map[typeid.ID]int, 50), make([]string, 0, 50)
	err := each(ctx, a.feedUsers, func(rows *sql.Rows) error {
		id, p, err := scanPerson(rows)
		index[id] = len(users)
		users, ids = append(users, feedUser{person: p}), append(ids, id.UUID().String())
		return err
	}, 50)
	if err != nil {
		return answer{}, err
	}
	authors := make(map[typeid.ID]person, 50)
	err = each(ctx, a.feedPosts, func(rows *sql.Rows) error {
		var id typeid.ID
		var p feedPost
		err := rows.Scan(&id, &p.Title, &p.by)
		p.ID = id.As("post").String()
		posts := &users[index[p.by]].Posts
		posts.Nodes = append(posts.Nodes, p)
		authors[p.by] = person{}
		return err
	}, pq.Array(ids), 10)
	if err != nil {
		return answer{}, err
	}
	ids = ids[:0]
	for id := range authors {
		ids = append(ids, id.UUID().String())
	}
	err = each(ctx, a.feedAuthors, func(rows *sql.Rows) error {
		id, p, err := scanPerson(rows)
		authors[id] = p
		return err
	}, pq.Array(ids))
	for _, u := range users {
		for i, p := range u.Posts.Nodes {
			u.Posts.Nodes[i].Author = authors[p.by]
		}
	}
	return answer{`{"data":{"users":{"nodes":`, users, `}}}`}, err
}

func scanPerson(rows *sql.Rows) (id typeid.ID, p person, err error) {
	err = rows.Scan(&id, &p.Username)
	p.ID = id.As("user").String()
	return id, p, err
}

// each runs a statement and calls f with its rows.
func each(ctx context.Context, statement *sql.Stmt, scan func(*sql.Rows) error, args ...any) error {
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// An answer is a value as JSON, in the envelope of GraphQL.
type answer struct {
	head  string
	value any
	tail  string
}

// handler writes answers.
func handler(get func(*http.Request) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := get(r)
		var value []byte
		if err == nil {
			value, err = json.Marshal(a.value)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(a.head)+len(value)+len(a.tail)))
		for _, part := range [][]byte{[]byte(a.head), value, []byte(a.tail)} {
			if _, err := w.Write(part); err != nil {
				return // the client is gone
			}
		}
	})
}
