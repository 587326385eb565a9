package database

// Files returns the paths of the database's files on this machine, also of those that do not exist. The database is the
// first. The names of the others begin with its path. A database on a server has no files here.
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
