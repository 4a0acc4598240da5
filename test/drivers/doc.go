// Package drivers has real clients of PostgreSQL do a day's ordinary work, each with
// its own habits on the wire: directly, and through a gate as an agent's session in
// production under the default policies. Nothing of it may be held, the answers must
// be the same, and so must the rows that are there in the end.
//
// The scripts are in the folder scripts: each is told where to connect by libpq's
// environment variables, and writes what it was answered to its standard output.
// What they need is installed by `make drivers-setup`.
package drivers
