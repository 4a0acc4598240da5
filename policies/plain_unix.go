//go:build unix

package policies

import "syscall"

// plainFlags follow no link, and do not wait at a pipe.
const plainFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
