//go:build !linux

package process

import "syscall"

func signalWhenOrphaned(*syscall.SysProcAttr, syscall.Signal) {}
