package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxCertificateBytes is the maximum size of a file of a certificate or its key. A chain has a few kilobytes.
	maxCertificateBytes = 1 << 20
	// checkInterval is the minimum time between two looks at the files.
	checkInterval = time.Second
)

// A Certificate is the TLS certificate of the server, in two files. It is loaded again when the contents of the files
// change, whether a program writes into them, replaces them, or sets a symbolic link. If the new contents are wrong,
// such as a new certificate with the old key, the old certificate remains in use.
type Certificate struct {
	certFile, keyFile string
	clock             func() time.Time
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate]

	mu      sync.Mutex // a handshake that holds it looks at the files
	checked time.Time
	state   string // what the files were at the last look: their hashes, or the error of reading them
}

// NewCertificate loads a certificate from PEM files. The error is that of reading, an *fs.PathError, or says what is wrong
// with the contents. clock returns the time. logger gets a line when another certificate is used, and when the files
// change and cannot be used.
func NewCertificate(certFile, keyFile string, clock func() time.Time, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, clock: clock, logger: logger, checked: clock()}
	_, err := c.load()
	return c, err
}

// Config returns a configuration of TLS 1.2 and later with the certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.check()
			return c.current.Load(), nil
		},
	}
}

// check loads the files again if they have changed. A handshake does not wait while another one does so.
func (c *Certificate) check() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	now := c.clock()
	if now.Sub(c.checked) < checkInterval {
		return
	}
	c.checked = now
	switch changed, err := c.load(); {
	case err != nil && changed:
		c.logger.Warn("the TLS certificate cannot be loaded: the old one remains in use", "error", err)
	case changed:
		c.logger.Info("the TLS certificate has changed", "expires", c.current.Load().Leaf.NotAfter)
	}
}

// load reads the files, and uses them if they are right. It reports whether they, or the error, are other than before.
func (c *Certificate) load() (changed bool, err error) {
	pem, key, state, err := c.read()
	changed = state != c.state
	c.state = state
	if err != nil || !changed {
		return changed, err
	}
	pair, err := tls.X509KeyPair(pem, key)
	if err != nil {
		return true, fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return true, nil
}

// read returns the contents of both files, and the state of the Certificate that they make.
func (c *Certificate) read() (pem, key []byte, state string, err error) {
	if pem, err = readPEM(c.certFile); err == nil {
		key, err = readPEM(c.keyFile)
	}
	if err != nil {
		return nil, nil, err.Error(), err
	}
	hashes := [2][sha256.Size]byte{sha256.Sum256(pem), sha256.Sum256(key)}
	return pem, key, string(bytes.Join([][]byte{hashes[0][:], hashes[1][:]}, nil)), nil
}

func readPEM(path string) ([]byte, error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxCertificateBytes+1))
	if err == nil && len(data) > maxCertificateBytes {
		err = fmt.Errorf("%s has more than %d bytes", path, maxCertificateBytes)
	}
	return data, err
}

// openRegular opens a regular file, or a link to one. A pipe could block a handshake for good. If one takes the place of the
// file between the two looks at it, O_NONBLOCK keeps its opening from blocking.
func openRegular(path string) (*os.File, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if err := regular(path, info); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// regular returns an *fs.PathError if info is not that of a regular file.
func regular(path string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return &fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
	case !info.Mode().IsRegular():
		return &fs.PathError{Op: "open", Path: path, Err: errors.New("it is not a regular file")}
	}
	return nil
}
