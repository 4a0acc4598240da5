package secret_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/secret"
)

// The secret is read from where it is kept, and nobody else could read it there.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	open, closed, empty := filepath.Join(dir, "open"), filepath.Join(dir, "closed"), filepath.Join(dir, "empty")
	for name, mode := range map[string]os.FileMode{open: 0o644, closed: 0o600, empty: 0o600} {
		text := "hunter2\n"
		if name == empty {
			text = "\n"
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SECRET_HERE", " hunter2\n")
	for _, tt := range []struct {
		secret secret.Source
		want   string
		err    string
	}{
		{secret: secret.Source{Env: "SECRET_HERE"}, want: "hunter2"},
		{secret: secret.Source{Env: "SECRET_NOT_HERE"}, err: "is not set"},
		{secret: secret.Source{File: closed}, want: "hunter2"},
		{secret: secret.Source{File: open}, err: "chmod 600"},
		{secret: secret.Source{File: empty}, err: "is empty"},
		{secret: secret.Source{File: dir}, err: "is a folder"},
		{secret: secret.Source{File: filepath.Join(dir, "missing")}, err: "no such file"},
		{err: "no secret configured"},
	} {
		got, err := tt.secret.Read()
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %q, %v; want %q, %q", tt.secret, got, err, tt.want, tt.err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error quotes the secret: %v", err)
		}
	}
}
