package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
)

// An ArgumentError says that an argument of a statement has more bytes than the server accepts. It is in a Failure of
// kind TooLarge.
type ArgumentError struct{ Bytes, Limit int }

func (e *ArgumentError) Error() string {
	return fmt.Sprintf("has %d bytes, and the database takes %d in one value: raise its max_allowed_packet", e.Bytes, e.Limit)
}

// ArgumentLimit returns the limit of one argument of a statement, in bytes. 0 is no limit.
func (s *Session) ArgumentLimit() int { return s.db.engine.argumentLimit() }

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

// packetConnector learns max_allowed_packet from each connection that it opens. The driver keeps each packet within this
// limit, and sends a long argument in pieces. The whole argument must be within the limit too.
type packetConnector struct {
	driver.Connector
	packet *atomic.Int64
}

// Connect implements driver.Connector.
func (c *packetConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	n, err := maxAllowedPacket(ctx, conn.(driver.QueryerContext)) //nolint:errcheck // MySQL's driver is
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.packet.Store(n)
	return conn, nil
}

func maxAllowedPacket(ctx context.Context, conn driver.QueryerContext) (int64, error) {
	rows, err := conn.QueryContext(ctx, "SELECT @@max_allowed_packet", nil)
	if err != nil {
		return 0, err
	}
	value := make([]driver.Value, 1)
	err = errors.Join(rows.Next(value), rows.Close())
	var n sql.Null[int64]
	err = errors.Join(err, n.Scan(value[0]))
	return n.V, err
}
