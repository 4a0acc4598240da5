package pgwire

import (
	"context"
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// simple serves one Query message. Its text may hold several statements, which
// are one implicit transaction and one request.
func (c *conn) simple(size int) error {
	body := c.client.in.body(0, size)
	if len(body) == 0 || body[len(body)-1] != 0 {
		return fmt.Errorf("query: %w", errShort)
	}
	text := string(body[:len(body)-1])
	c.client.skips = false
	c.relearned = false
	delete(c.statements, "") // as the server does
	delete(c.portals, "")
	if c.server == nil || c.server.status == 'I' {
		clear(c.portals) // named ones live as long as their transaction
	}
	if err := c.prepare(); err != nil {
		c.client.in.drop(size)
		return c.orRefuse(err)
	}
	j := c.classify(text)
	raw := c.client.in.raw(0, size)
	if !c.plain(j) {
		raw = append([]byte(nil), raw...)
		c.client.in.drop(size)
	} else {
		defer c.client.in.drop(size)
	}
	done, err := c.query(text, j, raw)
	if err != nil {
		return err
	}
	if done {
		c.noteRan(j)
	} else {
		c.noteFailed(j)
	}
	c.ready()
	return nil
}

// plain reports whether the text can be forwarded without looking back at the
// client while it runs, so that its bytes need not be copied.
func (c *conn) plain(j *classified) bool { return !j.writes && !j.control && !j.copyIn }

// orRefuse tells a refusal and ends a simple query's answer.
func (c *conn) orRefuse(err error) error {
	if r := c.refusalOf(err); r != nil {
		c.client.refuse(r)
		c.ready()
		return nil
	}
	return err
}

// query has a text decided and run, up to but without ReadyForQuery.
func (c *conn) query(text string, j *classified, raw []byte) (bool, error) {
	w := &work{raw: raw, simple: true, readOnly: j.readOnly, lone: j.lone, copyIn: j.copyIn, reads: !j.writes,
		queries: j.queries, holds: j.holds, commands: len(j.Statements)}
	switch {
	case len(j.Statements) == 0:
		return c.forward(nil, &work{raw: raw, simple: true})
	case j.Err != "":
		if refused, err := c.checkSyntax(text); refused || err != nil {
			return false, err
		}
	case j.control && len(j.Statements) == 1:
		return c.control(j.Statements[0], w, text)
	case j.control:
		return c.runPieces(text, j, raw)
	}
	if err := c.checkExecutes(j); err != nil {
		return false, c.refuse(err)
	}
	if err := c.room(j); err != nil {
		return false, c.refuse(err)
	}
	if j.lone && len(j.Statements) > 1 && c.agent() {
		return false, c.refuse(errNotAlone)
	}
	return c.perform(c.newRequest(j.actions, []string{text}, bounds(j)), w)
}

// bounds gives the statements of a text, without parameters.
func bounds(j *classified) []bound {
	statements := make([]bound, len(j.Statements))
	for i, s := range j.Statements {
		statements[i].Statement = s
	}
	return statements
}

// checkSyntax asks the server to parse, and only that, a text that our parser
// refused. It reports whether the server refuses it as well: then its own words
// went to the client.
func (c *conn) checkSyntax(text string) (refused bool, err error) {
	if c.server.status == 'E' {
		return false, nil
	}
	// Notices of a text that the server accepts will come when it runs.
	failed, notices, err := c.server.parse(text)
	if err != nil || failed == nil || failed.Routine == "exec_parse_message" {
		return false, err // that it has several statements is no fault of a Query
	}
	c.client.write(notices)
	b, err := failed.Encode(nil)
	if err != nil {
		return false, err
	}
	c.client.write(b)
	c.client.skips = true
	return true, nil
}

// runPieces runs a text in which statements of transaction control stand among
// others: each control statement and each run between them by itself, so that
// what a COMMIT makes final is recorded and measured before it. The client
// sees one answer. Blanks keep the positions in errors right.
func (c *conn) runPieces(text string, j *classified, raw []byte) (bool, error) {
	if !c.agent() {
		if final, open := c.effectsOf(j); !final || !open {
			// The server's own rules for such texts hold in every detail when it
			// gets them whole.
			return c.runWhole(text, j, raw, final)
		}
	}
	at := 0
	var run []sql.Statement
	from := 0
	flush := func(to int) (bool, error) {
		if len(run) == 0 {
			return true, nil
		}
		part := newClassified(sql.Result{Statements: run, Shape: j.Shape, Fingerprint: j.Fingerprint}, 0)
		run = nil
		piece := blank(text[:from]) + text[from:to]
		return c.query(text[from:to], part, appendQuery(nil, piece))
	}
	for i, s := range j.Statements {
		begin, end := s.Offset, s.Offset+len(s.Text)
		if begin < at || end > len(text) || text[begin:end] != s.Text {
			return false, c.refuse(&refusal{code: "0A000", message: "statements of this text cannot be told apart",
				hint: "Send them one by one."})
		}
		at = end
		if !newClassified(sql.Result{Statements: []sql.Statement{s}}, 0).control {
			if len(run) == 0 {
				from = begin
			}
			run = append(run, s)
			if i == len(j.Statements)-1 {
				return flush(end)
			}
			continue
		}
		if s.Kind == sql.KindBegin && len(run) > 0 && !c.inBlock() {
			return false, c.refuse(&refusal{code: "0A000",
				message: "statements before BEGIN in one text would become part of its transaction",
				hint:    "Put BEGIN first, or send them separately."})
		}
		if ok, err := flush(begin); !ok || err != nil {
			return false, err
		}
		piece := blank(text[:begin]) + s.Text
		w := &work{raw: appendQuery(nil, piece), simple: true, commands: 1}
		if ok, err := c.control(s, w, piece); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// blank gives as many blanks as s has characters, with its line ends.
func blank(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return ' '
	}, s)
}

// effectsOf tells what comes of effects when the text has run, if nothing in it
// fails: whether some are made final in the course of it, by a COMMIT or by the end
// of the implicit transaction, and whether some are still open at its end.
func (c *conn) effectsOf(j *classified) (final, open bool) {
	block, effects := c.inBlock(), len(c.tx.admissions) > 0
	for _, s := range j.Statements {
		switch s.Kind {
		case sql.KindBegin:
			block = true
		case sql.KindCommit, sql.KindRollback, sql.KindPrepareTx:
			final = final || effects
			block, effects = false, false
		default:
			if newClassified(sql.Result{Statements: []sql.Statement{s}}, 0).writes {
				effects = true
			}
		}
	}
	if !block && effects {
		return true, false
	}
	return final, effects
}

// runWhole runs a text with transaction control in it as one request, in one piece.
func (c *conn) runWhole(text string, j *classified, raw []byte, final bool) (bool, error) {
	if err := c.checkExecutes(j); err != nil {
		return false, c.refuse(err)
	}
	if err := c.room(j); err != nil {
		return false, c.refuse(err)
	}
	r := c.newRequest(j.actions, []string{text}, nil)
	a, err := c.g.Interlock.Admit(c.ctx, r.Request, r)
	if err == nil && c.g.ReadEach && a.Read() {
		err = c.g.Interlock.ReadEach(c.ctx, a)
	}
	if err != nil {
		return false, c.refuse(err)
	}
	w := &work{raw: raw, simple: true, copyIn: j.copyIn, commands: len(j.Statements)}
	switch {
	case len(c.tx.admissions) == 0 && a.Read():
		return c.forward(nil, w)
	case final:
		as := c.tx.take()
		if !a.Read() {
			as = append(as, a)
		}
		return c.execute(as, r, effect{run: func(context.Context, *interlock.Permit) (signalbox.Outcome, ending, error) {
			return c.runPlain(w)
		}})
	case a.Read():
		return c.forward(nil, w)
	}
	return c.provisional(a, r, w)
}
