package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"
)

// An ArgumentError says that an argument of a statement has more bytes than the server accepts. It is in a Failure of
// kind TooLarge.
type ArgumentError struct{ Bytes, Limit int }

func (e *ArgumentError) Error() string {
	return fmt.Sprintf("has %d bytes, and the database takes %d in one value: raise its max_allowed_packet", e.Bytes, e.Limit)
}

// ArgumentLimit returns the limit of one argument of a statement, in bytes. 0 is no limit.
func (s *Session) ArgumentLimit() int { return s.db.argumentLimit() }

func (db *DB) argumentLimit() int {
	if e, ok := db.engine.(interface{ argumentLimit() int }); ok {
		return e.argumentLimit()
	}
	return 0
}

// Fits checks that the database accepts a text as an argument. The error is an ArgumentError.
func (s *Session) Fits(text string) error {
	if limit := s.ArgumentLimit(); limit > 0 && len(text) > limit {
		return &ArgumentError{Bytes: len(text), Limit: limit}
	}
	return nil
}

// allFit checks the arguments of a statement.
func (s *Session) allFit(args any) error {
	list, _ := args.([]any)
	for _, arg := range list {
		if text, ok := arg.(string); ok {
			if err := s.Fits(text); err != nil {
				return err
			}
		}
	}
	return nil
}

// packetConnector learns max_allowed_packet from each connection that it opens.
type packetConnector struct {
	driver.Connector
	packet *atomic.Int64
}

// newPacketConnector returns a connector whose driver keeps each packet within max_allowed_packet of the server. The
// driver sends a long argument in pieces. The whole argument must be within the limit too.
func newPacketConnector(c *mysql.Config, packet *atomic.Int64) (driver.Connector, error) {
	connector, err := mysql.NewConnector(c)
	return &packetConnector{connector, packet}, err
}

// Connect implements driver.Connector.
func (c *packetConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	n, err := maxAllowedPacket(ctx, conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.packet.Store(n)
	return conn, nil
}

func maxAllowedPacket(ctx context.Context, conn driver.Conn) (n int64, err error) {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, "SELECT @@max_allowed_packet", nil) //nolint:errcheck // MySQL's driver is
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	value := make([]driver.Value, 1)
	if err := rows.Next(value); err != nil {
		return 0, err
	}
	switch v := value[0].(type) {
	case int64:
		return v, nil
	case uint64:
		return int64(v), nil //nolint:gosec // at most 1 GiB
	case []byte:
		return strconv.ParseInt(string(v), 10, 64)
	}
	return 0, fmt.Errorf("max_allowed_packet is a %T", value[0])
}
