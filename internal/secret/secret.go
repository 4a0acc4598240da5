// Package secret reads secrets from where they are kept: an environment variable,
// or a file that only its owner can read.
//
// The one thing to know before using it: a configuration holds a [Source] and
// never the secret itself, so that it can be shown, logged and kept in a repository.
package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
)

// A Source says where a secret comes from: an environment variable or a file,
// never the configuration itself. The zero value names none.
type Source struct {
	Env  string `yaml:"env"`  // name of an environment variable
	File string `yaml:"file"` // a file that only its owner can read
}

// Set reports whether the secret comes from anywhere.
func (s Source) Set() bool { return s != Source{} }

// LogValue implements [slog.LogValuer]: it says where the secret comes from.
func (s Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String says where the secret comes from.
func (s Source) String() string {
	switch {
	case s.Env != "":
		return "$" + s.Env
	case s.File != "":
		return s.File
	}
	return "not configured"
}

// Read gives the secret without white space around it. It is an error if it is
// empty, or if others than its owner can read the file. No error quotes it.
func (s Source) Read() (string, error) {
	if s.Env != "" {
		v := string(bytes.TrimSpace([]byte(os.Getenv(s.Env))))
		if v == "" {
			return "", fmt.Errorf("environment variable %s is not set: set it before starting the server", s.Env)
		}
		return v, nil
	}
	if s.File == "" {
		return "", errors.New("no secret configured")
	}
	data, err := ReadFile(s.File)
	if err != nil {
		return "", err
	}
	if data = bytes.TrimSpace(data); len(data) == 0 {
		return "", fmt.Errorf("file %q is empty: a secret was expected in it", s.File)
	}
	return string(data), nil
}

// ReadFile reads a file that holds a secret, and refuses one that others
// than its owner can read.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Asked of the open file, so that what is checked is what is read.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("file %q holds a secret and others can read it (mode %04o): chmod 600 %s, and replace the secret if others may have read it", name, mode, name)
	}
	if info.Size() > 1<<20 {
		return nil, fmt.Errorf("file %q has %d bytes: too long for a secret", name, info.Size())
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(f); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
