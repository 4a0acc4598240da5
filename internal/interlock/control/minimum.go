package control

import "github.com/signalbox-dev/signalbox"

// minimums are what no policy allows an agent, by the trait that a classifier
// gives it: it leads around the gate.
var minimums = []struct {
	trait      signalbox.Trait
	id, reason string
}{
	{signalbox.TraitPastGate, "credentials-past-the-gate",
		"its answer is credentials that work without the gate, which no agent gets: assume a role through the gate (sts:AssumeRole) instead"},
	{signalbox.TraitGateSetting, "gate-setting",
		"the setting is set by the gate for an agent's session: leave it alone, the gate opens a transaction for what it lets through"},
}

// Least gives the least that the request's verdict must be; the zero verdict if
// policies decide alone.
func (c Case) Least() signalbox.Verdict {
	v := c.Minimum
	if c.Session.Actor.Kind != signalbox.Agent {
		return v
	}
	for _, m := range minimums {
		for _, a := range c.Actions {
			if !a.Has(m.trait) {
				continue
			}
			if denied := Deny(m.id, "%s", m.reason); v.Decision == "" {
				v = denied
			} else {
				v = v.And(denied)
			}
			break
		}
	}
	return v
}
