package pgwire

import (
	"container/list"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/xdg-go/scram"
)

// The SASL mechanisms (RFC 5802, RFC 7677).
const (
	mechanism     = "SCRAM-SHA-256"
	mechanismPlus = "SCRAM-SHA-256-PLUS"
)

// iterations is what PostgreSQL itself uses.
const iterations = 4096

// scram proves the password by SCRAM-SHA-256. An unknown user goes through the
// same steps at the same cost and fails at the last, like a wrong password. An
// error is a client that does not keep to the protocol.
func (g *Gate) scram(client net.Conn, user, password string, known bool) (bool, error) {
	offer := []byte{}
	binding := scram.ChannelBinding{}
	if _, ok := client.(*tls.Conn); ok && g.binding != nil {
		offer = append(offer, mechanismPlus+"\x00"...)
		binding = scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: g.binding}
	}
	offer = append(offer, mechanism+"\x00\x00"...)
	if err := writeAuth(client, 10, offer); err != nil {
		return false, err
	}

	keys, err := g.logins.keys(user, password, known)
	if err != nil {
		return false, err
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return keys, nil })
	if err != nil {
		return false, fmt.Errorf("scram: %w", err)
	}
	body, err := readPassword(client)
	if err != nil {
		return false, err
	}
	name, rest, err := cstring(body)
	if err != nil || len(rest) < 4 {
		return false, g.turnAway(client, "08P01", "malformed SASL response", "")
	}
	var conversation *scram.ServerConversation
	switch {
	case string(name) == mechanismPlus && binding.IsSupported():
		conversation = server.NewConversationWithChannelBindingRequired(binding)
	case string(name) == mechanism:
		// With PLUS on offer, a client that says it could not see it is being
		// downgraded by somebody in between, and is refused.
		conversation = server.NewConversationWithChannelBinding(binding)
	default:
		return false, g.turnAway(client, "28000", "the client offers no SASL mechanism of this gate",
			"It needs SCRAM-SHA-256.")
	}
	if int(binary.BigEndian.Uint32(rest)) != len(rest)-4 {
		return false, g.turnAway(client, "08P01", "malformed SASL response", "")
	}
	reply, err := conversation.Step(string(rest[4:]))
	if err != nil {
		return false, g.turnAway(client, "28000", "SASL exchange failed", "")
	}
	if err := writeAuth(client, 11, []byte(reply)); err != nil {
		return false, err
	}
	if body, err = readPassword(client); err != nil {
		return false, err
	}
	reply, err = conversation.Step(string(body))
	if err != nil || !conversation.Valid() || !known {
		return false, nil
	}
	return true, writeAuth(client, 12, []byte(reply))
}

func writeAuth(client net.Conn, kind uint32, data []byte) error {
	b, at := begin(nil, 'R')
	b = binary.BigEndian.AppendUint32(b, kind)
	_, err := client.Write(end(append(b, data...), at))
	return err
}

// readPassword reads the body of one 'p' message. Nothing long is taken from
// somebody unknown.
func readPassword(client net.Conn) ([]byte, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(client, head[:]); err != nil {
		return nil, fmt.Errorf("read password message: %w", err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if head[0] != 'p' || n < 4 || n > 4096 {
		return nil, fmt.Errorf("message %q of %d bytes instead of a password", head[0], n)
	}
	body := make([]byte, n-4)
	if _, err := io.ReadFull(client, body); err != nil {
		return nil, fmt.Errorf("read password message: %w", err)
	}
	return body, nil
}

// endpointBinding is the hash of the server's certificate (RFC 5929, section
// 4.1): MD5 and SHA-1 become SHA-256, others stay what the certificate uses.
func endpointBinding(c *tls.Config) ([]byte, error) {
	if len(c.Certificates) != 1 || len(c.Certificates[0].Certificate) == 0 {
		return nil, nil // chosen at run time: no binding to offer
	}
	raw := c.Certificates[0].Certificate[0]
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	hash := crypto.SHA256
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	case x509.PureEd25519:
		return nil, nil // the RFC names no hash for it
	}
	h := hash.New()
	h.Write(raw)
	return h.Sum(nil), nil
}

// logins keeps what repeated log-ins need: derived keys, so that 4096 rounds of
// hashing are paid once per session.
type logins struct {
	secret []byte // makes salts, and keys of users that do not exist
	pause  time.Duration

	mu      sync.Mutex
	derived map[string]*list.Element
	recent  *list.List // of *derivedKeys, most recently used first
}

type derivedKeys struct {
	id   string
	keys scram.StoredCredentials
}

// maxRemembered bounds the map: strangers choose the names in it.
const maxRemembered = 4096

func newLogins(secret []byte) *logins {
	return &logins{secret: secret, pause: failureTime, derived: make(map[string]*list.Element), recent: list.New()}
}

// keys gives what SCRAM compares with. Salts depend on the name alone and
// unknown users are remembered like known ones, so that neither the exchange
// nor its duration tells who exists.
func (l *logins) keys(user, password string, known bool) (scram.StoredCredentials, error) {
	mac := hmac.New(sha256.New, l.secret)
	mac.Write([]byte("salt\x00" + user))
	salt := mac.Sum(nil)[:16]
	if !known {
		mac.Reset()
		mac.Write([]byte("nobody\x00" + user))
		password = fmt.Sprintf("%x", mac.Sum(nil))
	}
	mac.Reset()
	mac.Write([]byte("id\x00" + user + "\x00" + password))
	id := string(mac.Sum(nil))

	l.mu.Lock()
	if e := l.derived[id]; e != nil {
		l.recent.MoveToFront(e)
		keys := e.Value.(*derivedKeys).keys
		l.mu.Unlock()
		return keys, nil
	}
	l.mu.Unlock()
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return scram.StoredCredentials{}, fmt.Errorf("scram: %w", err)
	}
	keys, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return scram.StoredCredentials{}, fmt.Errorf("scram: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.derived[id] == nil {
		l.derived[id] = l.recent.PushFront(&derivedKeys{id, keys})
		if l.recent.Len() > maxRemembered {
			last := l.recent.Back()
			delete(l.derived, last.Value.(*derivedKeys).id)
			l.recent.Remove(last)
		}
	}
	return keys, nil
}

// failureTime is how long the answer to a failed log-in takes when many failed
// before it.
const failureTime = time.Second
