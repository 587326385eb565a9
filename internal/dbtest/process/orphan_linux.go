package process

import "syscall"

func signalWhenOrphaned(attributes *syscall.SysProcAttr, s syscall.Signal) { attributes.Pdeathsig = s }
