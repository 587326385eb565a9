//go:build !unix

package cli

import "os"

// keepOwner does nothing: the directory decides here whose a file is.
func keepOwner(*os.File, os.FileInfo) {}
