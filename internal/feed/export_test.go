package feed

// Hears reports whether signals arrive.
func (f *Feed[N]) Hears() bool { return f.probes.Load() < lost }
