package aws

import (
	"sync"
	"sync/atomic"
)

// facts are what the name of a member tells, whatever it is a member of.
type facts struct {
	protective, notProtective, switches, plain, capacity, kept, dial, force, open, policy, code, secret, role, mild,
	disables bool
}

// Members of AWS's models are few tens of thousands, and most calls use the same
// ones. Keys of maps are the caller's own: what does not fit is not kept.
const maxNames = 20_000

var (
	names     sync.Map // string to facts
	nameCount atomic.Int64
)

// nameOf says what a member's name tells. Matching costs much more than
// remembering, and a call may have thousands of members.
func nameOf(s string) facts {
	if n, ok := names.Load(s); ok {
		return n.(facts)
	}
	n := facts{
		protective:    protective.MatchString(s),
		notProtective: notProtective.MatchString(s),
		switches:      switches.MatchString(s),
		plain:         plainSwitch(s),
		capacity:      capacities.MatchString(s),
		kept:          kept.MatchString(s),
		dial:          dials.MatchString(s),
		force:         forces.MatchString(s) && !harmlessForce.MatchString(s),
		open:          opens.MatchString(s),
		policy:        ofPolicy.MatchString(s),
		code:          code.MatchString(s),
		secret:        secret.MatchString(s),
		role:          roleMember.MatchString(s),
		mild:          mildRole.MatchString(s),
		disables:      disables(s),
	}
	if len(s) <= 64 && nameCount.Load() < maxNames {
		nameCount.Add(1)
		names.Store(s, n)
	}
	return n
}
