package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// What README.md shows is what there is: its commands are understood, its
// configuration is read, its targets, folders and documents exist.
func TestReadme(t *testing.T) {
	const root = "../.."
	data, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)

	commands := 0
	for _, block := range fenced(text, "sh") {
		for line := range strings.Lines(block) {
			commands++
			understood(t, strings.TrimSpace(line))
		}
	}
	if commands < 10 {
		t.Errorf("found %d commands: is the README still read rightly?", commands)
	}

	files := fenced(text, "yaml")
	if len(files) != 1 {
		t.Errorf("%d configurations, want 1", len(files))
	}
	for _, file := range files {
		name := filepath.Join(t.TempDir(), "signalbox.yaml")
		if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Read(name)
		if err != nil {
			t.Errorf("configuration: %v", err)
		} else if len(c.Gates) != 2 || !c.Production() {
			t.Errorf("configuration: %+v", c.Gates)
		}
	}

	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)(?:^    |`)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
		if !strings.Contains(string(makefile), "\n"+m[1]+":") {
			t.Errorf("make %s: there is no such target", m[1])
		}
	}

	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("link to %s: %v", m[1], err)
		}
	}
	for _, dir := range tree(text) {
		if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
			t.Errorf("the tree shows a folder %s, which is not there", dir)
		}
	}
}

// fenced gives the blocks of code of one language.
func fenced(text, language string) []string {
	var blocks []string
	for {
		_, rest, ok := strings.Cut(text, "\n```"+language+"\n")
		if !ok {
			return blocks
		}
		block, after, _ := strings.Cut(rest, "\n```\n")
		blocks, text = append(blocks, block+"\n"), after
	}
}

// understood wants that a command line is taken by the program that it names.
func understood(t *testing.T, line string) {
	t.Helper()
	if strings.HasPrefix(line, "signalbox-verify ") {
		// The demo runs it in this form.
		if !regexp.MustCompile(`^signalbox-verify log \S+ --key \S+$`).MatchString(line) {
			t.Errorf("%s: not the form that is tested", line)
		}
		return
	}
	words := shellWords(line)
	if len(words) == 0 || words[0] != "signalbox" {
		t.Errorf("%s: not one of our programs", line)
		return
	}
	p := &program{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	command, rest, err := p.root().Find(words[1:])
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	if err := command.ParseFlags(rest); err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	if args := command.Flags().Args(); command.HasSubCommands() && len(args) > 0 {
		t.Errorf("%s: %s has no command %q", line, command.CommandPath(), args[0])
	}
	if err := command.ValidateArgs(command.Flags().Args()); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	if err := command.ValidateFlagGroups(); err != nil {
		t.Errorf("%s: %v", line, err)
	}
}

// shellWords splits a line as a shell does, as far as the README needs it.
func shellWords(line string) []string {
	var words []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		words = append(words, m[1]+m[2]+m[3])
	}
	return words
}

// tree gives the folders that the picture of the tree shows.
func tree(text string) []string {
	var dirs []string
	parent := ""
	for _, m := range regexp.MustCompile(`(?m)^    (│   )?[├└]── (\S+)/`).FindAllStringSubmatch(text, -1) {
		if m[1] == "" {
			parent = m[2]
			dirs = append(dirs, m[2])
			continue
		}
		dirs = append(dirs, parent+"/"+m[2])
	}
	return dirs
}
