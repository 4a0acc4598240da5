// Fuzzcorpus keeps, of the inputs that a fuzz target has found interesting, a small
// set that reaches the same statements, and writes it to its package's
// testdata/fuzz. Statements of the packages that it imports count too, those of the
// standard library excepted: the parser is often somebody else's.
//
//	go run ./test/fuzzcorpus ./internal/gate/pgwire FuzzFrontend
//
// Candidates are what testdata/fuzz holds already and what the fuzzer left in Go's
// build cache. The one that reaches the most statements not yet reached, by the
// seeds of the target or by another, is kept, and so on until none adds any. So a
// committed input stays as long as nothing reaches the same without it; one that
// once failed a test is named regression-… and stays in any case.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxFiles = 60
	maxBytes = 4 << 10
	pinned   = "regression-"
)

func main() {
	if len(os.Args) != 3 || !strings.HasPrefix(os.Args[2], "Fuzz") {
		fmt.Fprintln(os.Stderr, "usage: go run ./test/fuzzcorpus PACKAGE TARGET, as in ./internal/gate/pgwire FuzzFrontend")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "fuzzcorpus: %v\n", err)
		os.Exit(1)
	}
}

func run(pkg, target string) error {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}\n{{.ImportPath}}", pkg).Output()
	if err != nil {
		return fmt.Errorf("find package %q: %w", pkg, err)
	}
	dir, path, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if out, err = exec.Command("go", "env", "GOCACHE").Output(); err != nil {
		return fmt.Errorf("find the build cache: %w", err)
	}
	cache := filepath.Join(strings.TrimSpace(string(out)), "fuzz", filepath.FromSlash(path), target)
	corpus := filepath.Join(dir, "testdata", "fuzz", target)

	inputs, err := read(corpus)
	if err != nil {
		return err
	}
	found, err := read(cache)
	if err != nil {
		return err
	}
	for name, data := range found {
		if len(data) <= maxBytes {
			inputs[name] = data
		}
	}

	// The test binary reads its corpus from testdata: all candidates stand there
	// while they are measured. If this is cut short, git shows what to remove.
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		return err
	}
	for name, data := range inputs {
		if err := os.WriteFile(filepath.Join(corpus, name), data, 0o644); err != nil {
			return err
		}
	}
	kept, err := choose(dir, target, inputs)
	if err != nil {
		return err
	}
	for name := range inputs {
		if !kept[name] {
			if err := os.Remove(filepath.Join(corpus, name)); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%s %s: %d of %d inputs kept\n", pkg, target, len(kept), len(inputs))
	if len(kept) == 0 {
		return os.Remove(corpus)
	}
	return nil
}

// read gives the files of a folder, none if it is not there.
func read(dir string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		files[e.Name()] = data
	}
	return files, nil
}

// choose names the inputs to keep.
func choose(dir, target string, inputs map[string][]byte) (map[string]bool, error) {
	work, err := os.MkdirTemp("", "fuzzcorpus")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	binary := filepath.Join(work, "target.test")
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	list.Dir = dir
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list what the package imports: %w", err)
	}
	build := exec.Command("go", "test", "-c", "-coverpkg", strings.Join(strings.Fields(string(out)), ","), "-o",
		binary, ".")
	build.Dir, build.Stderr = dir, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the target: %w", err)
	}
	profile := filepath.Join(work, "profile")

	reached, err := coverage(binary, dir, profile, "^"+target+"$/^seed#")
	if err != nil {
		return nil, err
	}
	kept := make(map[string]bool)
	reaches := make(map[string]map[string]bool)
	names := make([]string, 0, len(inputs))
	for name := range inputs {
		one, err := coverage(binary, dir, profile, "^"+target+"$/^"+name+"$")
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		if strings.HasPrefix(name, pinned) {
			kept[name] = true
			add(reached, one)
			continue
		}
		reaches[name] = one
		names = append(names, name)
	}
	// Of inputs that add the same, the shorter one, and always the same one.
	slices.SortFunc(names, func(a, b string) int {
		if n := len(inputs[a]) - len(inputs[b]); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for len(kept) < maxFiles {
		best, most := "", 0
		for _, name := range names {
			adds := 0
			for block := range reaches[name] {
				if !reached[block] {
					adds++
				}
			}
			if adds > most {
				best, most = name, adds
			}
		}
		if best == "" {
			break
		}
		kept[best] = true
		add(reached, reaches[best])
	}
	return kept, nil
}

func add(to, from map[string]bool) {
	for block := range from {
		to[block] = true
	}
}

// coverage runs what a pattern names and gives the blocks of statements that it
// reached.
func coverage(binary, dir, profile, pattern string) (map[string]bool, error) {
	run := exec.Command(binary, "-test.run", pattern, "-test.coverprofile", profile)
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run %s: %w\n%s", pattern, err, out)
	}
	data, err := os.ReadFile(profile)
	if err != nil {
		return nil, err
	}
	blocks := make(map[string]bool)
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		if block, ok := strings.CutSuffix(lines.Text(), " 1"); ok {
			blocks[block] = true
		}
	}
	return blocks, nil
}
