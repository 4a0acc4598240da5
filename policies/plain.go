package policies

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A plainFS is a folder whose plain files alone can be opened. What is listed as
// one may be a link or a pipe when it is opened: it is looked at again then.
type plainFS string

// Open implements [fs.FS].
func (dir plainFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return os.Open(string(dir))
	}
	f, err := os.OpenFile(filepath.Join(string(dir), filepath.FromSlash(name)), os.O_RDONLY|plainFlags, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
