package statement

// Len returns the number of texts.
func (t *Texts) Len() int { return len(t.byForm) }
