package limits

// Limits returns what the checker allows.
func (c *Checker) Limits() Limits { return c.limits }
