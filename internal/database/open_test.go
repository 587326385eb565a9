package database_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// secret is the password in the URLs of these tests. No error may show it.
const secret = "s3cret"

// refused opens a database that must not open. The error is one line and has the parts.
func refused(t *testing.T, o database.Options, parts ...string) {
	t.Helper()
	db, err := database.Open(t.Context(), o)
	if err == nil {
		db.Close()
		t.Fatalf("got an open database, want an error with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q in it", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("got several lines, want one: %v", err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("got an error with the password, want none: %v", err)
	}
	for _, text := range []string{"ping the database", "pq:", "strconv", "ParseAddr", "dial ", "read tcp", "EOF", "tls:", "x509", "open /", "parse \"", "invalid connection"} {
		if strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want no text for programmers, such as %q", err, text)
		}
	}
}

func TestOpenMalformed(t *testing.T) {
	t.Parallel()
	const special = "@ as %40"
	for address, part := range map[string]string{
		"":                                                    "no scheme",
		"roster":                                              "no scheme",
		"/srv/roster.db":                                      "no scheme",
		"oracle://u:s3cret@h/d":                               `unknown scheme "oracle"`,
		"host:5432/roster":                                    `unknown scheme "host"`,
		"sqlite:":                                             "no path",
		"sqlite://":                                           "no path",
		"sqlite::memory:":                                     "no file",
		"sqlite:a\x00b":                                       "no file",
		"sqlite://u:s3cret@x":                                 "path alone",
		"sqlite://s3cret@x/roster.db":                         "path alone",
		"sqlite://u:p/s3cret@x/roster.db":                     "path alone",
		"sqlite:u:s3cret@x":                                   "path alone",
		"sqlite:/u:s3cret@x/d":                                "path alone",
		"sqlite:///u:s3cret@x":                                "path alone",
		"sqlite://u:/s3cret@x":                                "path alone",
		"sqlite://u:s3cret":                                   "path alone",
		"sqlite://s3cret%40x%zz":                              "path alone",
		"sqlite://:memory:":                                   "no file",
		"sqlite://u%3As3cret%40x":                             "path alone",
		"sqlite:roster.db?_auth_pass=s3cret":                  "path alone",
		"sqlite:roster.db?mode=rw&_key=s3cret":                "path alone",
		"sqlite::memory:?password=s3cret":                     "path alone",
		"u:s3cret@tcp(h:3306)/d":                              `unknown scheme "u"`,
		"mysql:u:s3cret@tcp(h:3306)/d":                        "no host",
		"mysql://u:s3cret@tcp(h:3306)/d":                      "the port",
		"s3cret@h:5432/d":                                     "no scheme",
		"user=u password=s3cret host=h":                       "no scheme",
		"user=u password=s3cret options='-c a:b'":             "no scheme",
		"jdbc:postgresql://u:s3cret@h/d":                      `unknown scheme "jdbc"`,
		"postgres://h/d?password=s3cret&port=x":               "port",
		"postgres://h/d?password=s3cret&connect_timeout=x":    `wrong value for "connect_timeout"`,
		"postgres://h/d?hostaddr=x":                           `wrong value for "hostaddr"`,
		"postgres://h/d?sslmode=require&sslinline=x":          `wrong value for "sslinline"`,
		"postgres://u:s3cret@/d":                              "no host",
		"postgres://u:s3cret@:5432/d":                         "no host",
		"postgres://u:s3cret@h1,/d":                           "no host",
		"postgres:u:s3cret@h/d":                               "no host",
		"postgres:///d":                                       "no host",
		"mysql://u:s3cret@/d":                                 "no host",
		"mysql:///d?host=/run":                                "no host",
		"postgres://u:s3cret@h":                               "no name of a database",
		"postgres://u:s3cret@h/":                              "no name of a database",
		"mysql://u:s3cret@h/":                                 "no name of a database",
		"mysql://u:s3cret@h/a/b":                              `"a/b" is no name of a database`,
		"postgres://u:s3cret@h:port/d":                        "the port",
		"postgres://u:s3cret@h:0/d":                           "the port",
		"postgres://u:s3cret@h:65536/d":                       "the port",
		"postgres://u:s3cret@h1:port,h2:5432/d":               "the port",
		"mysql://u:s3cret@h:-1/d":                             "the port",
		"mysql://u:s3cret@h1,h2/d":                            "several hosts",
		"mysql://u:s3cret@h/d?parseTime=perhaps":              "parameter",
		"postgres://u:s3cret@h/d?sslmode=maybe":               "sslmode",
		"postgres://u:s3cret@h/d?target_session_attrs=rw":     `"target_session_attrs"`,
		"postgres://u:s3cret@h1,h2/d?target_session_attrs=s3": `supported values are`,
		"postgres://u:1/s3cret@h/d":                           special,
		"postgres://u:1/s3cret@h":                             special,
		"postgres://u:1?s3cret@h/d":                           special,
		"postgres://u:1#s3cret@h/d":                           special,
		"postgres://u:1@2/s3cret@h/d":                         special,
		"postgres://u:s3cret#1@h/d":                           special,
		"mysql://u:s3cret%@h/d":                               special,
		"mysql://u:s3cret%zz@h/d":                             special,
		"mysql://u:s3cret\n@h/d":                              special,
		"mysql://u:s3cret@h/d#1":                              special,
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			refused(t, options(address), "database URL: ", part)
		})
	}
}

// FuzzURL puts any text around a password. Neither names nor errors show it.
func FuzzURL(f *testing.F) {
	for _, around := range [][2]string{{"", ""}, {"1/", ""}, {"", "@2/3"}, {"#", "%"}, {"1?", "@"}, {"[", "]:1"}, {":", ",h:5"}, {"/", "\\"}, {"?=", "&"}} {
		for scheme := range uint8(3) {
			f.Add(scheme, around[0], around[1])
		}
	}
	f.Fuzz(func(t *testing.T, scheme uint8, before, after string) {
		name, err := database.Name([]string{"postgres", "mysql", "sqlite"}[scheme%3] + "://u:" + before + secret + after + "@h/d")
		if err != nil {
			name = err.Error()
		}
		if strings.Contains(name, secret) || strings.ContainsAny(name, "\r\n") {
			t.Errorf("got the name %q, want one line without the password", name)
		}
	})
}

// onServers runs f with the URL of a new database, once for each kind of server.
func onServers(t *testing.T, f func(t *testing.T, e dbtest.Engine, u *url.URL)) {
	t.Helper()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(dbtest.Empty(t, e))
			if err != nil {
				t.Fatal(err)
			}
			f(t, e, u)
		})
	}
}

func TestOpenServer(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, e dbtest.Engine, right *url.URL) {
		name := right.Path[1:]
		for problem, c := range map[string]struct {
			change func(*url.URL)
			parts  []string
		}{
			"host":         {func(u *url.URL) { u.Host = "nowhere.invalid:" + u.Port() }, []string{"nowhere.invalid:" + right.Port(), "correct the host"}},
			"port":         {func(u *url.URL) { u.Host = closed(t) }, []string{"127.0.0.1:", "check host and port"}},
			"user":         {func(u *url.URL) { u.User = url.UserPassword("nobody", secret) }, []string{"the user or the password"}},
			"no user":      {func(u *url.URL) { u.User = nil }, []string{"the user"}},
			"password":     {func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), secret+"@/%") }, []string{"the user or the password"}},
			"no password":  {func(u *url.URL) { u.User = url.User(u.User.Username()) }, []string{"password"}},
			"database":     {func(u *url.URL) { u.Path += "x" }, []string{name + "x", "there is no database of this name"}},
			"odd database": {func(u *url.URL) { u.Path = "/a b\n%" }, []string{"/a%20b%0A%25", "there is no database of this name"}},
			"parameter":    {func(u *url.URL) { u.RawQuery = "nonsense=1" }, []string{"nonsense"}},
			"odd value":    {func(u *url.URL) { u.RawQuery = "nonsense=" + secret + "'" }, []string{"parameter"}},
		} {
			t.Run(problem, func(t *testing.T) {
				t.Parallel()
				u := *right
				c.change(&u)
				refused(t, options(u.String()), append(c.parts, u.Host)...)
			})
		}
		if e == dbtest.PostgreSQL {
			t.Run("certificate", func(t *testing.T) {
				t.Parallel()
				u := *right
				u.RawQuery = "sslmode=verify-full&sslrootcert=/missing.pem"
				refused(t, options(u.String()), "/missing.pem", "cannot be read")
			})
		}
		t.Run("right", func(t *testing.T) {
			t.Parallel()
			db := open(t, options(right.String()))
			want := map[dbtest.Engine]string{dbtest.PostgreSQL: "PostgreSQL", dbtest.MySQL: "MySQL"}[e] + " (" + right.Host + "/" + name + ")"
			if got := db.String(); got != want {
				t.Errorf("it is called %s, want %s", got, want)
			}
		})
	})
}

// closed returns the address of a port on which nothing listens.
func closed(t *testing.T) string {
	t.Helper()
	p := dbtest.NewProxy(t, "127.0.0.1:1")
	p.Cut()
	return p.Addr()
}

// silent returns the address of a server that accepts connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String() // the system accepts for it
}

func TestOpenSilentServer(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"postgres", "mysql"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			o := options(scheme + "://u:" + secret + "@" + silent(t) + "/d")
			o.ConnectTimeout = 200 * time.Millisecond
			refused(t, o, "no answer within 200ms", "127.0.0.1:")
		})
	}
}

// TestOpenOther opens ports on which other programs than a database listen.
func TestOpenOther(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string][]string{
		"ends at once":  nil,
		"ends soon":     {"S"},
		"speaks HTTP":   {"HTTP/1.1 400 Bad Request\r\n\r\n"},
		"is no TLS":     {"S", strings.Repeat("no such thing ", 10)},
		"is MySQL":      {"J\x00\x00\x00\x0a5.5.5-10.11.6-MariaDB\x00"},
		"sends nothing": {""},
		"sends zeros":   {strings.Repeat("\x00", 64), strings.Repeat("\x00", 64)},
	} {
		for _, url := range []string{"postgres://u:" + secret + "@ADDRESS/d", "postgres://u:" + secret + "@ADDRESS/d?sslmode=require", "mysql://u:" + secret + "@ADDRESS/d"} {
			t.Run(name+" "+url[:5]+url[len(url)-7:], func(t *testing.T) {
				t.Parallel()
				o := options(strings.Replace(url, "ADDRESS", other(t, answers), 1))
				o.ConnectTimeout = 2 * time.Second
				refused(t, o, "127.0.0.1:", ": ")
			})
		}
	}
}

// other returns the address of a program that sends one answer to each message, and then ends.
func other(t *testing.T, answers []string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		server.Wait()
	})
	server.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for _, answer := range answers {
				_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // MySQL's clients listen first
				_, _ = c.Read(make([]byte, 1024))
				_, _ = c.Write([]byte(answer))
			}
			c.Close()
		}
	})
	return l.Addr().String()
}

// TestOpenWithoutTLS opens a server that does not speak TLS.
func TestOpenWithoutTLS(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	defer server.Wait()
	defer l.Close()
	server.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		request := make([]byte, 8)
		if _, err := io.ReadFull(c, request); err != nil {
			t.Error(err)
		}
		if _, err := c.Write([]byte("N")); err != nil {
			t.Error(err)
		}
	})
	refused(t, options("postgres://u:"+secret+"@"+l.Addr().String()+"/d?sslmode=require"), "does not speak TLS", "sslmode=disable")
}

func TestOpenEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the operator gave up")
	cancel(why)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		o := options(dbtest.Empty(t, e))
		db, err := database.Open(ctx, o)
		if err == nil {
			db.Close()
			t.Fatalf("got an open database, want %v", why)
		}
		if !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
	})
}

// TestOpenSpecialCharacters opens databases as a user whose name and password have every kind of character.
func TestOpenSpecialCharacters(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, e dbtest.Engine, u *url.URL) {
		const password = `p@s:s/w?o#r%d&+ =é'"\[]`
		user := "ro:st@er/" + strings.ToLower(rand.Text()[:8])
		admin := open(t, options(u.String()))
		literal := strings.ReplaceAll(password, "'", "''")
		if e == dbtest.PostgreSQL {
			write(t, admin, fmt.Sprintf(`CREATE ROLE "%s" LOGIN PASSWORD '%s'`, user, literal))
			t.Cleanup(func() { drop(t, admin, fmt.Sprintf(`DROP ROLE "%s"`, user)) })
		} else {
			literal = strings.ReplaceAll(literal, `\`, `\\`)
			write(t, admin, fmt.Sprintf(`CREATE USER '%s'@'%%' IDENTIFIED BY '%s'`, user, literal),
				fmt.Sprintf("GRANT ALL ON `%s`.* TO '%s'@'%%'", u.Path[1:], user))
			t.Cleanup(func() { drop(t, admin, fmt.Sprintf(`DROP USER '%s'@'%%'`, user)) })
		}
		u.User = url.UserPassword(user, password)
		open(t, options(u.String()))

		u.User = url.UserPassword(user, password+"x")
		_, err := database.Open(t.Context(), options(u.String()))
		if err == nil {
			t.Fatal("a wrong password: got an open database, want an error")
		}
		for _, shown := range []string{password, url.QueryEscape(password), url.PathEscape(password), u.User.String()} {
			if strings.Contains(err.Error(), shown) {
				t.Errorf("got an error with the password, want none: %v", err)
			}
		}
	})
}

// drop runs a statement after a test.
func drop(t *testing.T, db *database.DB, statement string) {
	t.Helper()
	s := db.Session(database.Write)
	defer s.Rollback()
	if err := run(context.WithoutCancel(t.Context()), s, statement); err != nil {
		t.Error(err)
	}
	if err := s.Commit(); err != nil {
		t.Error(err)
	}
}

// TestOpenHosts names several servers. Only the last one runs.
func TestOpenHosts(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(dbtest.Empty(t, dbtest.PostgreSQL))
	if err != nil {
		t.Fatal(err)
	}
	right := u.Host
	for name, c := range map[string]struct {
		host    string
		timeout time.Duration // the first host gets half of it
	}{
		"first one closed":         {closed(t), time.Minute},
		"first one silent":         {silent(t), 6 * time.Second},
		"first one does not exist": {"nowhere.invalid", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := *u
			u.Host = c.host + "," + right
			o := options(u.String())
			o.ConnectTimeout = c.timeout
			db := open(t, o)
			if n, err := number(t.Context(), db.Session(database.Single), "SELECT 42"); n != 42 || err != nil {
				t.Errorf("got %d, %v, want 42", n, err)
			}
		})
	}
	t.Run("both closed", func(t *testing.T) {
		t.Parallel()
		u := *u
		u.Host = closed(t) + "," + closed(t)
		refused(t, options(u.String()), u.Host, "check host and port")
	})
}

func TestOpenSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	random := make([]byte, 8192)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "random.db")
	if err := os.WriteFile(file, random, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		part string
	}{
		"directory missing": {filepath.Join(dir, "missing", "roster.db"), "the directory " + filepath.Join(dir, "missing") + " does not exist"},
		"below a file":      {filepath.Join(file, "roster.db"), file + " does not exist"},
		"directory":         {dir, "is a directory"},
		"no database":       {file, "not an SQLite database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, options("sqlite:"+c.path), c.path, c.part)
		})
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(random) {
		t.Errorf("the file that is no database: got %d other bytes, %v, want the same", len(now), err)
	}
}

// TestOpenPath opens files whose names have characters with a meaning in URLs.
func TestOpenPath(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"roster.db", "a b.db", "a?b=c&_pragma=x.db", "a#b.db", "100%.db", "%41.db", "a+b.db", "a:b.db", "日本.db"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), name)
			db := open(t, options("sqlite:"+path))
			write(t, db, "CREATE TABLE things (id int)")
			if n, err := number(t.Context(), db.Session(database.Single), "SELECT count(*) FROM things"); n != 0 || err != nil {
				t.Errorf("got %d, %v, want 0", n, err)
			}
			if _, err := db.MigrateUp(t.Context()); err != nil {
				t.Error(err)
			}
			files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if !strings.HasPrefix(file, path) {
					t.Errorf("got the file %s, want only names that begin with %s", file, path)
				}
				if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s: got mode %v, %v, want no rights for others", file, info.Mode(), err)
				}
			}
			if len(files) < 2 {
				t.Errorf("got the files %q, want at least 2", files)
			}
		})
	}
}
