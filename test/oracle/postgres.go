package oracle

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long a check waits for the log to catch up: outcomes are
// recorded behind the reply, and what is published follows further behind.
const patience = 5 * time.Second

// An Oracle compares a PostgreSQL database with the log of the gate before it.
// Its methods are not for several goroutines.
type Oracle struct {
	url     string
	log     Log
	base    *picture
	past    map[string]bool // intents whose effects the base shows
	watched map[uint32]string
	last    *picture  // of the last Judge
	conn    *pgx.Conn // kept, because the first look of a backend is dear

	patience time.Duration
}

// Postgres takes the first picture of the database at url, as a superuser of it.
func Postgres(t testing.TB, url string, log Log) *Oracle {
	t.Helper()
	o := &Oracle{url: url, log: log, patience: patience}
	t.Cleanup(o.Close)
	o.Rebase(t)
	return o
}

// Rebase takes the first picture anew: what was changed until now is set-up.
func (o *Oracle) Rebase(t testing.TB) {
	t.Helper()
	p, err := o.look()
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	o.rebase(t, p)
}

func (o *Oracle) rebase(t testing.TB, p *picture) {
	t.Helper()
	all, err := o.log.intents(context.Background())
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	o.base, o.past = p, map[string]bool{}
	for _, in := range all {
		// One without an outcome may take effect yet.
		if in.settled {
			o.past[in.id] = true
		}
	}
}

// Aside runs f, which changes the target as part of the test and not through the
// gate. What was changed before it is checked, and the picture is taken anew.
func (o *Oracle) Aside(t testing.TB, f func()) {
	t.Helper()
	before, err := o.look()
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	f()
	after, err := o.look()
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	if len(compare(before, after)) == 0 {
		return
	}
	o.hold(t, before, false)
	o.rebase(t, after)
}

// Watch wants that a backend of the target lives on until Check: nobody may end
// what is not his.
func (o *Oracle) Watch(t testing.TB, pid uint32) {
	t.Helper()
	began, err := o.alive(pid)
	if err != nil || began == "" {
		t.Fatalf("oracle: backend %d is not there to be watched: %v", pid, err)
	}
	if o.watched == nil {
		o.watched = map[uint32]string{}
	}
	o.watched[pid] = began
}

func (o *Oracle) alive(pid uint32) (began string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := o.connect(ctx); err != nil {
		return "", err
	}
	err = o.conn.QueryRow(ctx, "SELECT coalesce((SELECT backend_start::text FROM pg_stat_activity WHERE pid = $1), '')", int32(pid)).Scan(&began)
	return began, err
}

// Check takes the picture again and fails the test for each difference to the
// first one that no intent names. It waits for outcomes that are on their way.
func (o *Oracle) Check(t testing.TB) {
	t.Helper()
	p, err := o.look()
	if err != nil {
		t.Errorf("oracle: %v", err)
		return
	}
	o.hold(t, p, true)
	for pid, began := range o.watched {
		if now, err := o.alive(pid); err != nil || now != began {
			if v := o.unnamedEnd(t, pid); v != "" {
				t.Errorf("oracle: backend %d was ended (%v)\n%s", pid, err, v)
			}
		}
	}
}

// Hasten makes checks not wait for the log.
func (o *Oracle) Hasten() { o.patience = 0 }

// A Finding is what a look at the target found.
type Finding struct {
	// Changes is what differs from the first picture, as in "content of table
	// public.orders", with how many rows more there are, or fewer.
	Changes map[string]int64
	// Violations says at length which of it no intent names.
	Violations []string
}

// Judge does what Check does, and leaves it to its caller what to make of it.
func (o *Oracle) Judge() (Finding, error) {
	p, err := o.look()
	if err != nil {
		return Finding{}, err
	}
	o.last = p
	f := Finding{Changes: map[string]int64{}}
	for _, c := range compare(o.base, p) {
		rows := int64(0)
		if c.was != nil && c.is != nil {
			rows = c.is.rows - c.was.rows
		}
		f.Changes[c.object().String()] += rows
	}
	f.Violations, err = o.violations(p, true)
	return f, err
}

// Accept makes what the last Judge saw the first picture.
func (o *Oracle) Accept(t testing.TB) {
	t.Helper()
	o.rebase(t, o.last)
}

// unnamedEnd says which intents were seen when none of them can end backends.
func (o *Oracle) unnamedEnd(t testing.TB, pid uint32) string {
	t.Helper()
	all, err := o.recent()
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	for _, in := range all {
		for _, a := range in.actions {
			for _, r := range a.Resources {
				if in.tookEffect() && (everything(a) || r.Type == "backend" || r.Type == "session" ||
					r.Name == fmt.Sprint(pid)) {
					return ""
				}
			}
		}
	}
	return seen(all)
}

// hold holds the differences between the base and now against the log, and asks
// the log again while it may be behind. settled waits for all outcomes too.
func (o *Oracle) hold(t testing.TB, now *picture, settled bool) {
	t.Helper()
	violations, err := o.violations(now, settled)
	if err != nil {
		t.Errorf("oracle: %v", err)
	}
	for _, v := range violations {
		t.Errorf("oracle: %s", v)
	}
}

func (o *Oracle) violations(now *picture, settled bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), o.patience)
	defer cancel()
	changes := compare(o.base, now)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := o.recent()
		if err != nil {
			return nil, err
		}
		open := false
		for _, in := range all {
			open = open || !in.settled
		}
		violations := judge(o.base, now, changes, all)
		if len(violations) == 0 && !(settled && open && len(changes) > 0) {
			return nil, nil
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		for i := range violations {
			violations[i] += "\n" + seen(all)
		}
		return violations, nil
	}
}

// recent gives the intents that the base does not show.
func (o *Oracle) recent() ([]*intent, error) {
	all, err := o.log.intents(context.Background())
	var recent []*intent
	for _, in := range all {
		if !o.past[in.id] {
			recent = append(recent, in)
		}
	}
	return recent, err
}

func seen(all []*intent) string {
	if len(all) == 0 {
		return "\tthe log has no intents"
	}
	var b strings.Builder
	b.WriteString("\tintents in the log:")
	for _, in := range all[max(0, len(all)-20):] {
		fmt.Fprintf(&b, "\n\t\t%s", in)
	}
	return b.String()
}

func (o *Oracle) connect(ctx context.Context) error {
	if o.conn != nil && o.conn.Ping(ctx) == nil {
		return nil
	}
	o.Close()
	config, err := pgx.ParseConfig(o.url)
	if err != nil {
		return err
	}
	config.RuntimeParams["application_name"] = "oracle"
	config.RuntimeParams["search_path"] = "pg_catalog"
	config.RuntimeParams["jit"] = "off"
	o.conn, err = pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to the target: %w", err)
	}
	return nil
}

// Close closes the oracle's connection, before the test's end does.
func (o *Oracle) Close() {
	if o.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	o.conn.Close(ctx)
	o.conn = nil
}

func (o *Oracle) look() (*picture, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := o.connect(ctx); err != nil {
		return nil, err
	}
	p, err := take(ctx, o.conn)
	if err != nil {
		return nil, fmt.Errorf("look at the target: %w", err)
	}
	return p, nil
}
