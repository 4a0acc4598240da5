package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/aws/probe"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// decide has a call decided, and done if it may be, and answers the client.
func (x *exchange) decide(c *call) error {
	e := &execution{x: x, c: c}
	e.run = func(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) { return e.forward(ctx, p) }
	if isRead(c.actions) {
		done, err := x.admit(c, e)
		if err != nil || done {
			return err
		}
		return x.relay(c)
	}
	return x.do(c, e)
}

// do has a change decided, recorded and executed, and releases its answer.
func (x *exchange) do(c *call, e *execution) error {
	_, err := x.session.Do(x.ctx, c.request(), e)
	return x.conclude(e, err)
}

// admit decides a read. It reports done when the read was carried out and
// answered: because people had to approve it.
func (x *exchange) admit(c *call, e *execution) (done bool, err error) {
	r := c.request()
	a, err := x.g.Interlock.Admit(x.ctx, r, e)
	if held := (*interlock.HeldError)(nil); errors.As(err, &held) && r.Gate.Wait > 0 {
		return true, x.do(c, e)
	}
	if err != nil {
		return false, err
	}
	if a.Hold() != "" {
		_, err := x.session.Execute(x.ctx, []gate.Admission{a}, e)
		return true, x.conclude(e, err)
	}
	if x.g.ReadEach {
		return false, x.g.Interlock.ReadEach(x.ctx, a)
	}
	read := c.actions[0]
	x.session.Reads.Add(x.g.Now(), read.Fingerprint, read.Shape, "", c.digest[:], 0)
	return false, nil
}

// relay forwards a read that was admitted and accounted for.
func (x *exchange) relay(c *call) error {
	a, why := x.send(x.ctx, c, string(x.session.ID))
	if why != nil {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		x.g.Logger.Warn("aws did not answer a read", "gate", x.g.Config.Gate.Name, "operation", c.actions[0].Native,
			"error", why)
		return why.tell(http.StatusBadGateway, "AWS did not answer")
	}
	x.answer = a
	return x.release()
}

// conclude tells the client what came of an execution.
func (x *exchange) conclude(e *execution, err error) error {
	unknown := (*interlock.UnknownError)(nil)
	switch {
	case errors.As(err, &unknown) && x.answer != nil && x.answer.complete:
		// AWS itself answered that it does not know: in its own words, which its
		// clients know what to do with. Each further attempt has its own intent.
	case err != nil:
		return err
	case e.refused != nil:
		return e.refused
	}
	return x.release()
}

// An execution is interlock's hold on one call.
type execution struct {
	x   *exchange
	c   *call
	run func(context.Context, *interlock.Permit) (signalbox.Outcome, error)

	probed  *signalbox.Impact // as last measured
	refer   references
	refused error // what the client is told when nothing was forwarded
}

var _ interlock.Executor = (*execution)(nil)

// Probe implements [interlock.Executor].
func (e *execution) Probe(ctx context.Context) (_ signalbox.Impact, _ signalbox.State, err error) {
	shown := e.c.actions[signalbox.Gravest(e.c.actions)].Impact
	defer func() {
		if v := recover(); v != nil {
			e.x.g.Caught("a probe", v)
			err = errDefect
		}
	}()
	if e.c.params == nil {
		return shown, nil, errors.New("nobody knows what the operation does")
	}
	impact, state, err := probe.Probe(ctx, caller{e.x.g, e.x.watcher(), e.refer.probe}, e.c.native, shown)
	if err != nil {
		return shown, nil, err
	}
	e.probed = &impact
	return impact, state, nil
}

// watcher gives as whom the gate looks at what a call would touch: itself, but
// in another account it has nothing except the role.
func (x *exchange) watcher() identity {
	if x.role != nil && x.role.account != x.g.Upstream.Account {
		return x.as()
	}
	return x.g.own
}

// Execute implements [interlock.Executor].
func (e *execution) Execute(ctx context.Context, p *interlock.Permit) (out signalbox.Outcome, err error) {
	defer func() { out.Reference = e.refer.all() }()
	defer func() {
		if v := recover(); v != nil {
			// Perhaps it was forwarded: nobody knows.
			e.x.g.Caught("an execution", v)
			err = errDefect
		}
	}()
	var touched map[string]int64
	if p.Limited {
		// Nothing can be undone at AWS: what may be touched is counted before.
		touched = e.touched(ctx)
		overran := (*interlock.OverrunError)(nil)
		if err := p.Spend(touched); errors.As(err, &overran) {
			return signalbox.Outcome{}, err
		} else if err != nil {
			return e.notForwarded(fmt.Errorf("%w: ceiling: %w", interlock.ErrUnavailable, err)), nil
		}
	}
	out, err = e.run(ctx, p)
	if out.Result == signalbox.Done && touched != nil {
		out.Touched = touched
	}
	return out, err
}

// notForwarded is the outcome of a call that never left.
func (e *execution) notForwarded(why error) signalbox.Outcome {
	e.refused = why
	return gate.NotForwarded(why)
}

// touched counts what the call will touch, by resource: as it was measured, or
// as the request shows. What neither tells counts as one of each.
func (e *execution) touched(ctx context.Context) map[string]int64 {
	gravest := e.c.actions[signalbox.Gravest(e.c.actions)]
	if e.probed == nil && gravest.Impact.Count == signalbox.CountUnknown {
		// Without a prober the request's own word stands.
		_, _, _ = e.Probe(ctx)
	}
	all := make(map[string]int64)
	if e.probed != nil && e.probed.Count != signalbox.CountUnknown {
		spread(all, gravest, e.probed.Count+e.probed.Dependants)
		return all
	}
	for _, a := range e.c.actions {
		if a.Verb != signalbox.Read {
			spread(all, a, a.Impact.Count)
		}
	}
	return all
}

// spread counts n among the resources of an action.
func spread(all map[string]int64, a signalbox.Action, n int64) {
	if len(a.Resources) == 0 {
		all[a.Native] += max(n, 1)
		return
	}
	if n == signalbox.CountUnknown {
		n = int64(len(a.Resources))
	}
	for i, r := range a.Resources {
		share := min(n, 1)
		if i == len(a.Resources)-1 {
			share = n
		}
		all[r.String()] += share
		n -= share
	}
}

// forward sends the call and reports what AWS said.
func (e *execution) forward(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	x := e.x
	a, why := x.send(ctx, e.c, p.Intent)
	switch {
	case why == nil:
	case why.sent == nothingDone:
		if x.ctx.Err() != nil {
			return e.notForwarded(context.Cause(x.ctx)), nil
		}
		return e.notForwarded(why.tell(http.StatusServiceUnavailable,
			"AWS could not be reached, and nothing was done")), nil
	case why.sent == badBody:
		return e.notForwarded(x.unread(why.err)), nil
	default:
		return signalbox.Outcome{Rows: signalbox.CountUnknown}, why
	}
	x.answer = a
	e.refer.request(a.header)
	return x.outcome(e.c)
}
