package pgwire

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

// canonicalDomain names the canonical form of a request, and its version.
const canonicalDomain = "signalbox/pgwire/request/1"

// maxShown is the longest request that an approver can be asked to read.
const maxShown = 32 << 10

// A request is one unit as interlock sees it, and the executor by which it is
// admitted: see execution for the one that executes it.
type request struct {
	interlock.Request
	c          *conn
	statements []bound
	state      signalbox.State // as last probed; nil: never, for nobody had to approve
	reached    []uint32        // relations whose rows it changes, by foreign keys too, as last probed
	xid        string          // of the transaction that it commits, where that is known
	from       int64           // statements sent before it, or before its transaction began
}

// A bound is one statement with its parameters.
type bound struct {
	sql.Statement
	types  []uint32
	tail   []byte // of its Bind; nil in the simple protocol
	params []string
}

// newRequest makes the request of some statements. texts are what the client
// sent, one for each statement in the extended protocol.
func (c *conn) newRequest(actions []signalbox.Action, texts []string, statements []bound) *request {
	r := &request{c: c, statements: statements, from: c.unitFrom}
	r.Session = c.session
	r.Gate = c.g.Config.Gate
	r.Actions = actions
	var text strings.Builder
	for i, t := range texts {
		if i > 0 {
			text.WriteString(";\n")
		}
		text.WriteString(t)
	}
	for i := range statements {
		for _, in := range statements[i].Chain()[1:] {
			if in.Text == "" || strings.Contains(statements[i].Text, in.Text) {
				continue
			}
			// EXECUTE names what was prepared, FETCH what was declared: people see,
			// and an approval is bound to, the statement itself.
			texts = append(texts, in.Text)
			text.WriteString("\n-- prepared as:\n" + in.Text)
		}
	}
	r.Text = text.String()
	r.Partial = len(r.Text) > maxShown
	n := &names{} // settings are decided before there is a server's connection
	if c.server != nil {
		n = &c.server.names
	}
	parts := make([]proof.Part, 0, 6)
	parts = append(parts, proof.Text("database", c.g.Upstream.Database), proof.Text("role", n.role),
		proof.Text("search_path", n.path), proof.Text("settings", n.settings))
	list := make([]proof.Part, 0, 2*len(texts))
	for i, t := range texts {
		list = append(list, proof.Text("text", t))
		if i < len(statements) && statements[i].tail != nil {
			// The bytes of the parameters with their formats, as they came.
			list = append(list, proof.Text("types", fmt.Sprint(statements[i].types)),
				proof.Bytes("parameters", statements[i].tail))
			r.Params = append(r.Params, statements[i].params...)
		}
	}
	r.Canonical = proof.CanonicalDigest(canonicalDomain, append(parts, proof.List("statements", list...))...)
	return r
}

// shownParams gives parameters as text for approvers and the hidden fields of
// the log: binary ones in hexadecimal.
func shownParams(ps []param) []string {
	if len(ps) == 0 {
		return nil
	}
	shown := make([]string, len(ps))
	for i, p := range ps {
		switch {
		case p.value == nil:
			shown[i] = "NULL"
		case p.binary || !utf8.Valid(p.value):
			shown[i] = `\x` + hex.EncodeToString(p.value)
		default:
			shown[i] = string(p.value)
		}
	}
	return shown
}

// Prepare implements [interlock.Executor].
func (r *request) Prepare(context.Context) interlock.Prepared {
	return interlock.Prepared{Reference: r.reference()}
}

// reference is what the server's own log calls the session, the transaction that
// is committed where it has an id by now, and how many statements it was sent for
// the request so far, the gate's own included.
func (r *request) reference() signalbox.Reference {
	up := r.c.server
	if up == nil || up.session == "" {
		return nil
	}
	ref := signalbox.Reference{{Name: signalbox.RefSession, Value: up.session}}
	if r.xid != "" {
		ref = append(ref, signalbox.Fact{Name: signalbox.RefTransaction, Value: r.xid})
	}
	return append(ref, signalbox.Fact{Name: signalbox.RefStatements, Value: strconv.FormatInt(up.sent-r.from, 10)})
}

// Execute implements [interlock.Executor]. To admit a request executes nothing.
func (r *request) Execute(context.Context, *interlock.Permit) (signalbox.Outcome, error) {
	return gate.NotForwarded(errors.New("it was only to be admitted")), nil
}
