package config_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// docs/configuration.md describes every key, and none that is not there; its
// example is a good configuration.
func TestDocumented(t *testing.T) {
	data, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	all := keys(reflect.TypeFor[config.Config](), "")
	for _, k := range server.Kinds() {
		all = append(all, keys(reflect.TypeOf(k.Settings()).Elem(), "")...)
	}
	for _, key := range all {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("docs/configuration.md does not describe %q", key)
		}
	}
	known := map[string]bool{}
	for _, key := range append(all, "env", "file") {
		known[key] = true
	}
	tables, _, _ := strings.Cut(text, "## Addresses")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|").FindAllStringSubmatch(tables, -1) {
		for key := range strings.SplitSeq(row[1], ", ") {
			if key = strings.Trim(key, "`"); !known[key] {
				t.Errorf("docs/configuration.md describes %q, which is no key", key)
			}
		}
	}
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(text)[1]
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/policies", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"/tls.crt", "/tls.key"} {
		if err := os.WriteFile(dir+f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	example = strings.ReplaceAll(example, "/etc/signalbox", dir)
	if _, err := config.Parse(dir+"/signalbox.yaml", []byte(example), server.Kinds()); err != nil {
		t.Errorf("the example: %v", err)
	}
}

// keys lists the keys of a configuration, those of gates without "gates[0].".
func keys(t reflect.Type, path string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), ".")
		switch {
		case f.Tag.Get("yaml") == "-": // not of the file
		case f.Type == reflect.TypeFor[secret.Source]():
			out = append(out, key)
		case f.Type.Kind() == reflect.Struct:
			out = append(out, keys(f.Type, key)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			out = append(append(out, key), keys(f.Type.Elem(), "")...)
		default:
			out = append(out, key)
		}
	}
	return out
}
