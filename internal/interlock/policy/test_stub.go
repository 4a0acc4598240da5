package policy

import "io/fs"

// TestFiles reads the *.yaml files in the top folder of fsys.
func TestFiles(fsys fs.FS) ([]File, error) { return nil, nil }
