package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/server/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (run with -update to accept):\n%s", name, d)
	}
}

func TestMistakes(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	if len(files) < 10 {
		t.Fatalf("%d files in testdata/bad", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := config.Read(file)
			var es config.Errors
			if !errors.As(err, &es) {
				t.Fatalf("got %v, want config.Errors", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("the error quotes a secret: %v", err)
			}
			var b strings.Builder
			for _, e := range es {
				b.WriteString(e.Error() + "\n")
				if e.Hint != "" {
					b.WriteString("  hint: " + e.Hint + "\n")
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", b.String())
		})
	}
}

func TestGood(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.yaml")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// A path that is the same on every machine, for the golden file.
			c, err := config.Parse("/etc/signalbox/signalbox.yaml", data)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(data), "replica:") {
				c.Replica = "(host)"
			}
			b, err := json.MarshalIndent(c, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", string(b)+"\n")
		})
	}
}

func TestSecret(t *testing.T) {
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
		secret config.Secret
		want   string
		err    string
	}{
		{secret: config.Secret{Env: "SECRET_HERE"}, want: "hunter2"},
		{secret: config.Secret{Env: "SECRET_NOT_HERE"}, err: "is not set"},
		{secret: config.Secret{File: closed}, want: "hunter2"},
		{secret: config.Secret{File: open}, err: "chmod 600"},
		{secret: config.Secret{File: empty}, err: "is empty"},
		{secret: config.Secret{File: dir}, err: "is a folder"},
		{secret: config.Secret{File: filepath.Join(dir, "missing")}, err: "no such file"},
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

// Whatever the file holds, reading it ends in a configuration or in mistakes
// that say where they are.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		files, _ := filepath.Glob("testdata/" + dir + "/*.yaml")
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := config.Parse("signalbox.yaml", data)
		var es config.Errors
		if err != nil && (!errors.As(err, &es) || len(es) == 0) {
			t.Fatalf("%q: got %v (%T), want config.Errors", data, err, err)
		}
	})
}
