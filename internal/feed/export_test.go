package feed

// Hears reports whether signals arrive.
func (f *Feed[N]) Hears() bool { return f.hears() }

// Later returns the cursor after more changes.
func (c Cursor) Later(changes int64) Cursor { return Cursor{c.epoch, c.number + changes} }

// Elsewhere returns the cursor of another database.
func (c Cursor) Elsewhere() Cursor { return Cursor{epoch{1}, c.number + 1} }
