//go:build !unix

package policies

// plainFlags: such a system has no links and pipes that open like files.
const plainFlags = 0
