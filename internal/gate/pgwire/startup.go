package pgwire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Codes in the place of a protocol version.
const (
	cancelCode = 80877102
	sslCode    = 80877103
	gssCode    = 80877104
)

// alpn is PostgreSQL's registered protocol name. Clients that begin with TLS
// at once (PostgreSQL 17) must offer it.
const alpn = "postgresql"

// maxStartup is PostgreSQL's own limit for a startup packet.
const maxStartup = 10000

// logIn takes a client from its first byte to its first ReadyForQuery. It
// gives nil and no error for a client that only came to cancel something.
func (g *Gate) logIn(a *arrival) (*conn, error) {
	raw := a.conn
	ctx, cancel := context.WithTimeout(a.ctx, g.LoginTimeout)
	defer cancel()
	raw.SetDeadline(time.Now().Add(g.LoginTimeout))

	client, code, packet, err := g.openStream(raw)
	if err != nil {
		return nil, err
	}
	if code == cancelCode {
		g.cancelRequest(raw, packet)
		return nil, nil
	}
	_, encrypted := client.(*tls.Conn)
	if g.RequireTLS && !encrypted {
		return nil, g.turnAway(client, "28000", "this gate wants TLS", "Connect with sslmode=require or stricter.")
	}
	asked, err := g.negotiate(client, code, packet)
	if err != nil {
		return nil, err
	}

	session, err := g.authenticate(ctx, client, asked["user"])
	if err != nil {
		return nil, err
	}
	// From here on the client is known, may be told more, and makes room for
	// nobody.
	g.arrivals.done(a)
	if r := asked["replication"]; r != "" && r != "false" && r != "off" && r != "no" && r != "0" {
		return nil, g.turnAway(client, "0A000", "replication connections do not pass this gate",
			"Replicate from the server itself, outside of any session.")
	}
	if db := asked["database"]; db != "" && db != asked["user"] && db != g.Upstream.Database {
		return nil, g.turnAway(client, "3D000", fmt.Sprintf("database %q is not behind this gate", db),
			fmt.Sprintf("This gate leads to database %q.", g.Upstream.Database))
	}
	settings, err := startupSettings(asked)
	if err != nil {
		return nil, g.turnAway(client, "22023", err.Error(), "")
	}
	c := g.newConn(client, session)
	c.settings = settings
	if err := g.join(c, session); err != nil {
		if errors.Is(err, errShutdown) {
			return nil, g.turnAway(client, "57P03", err.Error(), "")
		}
		return nil, g.turnAway(client, "53300", err.Error(), "Close connections that are not in use.")
	}
	defer func() {
		if v := recover(); v != nil {
			c.closeAbruptly() // nobody else knows of it yet
			panic(v)
		}
	}()
	if err := c.connect(); err != nil {
		c.client.refuse(c.notConnected(err))
		c.client.flush()
		c.close()
		return nil, err
	}
	g.register(c)
	c.greet()
	if err := c.client.flush(); err != nil {
		c.close()
		return nil, err
	}
	raw.SetDeadline(time.Time{})
	return c, nil
}

// openStream reads startup packets until one says what the client wants, and
// puts TLS on where it is asked for.
func (g *Gate) openStream(raw net.Conn) (client net.Conn, code uint32, packet []byte, err error) {
	client = raw
	var first [1]byte
	if _, err := io.ReadFull(raw, first[:]); err != nil {
		return nil, 0, nil, fmt.Errorf("read startup packet: %w", err)
	}
	given := first[:] // bytes of the next packet that were read already
	if first[0] == 0x16 {
		// A TLS handshake without asking. No negotiation has authenticated the
		// protocol, so ALPN must (as PostgreSQL 17 demands).
		if g.tls == nil {
			return nil, 0, nil, errors.New("client begins with TLS, and the gate has no certificate")
		}
		t, err := g.handshake(&prefixed{Conn: raw, prefix: first[:]})
		if err != nil {
			return nil, 0, nil, err
		}
		if t.ConnectionState().NegotiatedProtocol != alpn {
			return nil, 0, nil, fmt.Errorf("client begins with TLS without ALPN %q", alpn)
		}
		client, given = t, nil
	}
	// SSLRequest and GSSENCRequest may each come once before the real packet.
	for range 3 {
		if code, packet, err = readStartup(client, given); err != nil {
			return nil, 0, nil, err
		}
		given = nil
		switch code {
		case sslCode:
			if _, already := client.(*tls.Conn); already {
				return nil, 0, nil, errors.New("client asks for TLS inside of TLS")
			}
			if g.tls == nil {
				if _, err := raw.Write([]byte("N")); err != nil {
					return nil, 0, nil, err
				}
				continue
			}
			if _, err := raw.Write([]byte("S")); err != nil {
				return nil, 0, nil, err
			}
			// Exactly the packet was read before, so nothing that was sent in
			// the clear can pass for encrypted (CVE-2021-23214).
			if client, err = g.handshake(raw); err != nil {
				return nil, 0, nil, err
			}
		case gssCode:
			if _, err := client.Write([]byte("N")); err != nil {
				return nil, 0, nil, err
			}
		default:
			return client, code, packet, nil
		}
	}
	return nil, 0, nil, errors.New("client keeps asking for encryption")
}

func (g *Gate) handshake(raw net.Conn) (*tls.Conn, error) {
	t := tls.Server(raw, g.tls)
	if err := t.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return t, nil
}

// prefixed is a connection some of whose bytes were read already.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// readStartup reads one packet without a type byte. given are bytes of it that
// were read already.
func readStartup(r io.Reader, given []byte) (code uint32, packet []byte, err error) {
	var head [8]byte
	n := copy(head[:], given)
	if _, err := io.ReadFull(r, head[n:]); err != nil {
		return 0, nil, fmt.Errorf("read startup packet: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 8 || size > maxStartup {
		return 0, nil, fmt.Errorf("startup packet of %d bytes: not PostgreSQL's protocol", size)
	}
	packet = make([]byte, size-8)
	if _, err := io.ReadFull(r, packet); err != nil {
		return 0, nil, fmt.Errorf("read startup packet: %w", err)
	}
	return binary.BigEndian.Uint32(head[4:]), packet, nil
}

// negotiate checks the version and gives the parameters of a startup packet.
func (g *Gate) negotiate(client net.Conn, code uint32, packet []byte) (map[string]string, error) {
	major, minor := code>>16, code&0xffff
	if major != 3 {
		return nil, g.turnAway(client, "0A000", fmt.Sprintf("protocol version %d.%d is not supported", major, minor),
			"This gate speaks 3.0.")
	}
	asked, err := decodeStartup(packet)
	if err != nil {
		return nil, g.turnAway(client, "08P01", err.Error(), "")
	}
	var unknown []string
	for name := range asked {
		if strings.HasPrefix(name, "_pq_.") {
			unknown = append(unknown, name)
		}
	}
	if minor > 0 || len(unknown) > 0 {
		// Newer clients are told what we speak, and go on with it.
		m := &pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: 3 << 16, UnrecognizedOptions: unknown}
		b, err := m.Encode(nil)
		if err != nil {
			return nil, err
		}
		if _, err := client.Write(b); err != nil {
			return nil, err
		}
	}
	if asked["user"] == "" {
		return nil, g.turnAway(client, "28000", "no user in the startup packet", "The user is the session's id.")
	}
	return asked, nil
}

// decodeStartup reads the names and values of a startup packet.
func decodeStartup(b []byte) (map[string]string, error) {
	asked := make(map[string]string)
	for {
		name, rest, err := cstring(b)
		if err != nil {
			return nil, fmt.Errorf("startup packet: %w", err)
		}
		if len(name) == 0 {
			if len(rest) != 0 {
				return nil, errors.New("startup packet has something behind its end")
			}
			return asked, nil
		}
		value, rest, err := cstring(rest)
		if err != nil {
			return nil, fmt.Errorf("startup packet: %w", err)
		}
		asked[string(name)] = string(value)
		b = rest
	}
}

// A setting is a run-time parameter that a client asks for at its start.
type setting struct{ name, value string }

// startupSettings gives the settings among what a startup packet asks for,
// those within "options" included, in an order of their own.
func startupSettings(asked map[string]string) ([]setting, error) {
	var settings []setting
	words, err := optionWords(asked["options"])
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			w = words[i]
		case strings.HasPrefix(w, "-c"):
			w = w[2:]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		default:
			return nil, fmt.Errorf("option %q: only settings (-c name=value) pass this gate", w)
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("option %q is not name=value", w)
		}
		settings = append(settings, setting{strings.ToLower(strings.ReplaceAll(name, "-", "_")), value})
	}
	for name, value := range asked {
		switch lower := strings.ToLower(name); lower {
		case "user", "database", "options", "replication":
			if name != lower {
				// The server takes some of them in any spelling.
				return nil, fmt.Errorf("start-up parameter %q: write it %q", name, lower)
			}
		default:
			if !strings.HasPrefix(lower, "_pq_.") {
				settings = append(settings, setting{lower, value})
			}
		}
	}
	for _, s := range settings {
		if !plainName(s.name) {
			return nil, fmt.Errorf("setting %q has no proper name", s.name)
		}
	}
	return settings, nil
}

// optionWords splits as PostgreSQL does: at blanks, a backslash takes the next
// character as it is.
func optionWords(s string) ([]string, error) {
	var words []string
	var word []byte
	in := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
			if i == len(s) {
				return nil, errors.New("options end in a backslash")
			}
			word, in = append(word, s[i]), true
		case c == ' ' || c >= '\t' && c <= '\r':
			if in {
				words, word, in = append(words, string(word)), nil, false
			}
		default:
			word, in = append(word, c), true
		}
	}
	if in {
		words = append(words, string(word))
	}
	return words, nil
}

func plainName(s string) bool {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) < 128
}

// turnAway tells a client why it cannot come in, and gives that as an error.
func (g *Gate) turnAway(client net.Conn, code, message, hint string) error {
	e := &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "signalbox: " +
		message, Hint: hint}
	if b, err := e.Encode(nil); err == nil {
		client.Write(b) // it is going away whether it hears us or not
	}
	return fmt.Errorf("%s (%s)", message, code)
}

// A cancelKey is what a client shows to cancel its own query. The pid is that of the
// server's process, as which notifications and pg_stat_activity know it. The secret
// is ours: the server's own never leaves the gate.
type cancelKey struct {
	pid    uint32
	secret uint32
}

func newCancelKey(pid uint32) cancelKey {
	var b [4]byte
	rand.Read(b[:])
	return cancelKey{pid, binary.BigEndian.Uint32(b[:])}
}

// greet writes everything from AuthenticationOk to the first ReadyForQuery, with
// what the server has said of itself and of the client's settings.
func (c *conn) greet() {
	c.client.write([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 0})
	c.client.params = make(map[string]string, len(c.server.params))
	for name, value := range c.server.params {
		if c.hidden(name) {
			value = "off"
		}
		c.client.parameter(name, value)
	}
	var key [13]byte
	key[0] = 'K'
	binary.BigEndian.PutUint32(key[1:], 12)
	binary.BigEndian.PutUint32(key[5:], c.key.pid)
	binary.BigEndian.PutUint32(key[9:], c.key.secret)
	c.client.write(key[:])
	c.client.ready('I')
}

// authenticate proves that the client holds the session's password. Nothing that
// others use up is asked for before: a right proof always passes.
func (g *Gate) authenticate(ctx context.Context, client net.Conn, user string) (signalbox.Session, error) {
	from := remote(client)
	session, password, err := g.Interlock.Authenticate(ctx, g.Config.Gate.Name, signalbox.SessionID(user))
	if errors.Is(err, interlock.ErrUnavailable) {
		// Our own outage, for everybody: it tells nothing of who exists, and is
		// nobody's failed attempt.
		g.Logger.Error("log-in refused because it could not be decided", "gate", g.Config.Gate.Name, "from", from,
			"error", err)
		return signalbox.Session{}, g.turnAway(client, StateUnavailable, interlock.Unavailable(err),
			"Try again; Signalbox's operator finds the cause in its log.")
	}
	halted := errors.Is(err, interlock.ErrHalted) // said to who proves that he is meant
	known := err == nil || halted
	if !known {
		g.Logger.Info("log-in of a session that may not", "gate", g.Config.Gate.Name, "from", from, "error", err)
		password = "" // the same exchange, with keys that no password has
	}
	ok, perr := g.scram(client, user, password, known)
	if perr != nil {
		return signalbox.Session{}, perr
	}
	if !ok {
		return signalbox.Session{}, g.loginFailed(ctx, client, from, user)
	}
	if halted {
		g.Logger.Info("log-in while halted", "gate", g.Config.Gate.Name, "session", user, "error", err)
		return signalbox.Session{}, g.turnAway(client, "57P01", err.Error(), "Start again when it is resumed.")
	}
	return session, nil
}

// loginFailed answers a wrong password: slowly, when there were many.
func (g *Gate) loginFailed(ctx context.Context, client net.Conn, from, user string) error {
	slow := g.failures.TooMany(from, user)
	g.failures.Add(from, user)
	if !slow {
		return g.turnAway(client, "28P01", "password authentication failed", "")
	}
	g.Interlock.CountLogins(g.Config.Gate.Name, signalbox.SessionID(user))
	pause := time.NewTimer(g.logins.pause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	return g.turnAway(client, "28P01", "password authentication failed, after too many failed log-ins",
		"The right password is let in at once.")
}
