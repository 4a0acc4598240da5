package proof

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
)

// The golden file fixes the encoding: a digest in an old log must be computed
// again for ever.
func TestDigestVectors(t *testing.T) {
	salt := bytes.Repeat([]byte{1}, 32)
	var b strings.Builder
	for _, c := range []struct {
		name   string
		domain string
		parts  []Part
	}{
		{"empty", "", nil},
		{"domain alone", "signalbox/example/1", nil},
		{"one text", "signalbox/example/1", []Part{Text("sql", "SELECT 1")}},
		{"empty text", "signalbox/example/1", []Part{Text("sql", "")}},
		{"null", "signalbox/example/1", []Part{Null("sql")}},
		{"empty list", "signalbox/example/1", []Part{List("sql")}},
		{"two texts", "signalbox/example/1", []Part{Text("sql", "SELECT $1"), Bytes("role", []byte("app"))}},
		{"list", "signalbox/example/1", []Part{Text("sql", "SELECT $1"),
			List("parameters", Text("", "7"), Null(""), Bytes("", []byte{0, 255}))}},
		{"nested lists", "signalbox/example/1", []Part{List("a", List("b", List("c"))), Text("d", "ü")}},
	} {
		d := CanonicalDigest(c.domain, c.parts...)
		fmt.Fprintf(&b, "%s\n  digest     %s\n  commitment %s\n  retry key  %s\n", c.name, d, Commit(salt, d),
			RetryKey(salt, "s-1", "postgres:orders", d))
	}
	golden(t, "digests.golden.txt", []byte(b.String()))
}

// Different arguments, different digests, also where their text runs together.
func TestCanonicalDigestIsInjective(t *testing.T) {
	seen := make(map[signalbox.Digest]string)
	for _, c := range []struct {
		domain string
		parts  []Part
	}{
		{"a", nil},
		{"", []Part{Text("a", "")}},
		{"", []Part{Text("", "a")}},
		{"", []Part{Null("a")}},
		{"", []Part{List("a")}},
		{"", []Part{List("", Text("a", ""))}},
		{"", []Part{List(""), Text("a", "")}},
		{"", []Part{Text("a", "b"), Text("c", "d")}},
		{"", []Part{Text("a", "bc"), Text("", "d")}},
		{"", []Part{Text("ab", "c"), Text("", "d")}},
		{"", []Part{Text("c", "d"), Text("a", "b")}},
		{"", []Part{List("", Text("a", "b")), Text("c", "d")}},
		{"", []Part{List("", Text("a", "b"), Text("c", "d"))}},
		{"", []Part{List("", Text("a", "b"), List("", Text("c", "d")))}},
		{"", []Part{Text("", "a\x00b")}},
		{"", []Part{Text("", "a"), Text("", "b")}},
	} {
		d, text := CanonicalDigest(c.domain, c.parts...), fmt.Sprintf("%q %v", c.domain, c.parts)
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have the same digest", text, other)
		}
		seen[d] = text
	}
}

func TestCommit(t *testing.T) {
	d := CanonicalDigest("x")
	one, two := NewSalt(), NewSalt()
	again := slices.Clone(one)
	if Commit(one, d) == Commit(two, d) || Commit(one, d) != Commit(again, d) || Commit(one, d) == d {
		t.Error("a commitment does not depend on salt and digest as it must")
	}
	if RetryKey(one, "s-1", "ab", d) == RetryKey(one, "s-1a", "b", d) ||
		RetryKey(one, "s", "t", d) == RetryKey(two, "s", "t", d) {
		t.Error("a retry key does not tell its arguments apart")
	}
	for name, f := range map[string]func(){
		"commit":    func() { Commit([]byte("short"), d) },
		"retry key": func() { RetryKey(nil, "s", "t", d) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: a weak secret was accepted", name)
				}
			}()
			f()
		}()
	}
}

// The encoding as documented, hashed by a program that knows nothing of us.
func TestCanonicalDigestByOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is needed to check digests independently:", err)
	}
	u64 := func(n byte) string { return "\x00\x00\x00\x00\x00\x00\x00" + string(n) }
	text := "signalbox digest v1\n" + u64(3) + "dom" + u64(2) +
		u64(3) + "sql" + "\x01" + u64(8) + "SELECT 1" +
		u64(1) + "p" + "\x02" + u64(1) + u64(0) + "\x00"
	cmd := exec.Command(openssl, "dgst", "-sha256", "-r")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := CanonicalDigest("dom", Text("sql", "SELECT 1"), List("p", Null("")))
	if want, _, _ := strings.Cut(string(out), " "); got.String() != want {
		t.Errorf("digest %s, openssl says %s", got, want)
	}
}
