package testenv

import "syscall"

// endWithParent ends a process when this one is killed, as some tests do.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
