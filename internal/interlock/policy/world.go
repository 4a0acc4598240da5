package policy

import (
	"github.com/cedar-policy/cedar-go"

	"github.com/signalbox-dev/signalbox"
)

// Entity types of the schema.
const (
	typeAction      cedar.EntityType = "Action"
	typeAgent       cedar.EntityType = "Agent"
	typeAutomation  cedar.EntityType = "Automation"
	typeEnvironment cedar.EntityType = "Environment"
	typeGroup       cedar.EntityType = "Group"
	typeHuman       cedar.EntityType = "Human"
	typeMemory      cedar.EntityType = "Memory"
	typeResource    cedar.EntityType = "Resource"
	typeTarget      cedar.EntityType = "Target"
)

func principalType(k signalbox.ActorKind) cedar.EntityType {
	switch k {
	case signalbox.Agent:
		return typeAgent
	case signalbox.Automation:
		return typeAutomation
	}
	return typeHuman
}

func actionUID(name string) cedar.EntityUID {
	return cedar.EntityUID{Type: typeAction, ID: cedar.String(name)}
}

// actionFamily lists the action groups that a verb is in.
func actionFamily(v signalbox.Verb) []cedar.EntityUID {
	switch v {
	case signalbox.Read:
		return nil
	case signalbox.Delete, signalbox.Replace:
		return []cedar.EntityUID{actionUID("destroy"), actionUID("change")}
	}
	return []cedar.EntityUID{actionUID("change")}
}

// actionEntities holds the action hierarchy, which never changes.
var actionEntities = func() map[cedar.EntityUID]cedar.Entity {
	m := make(map[cedar.EntityUID]cedar.Entity)
	for _, v := range signalbox.Verbs() {
		uid := actionUID(string(v))
		m[uid] = cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(actionFamily(v)...)}
	}
	destroy, change := actionUID("destroy"), actionUID("change")
	m[destroy] = cedar.Entity{UID: destroy, Parents: cedar.NewEntityUIDSet(change)}
	m[change] = cedar.Entity{UID: change}
	return m
}()

// A world is one request as Cedar sees it. Records are the costly part of a
// decision, so they hold only what some policy asks for, and entities are made
// when a policy first looks at them.
type world struct {
	req     *Request
	shelf   *shelf
	context cedar.Record

	principal, resource, memory, target, environment cedar.EntityUID

	actor    signalbox.Actor
	byAgent  bool
	about    signalbox.Resource
	entities [4]cedar.Entity // principal, resource, memory, target; zero UID if not made
}

func newWorld(r *Request, sh *shelf) *world {
	w := &world{
		req:         r,
		shelf:       sh,
		memory:      cedar.EntityUID{Type: typeMemory, ID: "session"},
		target:      cedar.EntityUID{Type: typeTarget, ID: cedar.String(r.Target)},
		environment: cedar.EntityUID{Type: typeEnvironment, ID: cedar.String(r.Environment)},
	}
	w.context = record(sh.contextFacts, r)
	return w
}

// become sets as whom the next decision is taken. ByAgent says that a human
// stands for the agent that acts for him.
func (w *world) become(a signalbox.Actor, byAgent bool) {
	w.actor, w.byAgent = a, byAgent
	w.principal = cedar.EntityUID{Type: principalType(a.Kind), ID: cedar.String(a.Name)}
	w.entities[0] = cedar.Entity{}
}

// look sets which resource the next decision is about.
func (w *world) look(r signalbox.Resource) {
	w.about = r
	w.resource = cedar.EntityUID{Type: typeResource, ID: cedar.String(r.Type + " " + r.Name)}
	w.entities[1] = cedar.Entity{}
}

func (w *world) request() cedar.Request {
	return cedar.Request{Principal: w.principal, Action: actionUID(string(w.req.Action.Verb)), Resource: w.resource,
		Context: w.context}
}

// Get implements [cedar.EntityGetter].
func (w *world) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	var slot *cedar.Entity
	var build func() cedar.Entity
	switch uid.Type {
	case typeAction:
		e, ok := actionEntities[uid]
		return e, ok
	case typeHuman, typeAgent, typeAutomation:
		if uid != w.principal {
			// The human of an agent, reached through principal.for.
			return cedar.Entity{UID: uid, Parents: w.groups(), Attributes: humanAttributes(true)},
				uid.Type == typeHuman && string(uid.ID) == w.req.Actor.For
		}
		slot, build = &w.entities[0], w.principalEntity
	case typeResource:
		if uid != w.resource {
			return cedar.Entity{}, false
		}
		slot, build = &w.entities[1], w.resourceEntity
	case typeMemory:
		slot, build = &w.entities[2], w.memoryEntity
	case typeTarget:
		slot, build = &w.entities[3], w.targetEntity
	case typeEnvironment:
		return cedar.Entity{UID: uid}, true
	default:
		return cedar.Entity{}, false
	}
	if slot.UID.IsZero() {
		*slot = build()
	}
	return *slot, true
}

func (w *world) groups() cedar.EntityUIDSet {
	if len(w.req.Groups) == 0 {
		return cedar.EntityUIDSet{}
	}
	uids := make([]cedar.EntityUID, len(w.req.Groups))
	for i, g := range w.req.Groups {
		uids[i] = cedar.EntityUID{Type: typeGroup, ID: cedar.String(g)}
	}
	return cedar.NewEntityUIDSet(uids...)
}

func humanAttributes(byAgent bool) cedar.Record {
	return cedar.NewRecord(cedar.RecordMap{"byAgent": cedar.Boolean(byAgent)})
}

func (w *world) principalEntity() cedar.Entity {
	e := cedar.Entity{UID: w.principal}
	switch w.actor.Kind {
	case signalbox.Agent:
		// An agent is in no group: the rights of its human's groups are not its own.
		e.Attributes = cedar.NewRecord(cedar.RecordMap{"human": cedar.EntityUID{Type: typeHuman,
			ID: cedar.String(w.actor.For)}})
	case signalbox.Automation:
		e.Parents = w.groups()
	default:
		e.Parents, e.Attributes = w.groups(), humanAttributes(w.byAgent)
	}
	return e
}

func (w *world) resourceEntity() cedar.Entity {
	return cedar.Entity{
		UID:     w.resource,
		Parents: cedar.NewEntityUIDSet(w.target),
		Attributes: cedar.NewRecord(cedar.RecordMap{
			"kind":  cedar.String(w.about.Type),
			"name":  cedar.String(w.about.Name),
			"whole": cedar.Boolean(w.about.Whole),
		}),
	}
}

func (w *world) targetEntity() cedar.Entity {
	return cedar.Entity{UID: w.target, Parents: cedar.NewEntityUIDSet(w.environment)}
}

func (w *world) memoryEntity() cedar.Entity {
	return cedar.Entity{UID: w.memory, Attributes: record(w.shelf.memoryFacts, w.req)}
}
