package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/signalbox-dev/signalbox/test/scratch"
)

// The auditor's programs. Neither is part of the running server: one is ours
// and small, the other was written by people who do not know us.
type outsiders struct {
	verify string // signalbox-verify
	fsck   string // Tessera's
}

const verifier = "github.com/signalbox-dev/signalbox/cmd/signalbox-verify"

// summon finds the programs, before anything is started, so that a story does
// not end for the lack of one; Tessera's only for a story that calls it. What
// has to be built goes to folder.
func summon(ctx context.Context, c Config, folder string, fsck bool) (outsiders, error) {
	var o outsiders
	var err error
	if o.fsck, err = find(c.Fsck, "fsck"); err != nil && fsck {
		return o, fmt.Errorf("the log checker of Tessera: %w: build it with `make foreign-tools`", err)
	}
	if o.verify, err = find(c.Verify, "signalbox-verify"); err == nil {
		return o, nil
	}
	o.verify = filepath.Join(folder, "signalbox-verify")
	build := exec.CommandContext(ctx, "go", "build", "-o", o.verify, verifier)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, berr := build.CombinedOutput(); berr != nil {
		return o, fmt.Errorf("the auditor's program: %w, and it cannot be built here (%w): build it with `make build`\n%s", err, berr, out)
	}
	return o, nil
}

// find gives the path of a program: as configured, beside the running program,
// or where test/setup puts it in the source.
func find(configured, name string) (string, error) {
	if configured != "" {
		_, err := os.Stat(configured)
		return configured, err
	}
	var places []string
	if self, err := os.Executable(); err == nil {
		places = append(places, filepath.Dir(self))
	}
	if root := scratch.Source(); root != "" {
		places = append(places, filepath.Join(root, ".cache", "bin"))
	}
	for _, dir := range places {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s", name, strings.Join(places, " or "))
}

// forge copies a published log and puts another name in the place of the
// agent's, everywhere in the entries and of the same length.
func forge(from, to, name, instead string) error {
	if len(name) != len(instead) {
		return errors.New("a forger changes no length")
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return fmt.Errorf("copy the log: %w", err)
	}
	changed := 0
	err := filepath.WalkDir(filepath.Join(to, "tile", "entries"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		forged := bytes.ReplaceAll(text, []byte(`"`+name+`"`), []byte(`"`+instead+`"`))
		if bytes.Equal(text, forged) {
			return nil
		}
		changed++
		return overwrite(path, forged)
	})
	if err == nil && changed == 0 {
		err = fmt.Errorf("no entry names %q", name)
	}
	return err
}

// overwrite replaces a file that may be read-only, as published files are.
func overwrite(path string, text []byte) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
