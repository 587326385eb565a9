package database

// Files returns the paths of the files that the database of a URL has on this machine, whether they are there or not: the
// database itself first, then those beside it, whose names begin with its path. A database behind a network has none.
func Files(url string) ([]string, error) {
	e, err := parse(url)
	if err != nil {
		return nil, err
	}
	s, ok := e.(*sqliteEngine)
	if !ok {
		return nil, nil
	}
	files := []string{s.path}
	for _, suffix := range []string{"-wal", "-shm", "-journal", "-migrate", "-migrate-journal"} {
		files = append(files, s.path+suffix)
	}
	return files, nil
}
