package main

import (
	"crypto/x509"
	"path/filepath"
	"testing"
)

// TestBuiltInRoots looks for CA certificates where the machine has none.
func TestBuiltInRoots(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	t.Setenv("SSL_CERT_FILE", nowhere)
	t.Setenv("SSL_CERT_DIR", nowhere)
	pool, err := x509.SystemCertPool()
	if err != nil || pool.Equal(x509.NewCertPool()) {
		t.Errorf("got %v and an empty pool, want the built-in CA certificates", err)
	}
}
