//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
)

// ErrNotInstalled is returned when no PostgreSQL server programs are found.
// A test that meets it fails rather than skips: a promise that was not tested
// must not look like one that was.
var ErrNotInstalled = errors.New("PostgreSQL server programs not found: run `make setup`, or set SIGNALBOX_PG_BIN to the folder of initdb and postgres")

// BinDir returns the folder that holds initdb, postgres, psql and pgbench.
//
// SIGNALBOX_PG_BIN names it; otherwise it is the newest version among the
// folders where Debian, Homebrew and the PostgreSQL packages for RPM systems
// put it, and last the folder of the initdb on PATH.
func BinDir() (string, error) {
	if dir := os.Getenv("SIGNALBOX_PG_BIN"); dir != "" {
		if !isServerDir(dir) {
			return "", fmt.Errorf("SIGNALBOX_PG_BIN=%q holds no initdb and postgres: %w", dir, ErrNotInstalled)
		}
		return dir, nil
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for PostgreSQL in %q: %w", pattern, err)
		}
		sort.Slice(dirs, func(i, j int) bool { return version(dirs[i]) > version(dirs[j]) })
		for _, dir := range dirs {
			if isServerDir(dir) {
				return dir, nil
			}
		}
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if dir := filepath.Dir(initdb); isServerDir(dir) {
			return dir, nil
		}
	}
	return "", ErrNotInstalled
}

// Versions are the further major versions that `make setup` puts into .cache, besides
// the system's.
var Versions = []string{"17", "18"}

// binDir is BinDir for a version of the system's, "", or one of Versions.
func binDir(version string) (string, error) {
	if version == "" {
		return BinDir()
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if bin := filepath.Join(dir, ".cache", "postgres", version, "bin"); isServerDir(bin) {
			return bin, nil
		}
	}
	return "", fmt.Errorf("PostgreSQL %s: %w", version, ErrNotInstalled)
}

func isServerDir(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// version reads the major version out of a path such as
// /usr/lib/postgresql/15/bin; 0 when there is none.
func version(dir string) int {
	name := filepath.Base(filepath.Dir(dir))
	i := len(name)
	for i > 0 && name[i-1] >= '0' && name[i-1] <= '9' {
		i--
	}
	n, err := strconv.Atoi(name[i:])
	if err != nil {
		return 0
	}
	return n
}
