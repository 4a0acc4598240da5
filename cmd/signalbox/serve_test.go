package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Everything that lies in the data folder by default goes where --data says.
func TestDataFolderOfTheCommandLine(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "signalbox.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := new(program).serverConfig(file, "", data)
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != data || c.Log.Key != filepath.Join(data, "log.key") {
		t.Errorf("data %q, log key %q, want both in %q", c.Data, c.Log.Key, data)
	}
	if c, err = new(program).serverConfig(file, "", ""); err != nil || c.Data != filepath.Join(dir, "signalbox-data") {
		t.Errorf("without --data: %q, %v", c.Data, err)
	}
}
