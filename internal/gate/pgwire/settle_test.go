package pgwire

import (
	"bytes"

	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// A relay stands between the gate and the server, and cuts a connection at its
// COMMIT.
type relay struct {
	net.Listener
	pass atomic.Bool // the COMMIT reaches the server before the connection is cut
	on   atomic.Bool // it cuts at all
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{Listener: l}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			go r.join(client, up)
		}
	}()
	return r
}

func (r *relay) join(client, up net.Conn) {
	defer client.Close()
	defer up.Close()
	var deaf atomic.Bool // nothing of the server's is passed on any more
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		buf := make([]byte, 64<<10)
		for {
			n, err := up.Read(buf)
			if err != nil || deaf.Load() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if r.on.Load() && bytes.Contains(buf[:n], []byte("COMMIT\x00")) {
			r.on.Store(false)
			if !r.pass.Load() {
				return
			}
			deaf.Store(true)
			if _, err := up.Write(buf[:n]); err == nil {
				<-answered // the server has committed when it has said anything
			}
			return
		}
		if _, err := up.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A connection that is lost at COMMIT leaves nothing unknown where the server can
// be asked: it says whether the transaction was committed.
func TestLostAtCommit(t *testing.T) {
	for name, c := range map[string]struct {
		who, play string
		pass      bool
		told      string
		outcome   string
		rows      string
	}{
		"an agent's statement, committed": {"agent-kiro", "INSERT INTO t VALUES (1)", true,
			"was committed", "outcome done", "1\n"},
		"an agent's statement, rolled back": {"agent-kiro", "INSERT INTO t VALUES (1)", false,
			"was rolled back", "outcome failed 08006", "0\n"},
		"an agent's block, committed": {"agent-kiro", "BEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT", true,
			"was committed", "outcome done", "1\n"},
		"a person's block, committed": {"human-alice", "BEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT", true,
			"was committed", "outcome done", "1\n"},
		"a person's block, rolled back": {"human-alice", "BEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT", false,
			"was rolled back", "outcome failed 08006", "0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var r *relay
			b := newTestGate(t, func(c *Config, _ *gatetest.Script) {
				r = newRelay(t, net.JoinHostPort(c.Upstream.Host, strconv.Itoa(c.Upstream.Port)))
				c.Upstream.Port = r.Addr().(*net.TCPAddr).Port
			})
			b.direct(t, "CREATE TABLE t (a int)")
			r.pass.Store(c.pass)
			r.on.Store(true)
			out, _ := b.psql(t, c.who, c.play)
			if !strings.Contains(out, c.told) {
				t.Errorf("the client is told %q", out)
			}
			entries := b.Entries("reads")
			if last := entries[len(entries)-1]; strings.TrimSpace(last) != c.outcome {
				t.Errorf("journal %q", entries)
			}
			if got := b.direct(t, "SELECT count(*) FROM t", "-At"); got != c.rows {
				t.Errorf("rows %q", got)
			}
		})
	}
}
