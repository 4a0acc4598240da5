//go:build unix

package pgtest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// folderPrefix marks our folders in the system's temporary folder.
const folderPrefix = "signalbox-pg-"

// folder is where one server lives: data/ and run/ belong to the server's user,
// the rest to us. While we live we hold a lock on the file named owner.
type folder struct {
	path  string
	owner *os.File
	cred  *syscall.Credential // whom the server runs as; nil: as we do
}

// newFolder makes a folder, and removes those whose owners died.
func newFolder() (*folder, error) {
	sweep()
	cred, err := serverUser()
	if err != nil {
		return nil, err
	}
	// Not t.TempDir: that is closed to the user that the server runs as, and its
	// path may be too long for a Unix socket.
	path, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	f := &folder{path: path, cred: cred}
	if err := f.fill(); err != nil {
		f.remove()
		return nil, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	return f, nil
}

func (f *folder) fill() error {
	owner, err := os.OpenFile(filepath.Join(f.path, "owner"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.owner = owner
	if err := syscall.Flock(int(owner.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	if err := os.Chmod(f.path, 0o711); err != nil { // the server's user must pass through
		return err
	}
	for _, name := range []string{"data", "run"} {
		dir := filepath.Join(f.path, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := f.give(dir); err != nil {
			return err
		}
	}
	return nil
}

// give makes path belong to the server's user.
func (f *folder) give(path string) error {
	if f.cred == nil {
		return nil
	}
	return os.Chown(path, int(f.cred.Uid), int(f.cred.Gid))
}

func (f *folder) remove() {
	// Failing to remove is no failure of the test; the next sweep tries again.
	_ = os.RemoveAll(f.path)
	if f.owner != nil {
		_ = f.owner.Close()
	}
}

// serverUser is the user postgres when we are root, since PostgreSQL refuses to
// run as root.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root, and there is no user postgres: run `make setup`: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user postgres: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// sweep removes the folders of processes that died without Close. Their lock is
// free, whatever has become of their process id; a folder just being made has no
// owner file yet and is left alone.
func sweep() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		owner, err := os.OpenFile(filepath.Join(dir, "owner"), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(owner.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = owner.Close()
	}
}
