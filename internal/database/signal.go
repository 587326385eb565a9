package database

import "context"

// signaler is an engine that lets the programs on one database wake each other.
type signaler interface {
	// signal returns a statement with two parameters: the channel and the text.
	signal() string
	// listen calls heard until ctx ends, like Listen.
	listen(ctx context.Context, o Options, channel string, heard func(text string))
}

// Signal sends a text to all listeners on a channel of this database, also to those of this program. Listeners that are
// not connected miss it, and some engines have no signals. So a signal may save waiting, but nothing may depend on it.
// Signal does not wait for a free connection. The error is a Failure.
func (db *DB) Signal(ctx context.Context, channel, text string) error {
	s, ok := db.engine.(signaler)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, db.options.StatementTimeout)
	defer cancel()
	if _, err := db.write.db.ExecContext(ctx, s.signal(), channel, text); err != nil {
		return db.failed(db.write, db.fail(err))
	}
	return nil
}

// Listen calls heard with each text on a channel of this database until ctx ends, one call at a time. An empty text
// means that texts may have been missed. Listen has its own connection, and opens it again whenever it breaks. On an
// engine without signals it returns at once.
func (db *DB) Listen(ctx context.Context, channel string, heard func(text string)) {
	if s, ok := db.engine.(signaler); ok {
		s.listen(ctx, db.options, channel, heard)
	}
}
