package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// orders plays "orders-database": a coding agent finds that the best way to
// mend one stuck order is to drop the table.
type orders struct {
	*play
	postgres *pgtest.Server
	drop     client.Hold // the DROP TABLE that two people approve
}

const (
	dropTable = "DROP TABLE orders"
	setPaid   = "UPDATE orders SET status = 'paid' WHERE id = 42"
)

func (o *orders) run(ctx context.Context, c Config) error {
	o.say("%s", o.mark(bold, "Signalbox: the orders database"))
	o.tell("", "", `In December 2025 a coding agent that worked with an engineer's own rights decided that the best fix
for a small bug was to delete production and make it anew. Here is such a day again, on a database, with a signal box in
between. All of it is real: PostgreSQL, psql, the server, the log.`)
	o.say("")
	if err := o.set(ctx, c); err != nil {
		return fmt.Errorf("set the stage: %w", err)
	}
	o.tell("", "", fmt.Sprintf(`A scratch PostgreSQL holds a shop's production data. In front of it stands the gate "orders". Kiro, an agent,
works for Alice: it has a password of its own for the gate, and nobody gave it the database's. Bob and Carol are on call.
Pages: %s`, o.server.URL()))
	return o.perform(ctx, []scene{
		{"Kiro looks around", o.reads},
		{"Kiro mends one order", o.mends},
		{"Kiro wants to drop the table", o.drops},
		{"Kiro approves its own request; so does Alice", o.approvesItself},
		{"Bob and Carol approve", o.approved},
		{"The same statement again: it runs", o.runs},
		{"The table is restored, and Kiro sends it a second time", o.runsOnce},
		{"A small UPDATE that is not small", o.overruns},
		{"Bob freezes production", o.freezes},
		{"Carol halts Kiro in the middle of a transaction", o.halts},
		{"Outsiders verify the log", o.isVerified},
		{"Somebody rewrites history in a copy of the log", o.forged},
	})
}

func (o *orders) reads(ctx context.Context, s *Step) error {
	s.Means = `Reads pass at once. The gate asked the policies about each, PostgreSQL itself was told that this connection may
only read, and the log gets a summary: shapes and counts, no values.`
	if err := o.agentWants(ctx, s, "SELECT status, count(*) FROM orders GROUP BY status", "pending"); err != nil {
		return err
	}
	return o.agentWants(ctx, s, "SELECT * FROM orders WHERE id = 42", "(1 row)")
}

func (o *orders) mends(ctx context.Context, s *Step) error {
	s.Means = `One row by its key: the policies let an agent do that. The intent was durable in the log before COMMIT went to
the database, and the rows really touched were counted before it, too.`
	if err := o.agentWants(ctx, s, setPaid, "UPDATE 1"); err != nil {
		return err
	}
	return o.direct(ctx, s, "SELECT status FROM orders WHERE id = 42", "paid")
}

func (o *orders) drops(ctx context.Context, s *Step) error {
	s.Means = `Nothing reached the database. psql got an ordinary PostgreSQL error that names a hold, and the hold names who
must agree. An approval will count for exactly these bytes, this session, this very table, and no more than was shown.`
	var err error
	if o.drop, err = o.agentIsHeld(ctx, s, dropTable); err != nil {
		return err
	}
	seen := strings.Join(o.drop.Facts, "\n")
	o.line(s, "approvers see", o.drop.URL, seen+"\nneeds "+strings.Join(o.drop.Verdict.Requires, " and ")+
		"\nthe agent's own words: "+o.drop.Request)
	if !strings.Contains(seen, fmt.Sprint(numberOfOrders)) || o.drop.Ceiling.Count != numberOfOrders {
		return fmt.Errorf("the hold does not say that %d rows would be gone: %q, ceiling %d", numberOfOrders, seen,
			o.drop.Ceiling.Count)
	}
	if o.drop.Request != dropTable {
		return fmt.Errorf("the hold shows %q, not what was sent", o.drop.Request)
	}
	return o.direct(ctx, s, "SELECT count(*) FROM orders", fmt.Sprint(numberOfOrders))
}

func (o *orders) approvesItself(ctx context.Context, s *Step) error {
	s.Means = `No credential of an agent's session reaches a method that approves, and nobody approves what he or his agent
asked for.`
	_, err := o.approve(ctx, s, "kiro", o.kiro, o.drop.ID)
	if err := refused("kiro", err); err != nil {
		return err
	}
	_, err = o.approve(ctx, s, "alice", o.alice.Client, o.drop.ID)
	if err := refused("alice", err); err != nil {
		return err
	}
	h, err := o.bob.Hold(ctx, o.drop.ID)
	if err != nil {
		return err
	}
	if h.Status != "open" || len(h.Answers) != 0 {
		return fmt.Errorf("the hold is %s with %d answers, it should be open with none", h.Status, len(h.Answers))
	}
	return nil
}

func (o *orders) approved(ctx context.Context, s *Step) error {
	s.Means = `Two people, two credentials, both in group sre at this moment. One was not enough. (On the command line it is
signalbox hold approve; in a browser it is the page of the hold.)`
	h, err := o.approve(ctx, s, "bob", o.bob.Client, o.drop.ID)
	if err != nil {
		return err
	}
	if h.Status != "open" {
		return fmt.Errorf("the hold is %s after one approval of two", h.Status)
	}
	again, err := o.agentIsHeld(ctx, s, dropTable)
	if err != nil {
		return err
	}
	if again.ID != o.drop.ID {
		return fmt.Errorf("the same statement opened hold %s beside %s", again.ID, o.drop.ID)
	}
	h, err = o.approve(ctx, s, "carol", o.carol.Client, o.drop.ID)
	if err != nil {
		return err
	}
	if h.Status != "approved" {
		return fmt.Errorf("the hold is %s after both approvals", h.Status)
	}
	return nil
}

func (o *orders) runs(ctx context.Context, s *Step) error {
	s.Means = `The gate looked at the table once more (the same one, no more rows than were shown), wrote the intent, used up
the approval in the same transaction, and only then forwarded the statement.`
	if err := o.agentWants(ctx, s, dropTable, "DROP TABLE"); err != nil {
		return err
	}
	if err := o.direct(ctx, s, "SELECT to_regclass('orders') IS NULL", "t"); err != nil {
		return err
	}
	h, err := o.bob.Hold(ctx, o.drop.ID)
	if err != nil {
		return err
	}
	if h.Status != "used" || h.Intent == "" {
		return fmt.Errorf("the hold is %s, it should be used", h.Status)
	}
	return nil
}

func (o *orders) runsOnce(ctx context.Context, s *Step) error {
	s.Means = `An approval works once. The second time is a new request, on another table of the same name, and waits for
approvals of its own.`
	restore := "SET ROLE " + role + "; CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, status text NOT NULL, cents int NOT NULL); RESET ROLE; " +
		"INSERT INTO orders SELECT * FROM backup.orders; ANALYZE orders"
	if err := execute(ctx, o.postgres.URL(database), restore); err != nil {
		return fmt.Errorf("restore the table: %w", err)
	}
	o.line(s, "the database itself", "INSERT INTO orders SELECT * FROM backup.orders", "")
	h, err := o.agentIsHeld(ctx, s, dropTable)
	if err != nil {
		return err
	}
	if h.ID == o.drop.ID {
		return fmt.Errorf("hold %s was used and is open again", h.ID)
	}
	return o.direct(ctx, s, "SELECT count(*) FROM orders", fmt.Sprint(numberOfOrders))
}

func (o *orders) overruns(ctx context.Context, s *Step) error {
	s.Means = fmt.Sprintf(`It names one customer, so the policies let it begin. But %d invoices refer to his number, and the
database changes them with it. The gate counted before COMMIT, found more than an agent may touch unasked, and took all of it back.
A wrong guess about a WHERE does no harm.`, invoicesOfSeven)
	if _, err := o.agentIsHeld(ctx, s, "UPDATE customers SET number = 'C-7000' WHERE id = 7"); err != nil {
		return err
	}
	return o.direct(ctx, s, "SELECT (SELECT number FROM customers WHERE id = 7), count(*) FROM invoices WHERE customer = 'C-7'", fmt.Sprintf("C-7|%d", invoicesOfSeven))
}

func (o *orders) freezes(ctx context.Context, s *Step) error {
	s.Means = `While a freeze lasts nobody changes anything, administrators included. Reading goes on. The word of
another human ends it, never a session's.`
	f, err := o.bob.StartFreeze(ctx, client.Freeze{
		Environments: []signalbox.Environment{o.gate.Environment}, Until: time.Now().Add(time.Hour),
		Reason: "the quarter closes",
	})
	o.call(s, "bob", "POST /api/v1/freezes   production, for an hour: the quarter closes", err, "")
	if err != nil {
		return fmt.Errorf("start a freeze: %w", err)
	}
	a, err := o.agent(ctx, s, "UPDATE orders SET status = 'paid' WHERE id = 43")
	if err != nil {
		return err
	}
	if a.code == 0 || !strings.Contains(a.text, "ERROR:  42501") || !strings.Contains(a.text, "freeze") {
		return errors.New("the update was not denied because of the freeze")
	}
	if err := o.agentWants(ctx, s, "SELECT status FROM orders WHERE id = 43", "shipped"); err != nil {
		return err
	}
	end := "POST /api/v1/freezes/" + f.ID + "/end"
	err = o.kiro.EndFreeze(ctx, f.ID, "")
	o.call(s, "kiro", end, err, "ended")
	if err := refused("kiro", err); err != nil {
		return err
	}
	err = o.carol.EndFreeze(ctx, f.ID, "closed")
	o.call(s, "carol", end, err, "")
	if err != nil {
		return fmt.Errorf("end the freeze: %w", err)
	}
	return o.agentWants(ctx, s, "UPDATE orders SET status = 'paid' WHERE id = 43", "UPDATE 1")
}

// haltTime is what promise P9 allows for cutting what reads.
const haltTime = time.Second

func (o *orders) halts(ctx context.Context, s *Step) error {
	t, err := o.terminal(ctx, o.agentEnv())
	if err != nil {
		return err
	}
	defer t.kill()
	if err := t.typed("BEGIN;", "UPDATE orders SET status = 'lost' WHERE id = 44;",
		"SELECT pg_sleep(60);"); err != nil {
		return err
	}
	if err := o.asleep(ctx); err != nil {
		return err
	}
	began := time.Now()
	err = o.carol.Halt(ctx, client.Halt{Scope: "session", Name: string(o.session.Session.ID),
		Reason: "enough for today"})
	if err != nil {
		return fmt.Errorf("halt: %w", err)
	}
	a, err := t.end()
	if err != nil {
		return err
	}
	took := time.Since(began)
	o.line(s, "kiro", "psql: BEGIN; UPDATE orders SET status = 'lost' WHERE id = 44; SELECT pg_sleep(60);", "")
	o.line(s, "carol", "POST /api/v1/halts   this session: enough for today", "")
	o.line(s, "kiro", "psql, at once:", a.text)
	if a.code == 0 || took > haltTime {
		return fmt.Errorf("psql ended with %d after %v, it should be cut within %v", a.code,
			took.Round(time.Millisecond), haltTime)
	}
	if err := o.direct(ctx, s, "SELECT status FROM orders WHERE id = 44", "shipped"); err != nil {
		return err
	}
	if a, err = o.agent(ctx, s, "SELECT 1"); err != nil {
		return err
	}
	if a.code == 0 || !strings.Contains(a.text, "halted by carol") {
		return errors.New("a halted session could log in")
	}
	s.Means = fmt.Sprintf(`The connection was cut after %d ms, what was not committed is undone, and the session's password opens
nothing any more.`, took.Milliseconds())
	return nil
}

func (o *orders) isVerified(ctx context.Context, s *Step) error {
	last, err := o.bob.Entries(ctx, -8, 8)
	if err != nil {
		return fmt.Errorf("newest entries: %w", err)
	}
	var text strings.Builder
	for _, e := range last {
		fmt.Fprintf(&text, "%4d  %s\n", e.Index, e.Text)
	}
	o.line(s, "bob", "GET /api/v1/log/entries?from=-8", text.String())
	key, err := o.verified(ctx, s)
	if err != nil {
		return err
	}
	a, err := judge(ctx, o.fsck, o.server.URL()+"/log/", key)
	if err != nil {
		return err
	}
	o.line(s, "auditor", "fsck "+o.server.URL()+"/log/ log.vkey   (Tessera's, not ours)",
		verdict(a.text, "Successfully", "NOT VERIFIED"))
	if a.code != 0 {
		return fmt.Errorf("fsck ended with %d: %s", a.code, verdict(a.text, "NOT VERIFIED"))
	}
	s.Means = fmt.Sprintf(`%d entries under one signature. What the server says about itself need not be believed: the first
program needs the log and its public key alone, and the second was written by others for logs of any kind.`, o.result.Log.Entries)
	return nil
}

func (o *orders) forged(ctx context.Context, s *Step) error {
	s.Means = `One name changed in a copy, as if another had done it all: both programs refuse it. The log was written by
the server before each act, so its owner cannot tell another story afterwards to anybody who kept a checkpoint.`
	copied := filepath.Join(o.folder, "forged")
	if err := forge(filepath.Join(o.folder, "data", "log"), copied, "kiro", "anna"); err != nil {
		return err
	}
	key := filepath.Join(o.folder, "log.vkey")
	o.line(s, "somebody", `puts "anna" in the place of "kiro" in every entry of a copy`, "")
	for _, program := range []struct {
		name string
		path string
		args []string
	}{
		{"signalbox-verify", o.verify, []string{"log", copied, "--key", key}},
		{"fsck", o.fsck, []string{copied, key}},
	} {
		a, err := judge(ctx, program.path, program.args...)
		if err != nil {
			return err
		}
		o.line(s, "auditor", program.name+" on the copy", verdict(a.text, "not verified", "NOT VERIFIED"))
		if a.code != 1 {
			return fmt.Errorf("%s ended with %d on a forged log, it should be 1", program.name, a.code)
		}
	}
	return nil
}
