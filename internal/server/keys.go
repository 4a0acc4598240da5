package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// minter gives the minter of all credentials, from the configured master key or
// from the one in the data folder, which is made on first start.
func minter(c config.Config) (*session.Minter, error) {
	text, err := c.MasterKey.Read()
	if !c.MasterKey.Set() {
		text, err = keep(filepath.Join(c.Data, "master.key"), func() string {
			key := make([]byte, session.MasterKeySize)
			rand.Read(key) // never fails: crypto/rand ends the program instead
			return hex.EncodeToString(key)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != session.MasterKeySize {
		// The decoder's error would quote the key.
		return nil, fmt.Errorf("master key: want %d hexadecimal characters (make one with: openssl rand -hex %d)",
			2*session.MasterKeySize, session.MasterKeySize)
	}
	return session.NewMinter(key)
}

// origin gives the log's name: as configured, or a random one that the data
// folder remembers.
func origin(c config.Config) (string, error) {
	if c.Log.Origin != "" {
		return c.Log.Origin, nil
	}
	name, err := keep(filepath.Join(c.Data, "log.origin"), func() string {
		b := make([]byte, 8)
		rand.Read(b)
		return "signalbox.local/" + hex.EncodeToString(b)
	})
	if err != nil {
		return "", fmt.Errorf("log's name: %w", err)
	}
	return name, nil
}

// keep reads a small private file, or makes it. Of two processes that start at
// once one makes it and both read the same.
func keep(name string, make func() string) (string, error) {
	data, err := secret.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(name, make()+"\n"); err != nil {
			return "", err
		}
		data, err = secret.ReadFile(name)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(data)), nil
}

// create writes a private file whole beside its place and links it in, so that
// a crash leaves no half of it, and an existing one is never replaced.
func create(name, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := tmp.WriteString(text); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
