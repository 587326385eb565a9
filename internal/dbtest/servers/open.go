package servers

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/lib/pq"
)

// Open connects to the database or the server of a postgres or mysql URL, as an administrator: it adds no settings to
// the URL. Roster itself opens databases with package database.
func Open(address string) (*sql.DB, error) {
	u, err := url.Parse(address)
	if err != nil {
		if invalid, ok := errors.AsType[*url.Error](err); ok {
			err = invalid.Err // without the URL, which has the password
		}
		return nil, fmt.Errorf("open a test database: its URL is malformed: %w", err)
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		// The driver wants several hosts and their ports as two lists.
		var hosts, ports []string
		for host := range strings.SplitSeq(u.Host, ",") {
			name, port, err := net.SplitHostPort(host)
			if err != nil {
				name, port = host, "5432"
			}
			hosts, ports = append(hosts, name), append(ports, port)
		}
		if len(hosts) > 1 {
			query := u.Query()
			query.Set("host", strings.Join(hosts, ","))
			query.Set("port", strings.Join(ports, ","))
			u.Host, u.RawQuery = "", query.Encode()
		}
		connector, err := pq.NewConnector(u.String())
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", u.Redacted(), err)
		}
		return sql.OpenDB(connector), nil
	case "mysql":
		c, err := mysql.ParseDSN("tcp(" + u.Host + ")" + u.Path + "?" + u.RawQuery)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", u.Redacted(), err)
		}
		c.User = u.User.Username()
		c.Passwd, _ = u.User.Password()
		c.Logger = &mysql.NopLogger{} // errors are returned
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", u.Redacted(), err)
		}
		return sql.OpenDB(connector), nil
	default:
		return nil, fmt.Errorf("open %s: neither a postgres nor a mysql URL", u.Redacted())
	}
}
