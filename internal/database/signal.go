package database

import "context"

// Signal sends a text to all listeners on a channel of this database, also to those of this program. Listeners that are
// not connected miss it, and some engines have no signals. So a signal may save waiting, but nothing may depend on it.
// Signal does not wait for a free connection. The error is a Failure.
func (db *DB) Signal(ctx context.Context, channel, text string) error {
	statement := db.engine.signal()
	if statement == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, db.options.StatementTimeout)
	defer cancel()
	if _, err := db.write.db.ExecContext(ctx, statement, channel, text); err != nil {
		return db.failed(db.write, db.fail(err))
	}
	return nil
}

// Listen calls heard with each text on a channel of this database until ctx ends, one call at a time. An empty text
// means that the listener is connected, or no longer: texts may have been missed, and may be missed from now on. Listen has
// its own connection, and opens it again whenever it breaks. On an engine without signals it returns at once.
func (db *DB) Listen(ctx context.Context, channel string, heard func(text string)) {
	db.engine.listen(ctx, db.options, channel, heard)
}

// Signal is DB.Signal. It is no part of the session's transaction: call it after the commit.
func (s *Session) Signal(ctx context.Context, channel, text string) error {
	return s.db.Signal(ctx, channel, text)
}
