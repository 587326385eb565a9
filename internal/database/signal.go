package database

import "context"

// signaler is an engine through which the programs on one database can wake each other.
type signaler interface {
	// signal is a statement with two parameters, the channel and the text.
	signal() string
	// listen calls heard until ctx ends, as Listen does.
	listen(ctx context.Context, o Options, channel string, heard func(text string))
}

// Signal says something to all who listen on a channel of this database, this program included. It is lost on those who
// are not connected, and on an engine that cannot do it: a signal saves waiting, and nothing may depend on it. It waits
// for no free connection. The error is a Failure.
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

// Listen calls heard with each text that is said on a channel of this database, and with an empty one when something may
// have been missed, one call at a time, until ctx ends. It has a connection of its own, which it opens again whenever it
// breaks. On an engine without signals it returns at once.
func (db *DB) Listen(ctx context.Context, channel string, heard func(text string)) {
	if s, ok := db.engine.(signaler); ok {
		s.listen(ctx, db.options, channel, heard)
	}
}
