package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// patience bounds the wait for one answer.
const patience = 20 * time.Second

// A stage is what attacks are played on: through a gate, or straight to a server.
type stage interface {
	dial(ctx context.Context, params map[string]string) (*pgconn.PgConn, error)
	approve(ctx context.Context, hold string) error
	halt(ctx context.Context) error
	// aside runs a text as a superuser; ask gives what a question comes to.
	aside(ctx context.Context, sql string) error
	ask(ctx context.Context, sql string) (string, error)
	kill(ctx context.Context) error
	fill(text string) string
}

// A player plays one attack.
type player struct {
	stage  stage
	conns  map[int]*line
	hold   string // the last that was told
	script []string
	hung   string // what was waited for in vain
}

// A line is one connection of an attack.
type line struct {
	conn net.Conn
	f    *pgproto3.Frontend
	pid  uint32
	key  []byte
	due  int // answers that end with ReadyForQuery
	gone bool
}

// play plays the steps and closes what is open. It gives what was answered, a line
// for each step.
func play(ctx context.Context, s stage, steps []step) *player {
	p := &player{stage: s, conns: map[int]*line{}}
	for _, s := range steps {
		said := p.step(ctx, s)
		text := s.String()
		if len(text) > 150 {
			text = text[:150] + "…"
		}
		if said != "" {
			text += "   → " + said
		}
		p.script = append(p.script, text)
		if p.hung != "" {
			break
		}
	}
	for _, l := range p.conns {
		l.close(true)
	}
	return p
}

func (l *line) close(polite bool) {
	if l == nil || l.gone {
		return
	}
	l.gone = true
	if polite {
		l.f.Send(&pgproto3.Terminate{})
		l.conn.SetDeadline(time.Now().Add(patience))
		l.f.Flush()
	}
	l.conn.Close()
}

// step does one step and says what came of it.
func (p *player) step(ctx context.Context, s step) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text := p.stage.fill(s.text)
	said := func(err error) string {
		if err != nil {
			return err.Error()
		}
		return "done"
	}
	switch s.verb {
	case "open":
		p.conns[s.conn].closeAbruptly()
		return p.open(ctx, s.conn, text)
	case "approve":
		if p.hold == "" {
			return "nothing is held"
		}
		return said(p.stage.approve(ctx, p.hold))
	case "halt":
		return said(p.stage.halt(ctx))
	case "aside":
		return said(p.stage.aside(ctx, text))
	case "until":
		return p.until(ctx, text)
	case "kill":
		return said(p.stage.kill(ctx))
	}
	if p.conns[s.conn] == nil {
		if err := p.open(ctx, s.conn, ""); err != "" {
			return err
		}
	}
	l := p.conns[s.conn]
	if l.gone {
		return "gone"
	}
	l.conn.SetDeadline(time.Now().Add(patience))
	switch s.verb {
	case "hangup":
		l.close(false)
		return ""
	case "terminate":
		l.close(true)
		return ""
	case "cancel":
		return said(l.cancel(ctx))
	case "raw":
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err == nil {
			_, err = l.conn.Write(b)
		}
		return said(err)
	}
	m, waits, err := message(s.verb, text)
	if err != nil {
		return "not a step: " + err.Error()
	}
	if s.verb == "X" {
		l.f.Send(m)
		l.f.Send(&pgproto3.Bind{})
		m = &pgproto3.Execute{}
	}
	if m != nil {
		l.f.Send(m)
	}
	switch s.verb {
	case "Q", "q", "S", "s", "F":
		l.due++
	}
	if !waits {
		if err := l.f.Flush(); err != nil {
			l.close(false)
			return "END"
		}
		return ""
	}
	return p.wait(l)
}

func (l *line) closeAbruptly() {
	if l != nil {
		l.close(false)
	}
}

// message makes the message of a step, and says whether its answer is waited for.
func message(verb, text string) (m pgproto3.FrontendMessage, waits bool, err error) {
	word, rest, _ := strings.Cut(text, " ")
	name := func(s string) string {
		if s == "-" {
			return ""
		}
		return s
	}
	fields := strings.Fields(text)
	values := func(fields []string) (all [][]byte) {
		for _, f := range fields {
			all = append(all, []byte(f))
		}
		return all
	}
	switch verb {
	case "Q":
		return &pgproto3.Query{String: text}, true, nil
	case "q":
		return &pgproto3.Query{String: text}, false, nil
	case "W":
		return nil, true, nil
	case "P":
		return &pgproto3.Parse{Name: name(word), Query: rest}, false, nil
	case "X":
		return &pgproto3.Parse{Query: text}, false, nil
	case "H":
		return &pgproto3.Flush{}, false, nil
	case "S":
		return &pgproto3.Sync{}, true, nil
	case "s":
		return &pgproto3.Sync{}, false, nil
	case "d":
		return &pgproto3.CopyData{Data: []byte(text + "\n")}, false, nil
	case "c":
		return &pgproto3.CopyDone{}, false, nil
	case "f":
		return &pgproto3.CopyFail{Message: text}, false, nil
	case "E":
		e := &pgproto3.Execute{Portal: name(word)}
		if rest != "" {
			n, err := strconv.ParseUint(rest, 10, 32)
			if err != nil {
				return nil, false, err
			}
			e.MaxRows = uint32(n)
		}
		return e, false, nil
	case "F":
		oid, err := strconv.ParseUint(word, 10, 32)
		return &pgproto3.FunctionCall{Function: uint32(oid), ArgFormatCodes: []uint16{0},
			Arguments: values(fields[1:])}, true, err
	}
	if len(fields) < 2 {
		return nil, false, errors.New("two words are wanted")
	}
	switch verb {
	case "B":
		return &pgproto3.Bind{DestinationPortal: name(word), PreparedStatement: name(fields[1]),
			Parameters: values(fields[2:])}, false, nil
	case "D":
		return &pgproto3.Describe{ObjectType: word[0], Name: name(fields[1])}, false, nil
	case "C":
		return &pgproto3.Close{ObjectType: word[0], Name: name(fields[1])}, false, nil
	}
	return nil, false, errors.New("no such verb")
}

// open logs in. It says nothing if that went well.
func (p *player) open(ctx context.Context, n int, params string) string {
	p.conns[n] = &line{gone: true}
	set := map[string]string{}
	for _, f := range strings.Fields(params) {
		k, v, _ := strings.Cut(f, "=")
		set[k] = strings.ReplaceAll(v, "%20", " ")
	}
	pg, err := p.stage.dial(ctx, set)
	if err != nil {
		return "turned away: " + err.Error()
	}
	h, err := pg.Hijack()
	if err != nil {
		return err.Error()
	}
	p.conns[n] = &line{conn: h.Conn, f: h.Frontend, pid: h.PID, key: h.SecretKey}
	return ""
}

var holdID = regexp.MustCompile(`hold ([0-9A-Z]{26})`)

// wait reads until all answers that are due have ended, or the server wants data.
func (p *player) wait(l *line) string {
	if err := l.f.Flush(); err != nil {
		l.close(false)
		return "END"
	}
	var said []string
	for l.due > 0 {
		m, err := l.f.Receive()
		if err != nil {
			l.close(false)
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
				p.hung = "no answer came in " + patience.String()
				return strings.Join(append(said, p.hung), " ")
			}
			return strings.Join(append(said, "END"), " ")
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			message, _, _ := strings.Cut(m.Message, "\n")
			said = append(said, m.Code+" "+message)
			if id := holdID.FindStringSubmatch(m.Message + " " + m.Detail + " " + m.Hint); id != nil {
				p.hold = id[1]
			}
		case *pgproto3.CommandComplete:
			said = append(said, string(m.CommandTag))
		case *pgproto3.ReadyForQuery:
			l.due--
			said = append(said, string(m.TxStatus))
		case *pgproto3.CopyInResponse, *pgproto3.CopyBothResponse:
			return strings.Join(append(said, "wants data"), " ")
		case *pgproto3.NotificationResponse:
			said = append(said, "told of "+m.Channel)
		}
		if len(said) > 12 {
			said = append(said[:6], said[len(said)-3:]...)
		}
	}
	return strings.Join(said, " ")
}

// cancel sends a cancel request and waits until it was taken.
func (l *line) cancel(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.conn.RemoteAddr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	b, err := (&pgproto3.CancelRequest{ProcessID: l.pid, SecretKey: l.key}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// until asks a question until the answer is true.
func (p *player) until(ctx context.Context, sql string) string {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if got, err := p.stage.ask(ctx, sql); err == nil && got == "true" {
			return "so"
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.hung = "it never was so"
			return p.hung
		}
	}
}

// dial connects to url with more parameters of the start packet.
func dial(ctx context.Context, url string, params map[string]string) (*pgconn.PgConn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	for k, v := range params {
		config.RuntimeParams[k] = v
	}
	pg, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return pg, pg.SyncConn(ctx)
}
