package pgwire

import (
	"context"
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// settleTime is how long the server is asked what became of a transaction, after
// the connection that ran it was lost.
const settleTime = 5 * time.Second

// statusSQL asks how a transaction ended, of the history of which the gate knows
// the timeline. A server that was promoted meanwhile has another one: it may have
// given the id to somebody else.
const statusSQL = `SELECT pg_catalog.pg_xact_status(%s::pg_catalog.xid8), ` + timelineSQL

// timelineSQL asks on which timeline the server writes; empty on a standby.
const timelineSQL = `CASE WHEN pg_catalog.pg_is_in_recovery() THEN ''
 ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END`

// learnTimeline asks for the timeline. Not every server that speaks PostgreSQL's
// protocol tells one; then what is unknown stays so.
func (b *backend) learnTimeline() error {
	answers, err := b.askQuietly("SELECT " + timelineSQL)
	if err == nil && answers != nil {
		b.timeline = answers[0].rows[0][0]
	}
	return err
}

// settled makes of an outcome that is unknown the one that the server confirms, if
// it does: on another connection, by the id that the transaction had before its
// COMMIT was sent. Everything else it leaves alone.
func (c *conn) settled(xid string, out signalbox.Outcome, end ending, err error) (signalbox.Outcome, ending, error) {
	server := c.server
	if out.Result != signalbox.ResultUnknown || xid == "" || server == nil || server.timeline == "" {
		return out, end, err
	}
	switch c.g.transactionStatus(xid, server.timeline) {
	case "committed":
		end.failed = false
		end.err = &lostError{err: end.err, settled: "committed"}
		return signalbox.Outcome{Result: signalbox.Done, Rows: c.tx.changed}, end, nil
	case "aborted":
		end.err = &lostError{err: end.err, settled: "rolled back"}
		return signalbox.Outcome{Result: signalbox.Failed, Code: "08006",
			Detail: "the connection was lost at COMMIT, and the server confirms that it rolled back"}, end, nil
	}
	return out, end, err
}

// transactionStatus gives "committed" or "aborted" if the server says so within
// settleTime, and is still the one that it was; else "".
func (g *Gate) transactionStatus(xid, timeline string) string {
	ctx, cancel := context.WithTimeout(g.ctx, settleTime)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		// Errors are no answer: the server may be starting anew.
		if status, err := g.askStatus(ctx, xid, timeline); err == nil && status != "in progress" {
			return status
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ""
		}
	}
}

func (g *Gate) askStatus(ctx context.Context, xid, timeline string) (string, error) {
	server, err := g.connect(ctx, nil)
	if err != nil {
		return "", err
	}
	defer server.close()
	if deadline, ok := ctx.Deadline(); ok {
		server.conn.SetDeadline(deadline)
	}
	answers, err := server.ask(fmt.Sprintf(statusSQL, quoteLiteral(xid)))
	if err != nil {
		return "", err
	}
	if row := answers[0].rows[0]; row[1] == timeline {
		return row[0], nil
	}
	return "", nil
}
