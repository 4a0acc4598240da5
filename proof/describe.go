package proof

import (
	"fmt"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// Describe says in one line what an entry tells in the clear, for people. It
// is nothing to parse, and may change. The line is safe to show: see
// [signalbox.Visible].
func Describe(e Entry) string { return signalbox.Visible(describe(e.Body)) }

func describe(b Body) string {
	switch b := b.(type) {
	case *Start:
		return fmt.Sprintf("log %s begins, by Signalbox %s", b.Origin, b.Version)
	case *SessionStart:
		return fmt.Sprintf("session %s of %s at %s until %s", b.Session, b.Actor, orAll("gate", b.Gates),
			clock(b.Expires))
	case *SessionEnd:
		return fmt.Sprintf("session %s %s by %s", b.Session, b.Reason, b.By)
	case *Intent:
		s := fmt.Sprintf("%s at %s: %s", b.Actor, b.Gate, actions(b.Actions))
		if b.Hold != "" {
			s += ", approved as hold " + b.Hold
		}
		if b.BreakGlass != "" {
			s += ", through break-glass " + b.BreakGlass
		}
		if b.Direction == Revert {
			s += ", a revert"
		}
		if b.Parent.Rollout != "" {
			s += ", of rollout " + b.Parent.Rollout
		}
		return s
	case *Outcome:
		return fmt.Sprintf("intent %s: %s%s", b.Intent, result(b.Result, b.Code), rows(b.Rows))
	case *Resolution:
		return fmt.Sprintf("intent %s was %s%s, found out by %s", b.Intent, result(b.Result, b.Code), rows(b.Rows),
			b.By)
	case *Refusal:
		return fmt.Sprintf("%s at %s: %s: %s", b.Actor, b.Gate, actions(b.Actions), why(b.Verdict))
	case *Hold:
		return fmt.Sprintf("%s: %s at %s: %s: needs %s", b.Hold, b.Actor, b.Gate, actions(b.Actions), needs(b.Verdict))
	case *Approval:
		s := fmt.Sprintf("%s: %s by %s", b.Hold, b.Answer, b.By)
		if b.Expires != 0 {
			s += ", which approves it until " + clock(b.Expires)
		}
		return s
	case *Confirmation:
		return fmt.Sprintf("%s: confirmed by %s, who asked", b.Hold, b.By)
	case *Withdrawal:
		return fmt.Sprintf("%s: withdrawn by %s", b.Hold, b.By)
	case *Expiry:
		return fmt.Sprintf("%s: its time is over", b.Hold)
	case *Dead:
		s := fmt.Sprintf("%s: no longer what was approved (%s)", b.Hold, b.Reason)
		if b.By != "" {
			s += ", asked again as " + b.By
		}
		return s
	case *Reads:
		return fmt.Sprintf("%s at %s: %s of %s, %s", b.Actor, b.Gate, count(b.Statements, "read"),
			count(int64(len(b.Shapes)+b.Omitted), "shape"), count(b.Rows, "row"))
	case *Read:
		return fmt.Sprintf("%s at %s: %s%s", b.Actor, b.Gate, actions(b.Actions), rows(b.Rows))
	case *Observation:
		who := "somebody"
		switch {
		case b.Actor != signalbox.Actor{}:
			who = b.Actor.String()
		case b.As != "":
			who = b.As
		}
		return fmt.Sprintf("%s saw %s: %s", b.Source, who, actions(b.Actions))
	case *Storm:
		return fmt.Sprintf("%d %s at %s not recorded each, from %s to %s", b.Count, b.What, b.Gate, clock(b.From),
			clock(b.To))
	}
	return describeControl(b)
}

func describeControl(b Body) string {
	switch b := b.(type) {
	case *Halt:
		return fmt.Sprintf("%s halted by %s", scoped(b.Scope, b.Name), b.By)
	case *Resume:
		return fmt.Sprintf("%s resumed by %s", scoped(b.Scope, b.Name), b.By)
	case *FreezeStart:
		s := fmt.Sprintf("freeze %s by %s", b.Freeze, b.By)
		if len(b.Environments) > 0 {
			s += fmt.Sprintf(" of %s", b.Environments)
		}
		if len(b.Gates) > 0 || len(b.Environments) == 0 {
			s += " at " + orAll("gate", b.Gates)
		}
		if b.Until != 0 {
			s += " until " + clock(b.Until)
		}
		return s
	case *FreezeEnd:
		return fmt.Sprintf("freeze %s ended by %s", b.Freeze, b.By)
	case *BreakGlassStart:
		return fmt.Sprintf("BREAK-GLASS %s by %s: %s at %s until %s", b.ID, b.By, b.Verbs, orAll("gate", b.Gates),
			clock(b.Expires))
	case *BreakGlassEnd:
		return fmt.Sprintf("break-glass %s ended by %s", b.ID, b.By)
	case *User:
		s := fmt.Sprintf("%s %s by %s", b.Name,
			map[string]string{"add": "enrolled", "change": "changed", "revoke": "revoked", "remove": "removed"}[b.Op],
			b.By)
		if b.Admin {
			s += ", administrator"
		}
		if b.Op != "remove" && len(b.Groups) > 0 {
			s += ", in " + strings.Join(b.Groups, ", ")
		}
		if len(b.Changed) > 0 {
			s += " (changed: " + strings.Join(b.Changed, ", ") + ")"
		}
		return s
	case *Login:
		return fmt.Sprintf("%s logged %s at the console", b.Name, b.Op)
	case *Disclosing:
		return fmt.Sprintf("hidden fields of entry %d (%s) shown to %s: %s", b.Index, b.Entry, b.By,
			strings.Join(b.Fields, ", "))
	case *Settings:
		return describeSettings(b)
	case *Policy:
		s := fmt.Sprintf("policy set %s %s by %s", b.Version.Short(), b.Status, b.By)
		if b.Hold != "" {
			s += ", hold " + b.Hold
		}
		return s
	case *Erase:
		return fmt.Sprintf("hidden fields of entry %d (%s) erased by %s", b.Index, b.Entry, b.By)
	case *Recovery:
		return fmt.Sprintf("%s took over from %s: %d intents of unknown outcome", b.Replica, b.Lost, b.Unknown)
	}
	return string(b.Kind())
}

func describeSettings(b *Settings) string {
	s := fmt.Sprintf("server %s starts, Signalbox %s, %d gates", b.Replica, b.Version, len(b.Gates)+b.Omitted)
	if b.Op == "lower" {
		s = fmt.Sprintf("PROTECTION LOWERED: server %s starts, Signalbox %s, %d gates", b.Replica, b.Version,
			len(b.Gates)+b.Omitted)
	}
	if b.Production {
		s += ", policies change by approval"
	}
	if b.AllowLiveAgents {
		s += ", people with live agents may approve"
	}
	if len(b.Changed) > 0 {
		s += " (changed: " + strings.Join(b.Changed, "; ") + ")"
	}
	return s
}

// actions names what was asked: the operations, and where they fit the things.
func actions(as []Action) string {
	const most = 3
	var parts []string
	for i, a := range as {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(as)-most))
			break
		}
		s := a.Native
		for j, r := range a.Resources {
			if j == most {
				s += fmt.Sprintf(" and %d more", len(a.Resources)-most+a.Omitted)
				break
			}
			s += " " + r.Name
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

func needs(v Verdict) string {
	parts := append([]string(nil), v.Requires...)
	if v.Confirm {
		parts = append(parts, "a confirmation")
	}
	return strings.Join(parts, " and ")
}

func why(v Verdict) string {
	if v.Reason != "" {
		return v.Reason
	}
	return strings.Join(v.Policies, ", ")
}

func result(r signalbox.Result, code string) string {
	if code == "" {
		return string(r)
	}
	return string(r) + " (" + code + ")"
}

func rows(n int64) string {
	if n < 0 {
		return ""
	}
	return ", " + count(n, "row")
}

// count gives "1 row", "2 rows".
func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func scoped(s Scope, name string) string {
	if s == ScopeAll {
		return "everything"
	}
	return string(s) + " " + name
}

func orAll(what string, names []string) string {
	if len(names) == 0 {
		return "every " + what
	}
	return strings.Join(names, ", ")
}

func clock(m Millis) string { return m.Time().Format(time.RFC3339) }
