package admin

import "syscall"

// private lets only the user of the process connect to a Unix socket from its start: Linux gives the file of the socket the
// mode of its descriptor.
func private(_, _ string, conn syscall.RawConn) error {
	var err error
	if control := conn.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), socketMode) }); control != nil {
		return control
	}
	return err
}
