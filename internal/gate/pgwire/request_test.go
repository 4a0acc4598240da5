package pgwire

import (
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// The canonical form is a format: approvals and look-ups of repeated requests
// rest on it. A change here needs another version in canonicalDomain.
func TestCanonicalForm(t *testing.T) {
	base := func() *conn {
		return &conn{
			g:      &Gate{Config: Config{Upstream: Upstream{Database: "orders"}}},
			server: &backend{names: names{role: "app", path: `"$user", public`}},
		}
	}
	actions := []signalbox.Action{{Verb: signalbox.Delete}}
	digest := func(c *conn, text string, tail []byte) string {
		return c.newRequest(actions, []string{text},
			[]bound{{Statement: sql.Statement{Text: text}, tail: tail}}).Canonical.String()
	}
	golden := map[string]string{
		"simple":     "27a2d77012183512392914909ff40176dfd33d54c2712024baa74d847af7c277",
		"parameters": "fabba9b914ce4658e214107dda063e29a9e6e1a8d76cbe0e4b9a1148586e1d20",
	}
	one := []byte{0, 0, 0, 1, 0, 0, 0, 1, '7', 0, 0}
	got := map[string]string{
		"simple":     digest(base(), "DROP TABLE orders", nil),
		"parameters": digest(base(), "DELETE FROM orders WHERE id = $1", one),
	}
	for name, want := range golden {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	// Whatever changes the meaning changes the digest.
	other := map[string]*conn{}
	for name, change := range map[string]func(*conn){
		"role":     func(c *conn) { c.server.names.role = "admin" },
		"path":     func(c *conn) { c.server.names.path = "evil, public" },
		"settings": func(c *conn) { c.server.names.settings = "datestyle=German" },
		"database": func(c *conn) { c.g.Upstream.Database = "billing" },
	} {
		other[name] = base()
		change(other[name])
		if digest(other[name], "DROP TABLE orders", nil) == got["simple"] {
			t.Errorf("another %s has the same digest", name)
		}
	}
	two := []byte{0, 0, 0, 1, 0, 0, 0, 1, '8', 0, 0}
	if digest(base(), "DELETE FROM orders WHERE id = $1", two) == got["parameters"] {
		t.Error("another parameter has the same digest")
	}
}
