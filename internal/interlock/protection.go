package interlock

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// What protects production must not be a matter of one process's configuration:
// another process on the same state, or the next start, would have another. So
// each start compares its settings with those that were recorded and with those
// of the replicas that live, refuses where they protect less or differ, and
// records what it works by.

// ErrSettings is wrapped by [New]'s error when the settings differ from those
// of the replicas that live, or protect production less than those recorded.
var ErrSettings = errors.New("the settings protect production differently")

// protection is what production is protected by. Its JSON is compared with that
// of other replicas as text: fields are added at the end, and left out while
// they have no meaning.
type protection struct {
	Production      bool                `json:"production"`
	AllowLiveAgents bool                `json:"allow_live_agents,omitempty"`
	PermitTime      int64               `json:"permit_time,omitempty"` // milliseconds
	HoldTime        int64               `json:"hold_time,omitempty"`
	OpenHolds       int64               `json:"open_holds,omitempty"`
	Gates           []proof.GateSetting `json:"gates,omitempty"`
}

// settings gives what this process is configured to work by.
func (i *Interlock) settings() protection {
	p := protection{
		Production: i.config.PolicyGate, AllowLiveAgents: i.config.AllowLiveAgents,
		PermitTime: i.config.PermitTime.Milliseconds(), HoldTime: i.config.HoldTime.Milliseconds(),
		OpenHolds: int64(i.config.MaxOpenHolds),
		Gates:     slices.Clone(i.config.Gates),
	}
	slices.SortFunc(p.Gates, func(a, b proof.GateSetting) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// text is the form in which settings are kept. Without production there is
// nothing that replicas must agree upon.
func (p protection) text() string {
	if !p.Production {
		p = protection{}
	}
	data, err := json.Marshal(p)
	if err != nil {
		panic("interlock: settings cannot be encoded: " + err.Error()) // plain data
	}
	return string(data)
}

func parseProtection(text string) (protection, error) {
	var p protection
	if text == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("settings in the database: %w", err)
	}
	return p, nil
}

// differences lists what differs between two settings, as "what: was, is".
func (p protection) differences(now protection) []string {
	var out []string
	note := func(what string, was, is any) {
		if was != is {
			out = append(out, fmt.Sprintf("%s: %v, now %v", what, was, is))
		}
	}
	span := func(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
	note("production", p.Production, now.Production)
	note("approvals.allow_live_agents", p.AllowLiveAgents, now.AllowLiveAgents)
	note("approvals.permit_time", span(p.PermitTime), span(now.PermitTime))
	note("approvals.hold_time", span(p.HoldTime), span(now.HoldTime))
	note("limits.open_holds", p.OpenHolds, now.OpenHolds)
	for _, g := range p.Gates {
		other := now.gate(g.Name)
		if other == nil {
			out = append(out, fmt.Sprintf("gate %s: is missing", g.Name))
			continue
		}
		note("gate "+g.Name, g, *other)
	}
	for _, g := range now.Gates {
		if p.gate(g.Name) == nil {
			out = append(out, fmt.Sprintf("gate %s: is new", g.Name))
		}
	}
	return out
}

func (p protection) gate(name string) *proof.GateSetting {
	for n := range p.Gates {
		if p.Gates[n].Name == name {
			return &p.Gates[n]
		}
	}
	return nil
}

// lowered lists what of now protects production less than p does. That no gate
// stands before production any more is not among it: it then stays as it was,
// see merged.
func (p protection) lowered(now protection) []string {
	if !p.Production {
		return nil
	}
	var out []string
	if now.AllowLiveAgents && !p.AllowLiveAgents {
		out = append(out, "approvals.allow_live_agents: false, now true")
	}
	if now.PermitTime > p.PermitTime {
		out = append(out, fmt.Sprintf("approvals.permit_time: %s, now %s", ms(p.PermitTime), ms(now.PermitTime)))
	}
	for _, g := range now.Gates {
		known := false
		for _, was := range p.Gates {
			// A gate is known by its name and by what stands behind it: another
			// name in front of the same target is no way round.
			if !was.Environment.Production() || was.Name != g.Name && was.Target != g.Target {
				continue
			}
			known = true
			if !g.Environment.Production() {
				out = append(out, fmt.Sprintf("gate %s: environment %s, now %s", g.Name, was.Environment,
					g.Environment))
			}
			out = append(out, more("gate "+g.Name+": ceiling.request", was.CeilingRequest, g.CeilingRequest)...)
			out = append(out, more("gate "+g.Name+": ceiling.total", was.CeilingTotal, g.CeilingTotal)...)
			if was.Reads == "each" && g.Reads != "each" {
				out = append(out, fmt.Sprintf("gate %s: reads each, now %s", g.Name, g.Reads))
			}
		}
		if !known && g.Environment.Production() {
			out = append(out, more("gate "+g.Name+" (new): ceiling.request", control.DefaultCeilingRequest,
				g.CeilingRequest)...)
			out = append(out, more("gate "+g.Name+" (new): ceiling.total", control.DefaultCeilingTotal,
				g.CeilingTotal)...)
		}
	}
	return out
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func more(what string, was, is int64) []string {
	if is <= was {
		return nil
	}
	return []string{fmt.Sprintf("%s: %d, now %d", what, was, is)}
}

// merged gives what is kept when a process with settings now starts where p is
// kept: now, and the production gates that it does not have, so that they are
// known when they come back.
func (p protection) merged(now protection) protection {
	if !p.Production {
		return now
	}
	if !now.Production {
		return p
	}
	now.Gates = slices.Clone(now.Gates)
	for _, g := range p.Gates {
		if g.Environment.Production() && now.gate(g.Name) == nil {
			now.Gates = append(now.Gates, g)
		}
	}
	slices.SortFunc(now.Gates, func(a, b proof.GateSetting) int { return cmp.Compare(a.Name, b.Name) })
	return now
}

// register takes the lease, and records by which settings this process works: in
// one transaction with the conditions that no other replica works by others, and
// that nobody has changed meanwhile what is kept.
func (i *Interlock) register(ctx context.Context) error {
	mine := i.settings()
	for range maxTries {
		if err := i.readControl(ctx); err != nil {
			return err
		}
		now, c := i.now(), i.snapshot.Load()
		was, err := i.state.Protection(ctx)
		if err != nil {
			return err
		}
		kept, err := parseProtection(was)
		if err != nil {
			return err
		}
		body := proof.Settings{
			Replica: i.config.Replica, Version: i.config.Start.Version, Op: "start",
			Production: mine.Production || c.Production, AllowLiveAgents: mine.AllowLiveAgents,
			PermitTime: mine.PermitTime, HoldTime: mine.HoldTime, OpenHolds: mine.OpenHolds,
		}
		body.Gates, body.Omitted = firstGates(mine.Gates)
		b := ledger.Batch{Changes: slices.Clone(i.state.Register(i.config.Replica, now.Add(i.config.LeaseTime),
			mine.text()))}
		next := kept.merged(mine)
		if i.config.LowerProtection {
			next, body.Op, body.Production = mine, "lower", mine.Production
			if !i.config.Alone {
				b.Changes = append(b.Changes, i.state.RequireAlone(i.config.Replica, now)...)
			}
		} else if low := kept.lowered(mine); len(low) > 0 {
			return fmt.Errorf("%w: less than what is recorded (%s). If that is meant, stop all servers of this database and start one with --lower-protection", ErrSettings, strings.Join(low, "; "))
		} else if !i.config.Alone {
			b.Changes = append(b.Changes, i.state.RequireSettings(i.config.Replica, mine.text(), now)...)
		}
		if err := i.agree(ctx, mine, now); err != nil {
			return err
		}
		if was != "" {
			body.Changed = kept.differences(next)
			if len(body.Changed) > maxChanges {
				body.Changed = body.Changed[:maxChanges]
			}
		}
		if text := next.text(); text != was {
			b.Changes = append(b.Changes, i.state.SetProtection(was, text, next.Production)...)
			b.Changes = append(b.Changes, i.state.RaiseEpoch(c.Epoch)...)
		}
		record, err := seal(now, newID(now), body, nil)
		if err != nil {
			return err
		}
		b.Records = []ledger.Record{record}
		if _, err = i.ledger.Commit(ctx, b); !errors.Is(err, ledger.ErrStale) {
			if err == nil {
				err = i.readControl(ctx)
			}
			return err
		}
	}
	return fmt.Errorf("%w: register: the control state kept changing, try again", ErrUnavailable)
}

// Bounds of what a settings entry lists.
const (
	maxGates   = 200
	maxChanges = 50
)

func firstGates(gates []proof.GateSetting) ([]proof.GateSetting, int) {
	n := min(len(gates), maxGates)
	return gates[:n], len(gates) - n
}

// agree says which other replica lives that works by other settings, or, where
// protection is to be lowered, that lives at all.
func (i *Interlock) agree(ctx context.Context, mine protection, now time.Time) error {
	if i.config.Alone {
		return nil
	}
	others, err := i.state.Replicas(ctx, i.config.Replica, now)
	if err != nil {
		return err
	}
	for _, o := range others {
		ends := o.Expires.UTC().Format(time.RFC3339)
		if i.config.LowerProtection {
			return fmt.Errorf("%w: --lower-protection while server %s lives: stop it first (if it has crashed, wait until its lease ends at %s)", ErrSettings, o.Replica, ends)
		}
		if o.Settings == "" || o.Settings == mine.text() {
			continue
		}
		theirs, err := parseProtection(o.Settings)
		if err != nil {
			return err
		}
		own := mine
		if !own.Production {
			own = protection{}
		}
		return fmt.Errorf("%w: server %s of this database works by others (%s). Give all of them the same, or stop it first (if it has crashed, wait until its lease ends at %s)",
			ErrSettings, o.Replica, strings.Join(theirs.differences(own), "; "), ends)
	}
	return nil
}
