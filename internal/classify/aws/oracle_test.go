package aws

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
)

// remains are operations that AWS calls a write and that are read all the same.
var remains = map[string]string{
	// It changes nothing and gives virtual credentials: what is done with them is
	// judged, and roles are counted.
	"sts:AssumeRole": "",
}

// Compares the verbs with the access levels that AWS publishes, as
// {"service": {"Action": "Read|List|Write|Tagging|Permissions management"}},
// gzipped: no write is taken for a read, and few reads for more.
//
//	SIGNALBOX_AWS_LEVELS=FILE go test -run TestAccessLevels -v ./internal/classify/aws
func TestAccessLevels(t *testing.T) {
	name := os.Getenv("SIGNALBOX_AWS_LEVELS")
	if name == "" {
		t.Skip("SIGNALBOX_AWS_LEVELS does not name a file")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	levels := map[string]map[string]string{}
	if err := json.NewDecoder(z).Decode(&levels); err != nil {
		t.Fatal(err)
	}
	known, reads, strict, all := 0, 0, 0, 0
	for _, s := range awswire.Services() {
		for _, o := range s.Operations() {
			all++
			level := ""
			for _, prefix := range []string{iamName(s), s.SigningName} {
				if level == "" {
					level = levels[prefix][o.Name]
				}
			}
			if level == "" {
				continue
			}
			known++
			c := classOf(iamName(s), o.Name)
			isRead := level == "Read" || level == "List"
			switch {
			case isRead && c.verb != signalbox.Read:
				reads++
				// A read that hands out secrets is meant to be more.
				if !slices.Contains(c.traits, signalbox.TraitCredentials) && !slices.ContainsFunc(c.besides, func(b besides) bool { return slices.Contains(b.traits, signalbox.TraitCredentials) }) {
					strict++
				}
				t.Logf("%s is a %s there, and %s here", iamName(s)+":"+o.Name, level, c.verb)
			case isRead:
				reads++
			case c.verb == signalbox.Read:
				if _, ok := remains[iamName(s)+":"+o.Name]; !ok {
					t.Errorf("%s:%s is a %s there, and read here", iamName(s), o.Name, level)
				}
			}
		}
	}
	t.Logf("%d operations, %d with a level, %d of them read or list; %d of these are more here", all, known, reads,
		strict)
	if reads == 0 || float64(strict) > 0.02*float64(reads) {
		t.Errorf("%d of %d reads are taken for more, want at most 2 %%", strict, reads)
	}
}

// Every operation that verbs.txt names is one, and is named once.
func TestVerbsNameOperations(t *testing.T) {
	have := map[string]bool{}
	var names []string
	for _, s := range awswire.Services() {
		for _, o := range s.Operations() {
			have[iamName(s)+":"+o.Name] = true
			names = append(names, iamName(s)+":"+o.Name)
		}
	}
	v := verbs()
	for key, sections := range v.exact {
		service, name, _ := strings.Cut(key, ":")
		if service == "*" {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ":"+name) }) {
				t.Errorf("no service has %s", name)
			}
		} else if !have[key] {
			t.Errorf("%s is no operation", key)
		}
		main := 0
		for _, s := range sections {
			if !s.plus {
				main++
			}
		}
		if main > 1 {
			t.Errorf("%s has %d verbs", key, main)
		}
	}
	for service, patterns := range v.patterns {
		for _, p := range patterns {
			if !slices.ContainsFunc(names, func(n string) bool {
				s, name, _ := strings.Cut(n, ":")
				return (service == "*" || s == service) && p.matches(name)
			}) {
				t.Errorf("%s:%s*%s matches nothing", service, p.prefix, p.suffix)
			}
		}
	}
}
