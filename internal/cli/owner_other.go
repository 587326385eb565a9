//go:build !unix

package cli

import "os"

// keepOwner does nothing: on this system, the directory decides on the owner.
func keepOwner(*os.File, os.FileInfo) {}
