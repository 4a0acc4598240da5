package aws

import (
	"regexp"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// unnamed is the name of a resource that gets its name from AWS.
const unnamed = "(new)"

// verbWords are the words that begin a name and are no part of its noun.
var verbWords = map[string]bool{"Batch": true, "Admin": true, "Transact": true}

// noun gives what an operation's name speaks of: DB, Instance of
// DeleteDBInstance.
func noun(operation string) []string {
	w := words(operation)
	if len(w) > 1 && verbWords[w[0]] {
		w = w[1:]
	}
	if len(w) > 0 {
		w = w[1:]
	}
	// AddTagsToResource, RemoveRoleFromInstanceProfile: what it is done to counts.
	for i, x := range w {
		if i > 0 && (x == "To" || x == "From" || x == "For" || x == "With" || x == "In") && i+1 < len(w) {
			w = w[i+1:]
			break
		}
	}
	return w
}

// suffixes end the names of members that identify something, longest first.
var suffixes = []string{"ARNList", "ArnList", "IdList", "IDList", "NameList", "Identifiers", "Identifier", "Names",
	"Name", "Arns", "ARNs", "Arn", "ARN", "Ids", "IDs", "Id", "ID", "Url", "URL"}

// bareIdentity are members that identify something without such an ending.
var bareIdentity = map[string]string{
	"bucket": "bucket", "cluster": "cluster", "clusters": "cluster", "service": "service", "services": "service",
	"resource": "resource", "resources": "resource", "containerinstance": "container-instance",
	"containerinstances": "container-instance",
	"taskdefinition":     "task-definition", "task": "task", "tasks": "task", "instances": "instance",
	"streamname": "stream",
	"rule":       "rule", "hostedzone": "hosted-zone", "loadbalancer": "load-balancer", "domain": "domain",
	"repository": "repository",
	"secretid":   "secret", "keyid": "key", "trail": "trail",
}

// references are members that name something the call does not change.
var references = []string{
	"role", "kmskey", "securitygroup", "subnet", "topic", "snstopic", "certificate", "client", "clienttoken",
	"nexttoken", "owner", "account",
	"version", "catalog", "marker", "kms", "request", "caller", "destination", "image", "parametergroup",
	"dbparametergroup", "dbsubnetgroup",
	"snapshot", "source", "target", "user", "document", "event", "expectedbucketowner", "callerreference", "metric",
	"optiongroup", "logstream",
	"monitoringrole", "execution", "taskrole", "availabilityzone", "zone", "profile", "iaminstanceprofile", "signing",
	"sequencer", "job", "correlation",
	"encryption", "ssekmskey", "display", "change", "idempotency", "attribute", "header", "filter", "vpc", "hosted",
	"host", "principal", "dns",
}

// A handle is a parameter that names something.
type handle struct {
	member   string
	stem     string // lower case, singular, without the suffix
	kind     string // "db-instance"
	rank     int
	required bool
	names    []string
}

// known are nouns of operations that speak of a part or a state of the thing
// whose plain Name or Id they take.
var known = map[string]string{
	"cloudtrail logging": "trail", "cloudtrail trail-status": "trail", "guardduty monitoring-member": "detector",
	"secretsmanager secret-value": "secret",
	"kms key-rotation":            "key", "kms key-deletion": "key", "sqs queue-attribute": "queue",
	"sns topic-attribute": "topic",
}

func kebab(w []string) string {
	out := make([]string, 0, len(w))
	for _, x := range w {
		out = append(out, strings.ToLower(x))
	}
	return singular(strings.Join(out, "-"))
}

func singular(s string) string {
	switch {
	case strings.HasSuffix(s, "ies") && len(s) > 4:
		return s[:len(s)-3] + "y"
	case strings.HasSuffix(s, "sses"), strings.HasSuffix(s, "xes"), strings.HasSuffix(s, "ches"):
		return s[:len(s)-2]
	case strings.HasSuffix(s, "ss"), strings.HasSuffix(s, "us"), strings.HasSuffix(s, "is"),
		strings.HasSuffix(s, "dns"), strings.HasSuffix(s, "aws"):
		return s
	case strings.HasSuffix(s, "s") && len(s) > 2:
		return s[:len(s)-1]
	}
	return s
}

func flat(kind string) string { return strings.ReplaceAll(kind, "-", "") }

// handleOf reads a member as a handle; false if its name says that it is none.
func (j *judge) handleOf(member string, required bool) (handle, bool) {
	h := handle{member: member, required: required}
	n := kebab(j.noun)
	lower := strings.ToLower(member)
	if kind, ok := bareIdentity[lower]; ok {
		h.kind = kind
	} else {
		stem, cut := "", false
		for _, s := range suffixes {
			if rest, ok := strings.CutSuffix(member, s); ok {
				stem, cut = rest, true
				break
			}
			if strings.EqualFold(member, s) {
				stem, cut = "", true
				break
			}
		}
		if !cut {
			return h, false
		}
		if stem != "" {
			stem = strings.ToUpper(stem[:1]) + stem[1:]
		}
		h.kind = kebab(words(stem))
	}
	h.stem = flat(h.kind)
	switch {
	case h.stem == "" || h.stem == "resource" || h.stem == "amazonresource":
		h.rank, h.kind = 4, n
		if h.stem != "" {
			h.rank = 3
		}
	case h.stem == flat(n):
		h.rank = 5
	case slices.Contains(references, h.stem) && !strings.HasPrefix(flat(n), h.stem):
		h.rank = 0
	case n != "" && (strings.HasPrefix(flat(n), h.stem) || strings.HasSuffix(h.stem, flat(n))):
		h.rank = 3
	case strings.HasSuffix(flat(n), h.stem):
		h.rank = 3
	case required:
		h.rank = 2
	default:
		h.rank = 1
	}
	return h, h.rank > 0
}

// namesIn gives the names in a value that a handle has: a text, a list of
// texts, or a list of structures with a name or an id.
func namesIn(v any) []string {
	var out []string
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if m, ok := x.(map[string]any); ok {
				p := params(m)
				for _, k := range []string{"Id", "Name", "Arn", "Key", "ResourceArn"} {
					if t := p.text(k); t != "" {
						out = append(out, t)
						break
					}
				}
				continue
			}
			out = append(out, text(x))
		}
		if len(v) == 0 {
			out = append(out, "")
		}
	case nil, map[string]any, bool:
	default:
		out = append(out, text(v))
	}
	return out
}

// identify finds what the call is about: the member whose name fits the
// operation's best, with what it is in before it.
func (j *judge) identify() {
	required := j.op.Required()
	handles := j.handles(j.p, required)
	for _, member := range required {
		// UpdateTemplate has a Template, and that the TemplateName.
		if in := j.p.sub(member); len(handles) == 0 && in != nil {
			handles = j.handles(in, nil)
		}
	}
	slices.SortStableFunc(handles, func(a, b handle) int {
		if a.rank != b.rank {
			return b.rank - a.rank
		}
		if a.required != b.required {
			if a.required {
				return -1
			}
			return 1
		}
		return 0
	})
	n := kebab(j.noun)
	if len(handles) == 0 {
		handles = j.anyName(required)
	}
	if len(handles) == 0 || handles[0].rank < 2 && j.verb == signalbox.Create {
		j.unidentified(n, required)
		return
	}
	first := handles[0]
	kind := first.kind
	if first.rank >= 4 || kind == "" {
		kind = n
		if k, ok := known[j.service+" "+n]; ok {
			kind = k
		}
	}
	whole := first.rank >= 3 && (first.rank > 3 || kind == n || j.verb != signalbox.Delete)
	parent, copy := "", copies(j.name) && j.verb == signalbox.Create
	for _, h := range handles[1:] {
		if copy {
			break // what it is made from is not what it is in
		}
		if h.required && h.stem != first.stem && len(h.names) == 1 && h.names[0] != "" &&
			(h.rank == 2 || h.rank == 3) || h.kind == "cluster" && len(h.names) == 1 {
			parent = shortName(h.names[0], h.kind) + "/"
			break
		}
	}
	for _, name := range first.names {
		j.resources = append(j.resources, j.resource(kind, parent, name, whole))
		if len(j.resources) == maxResources {
			break
		}
	}
	j.impact.Count = int64(len(first.names))
	switch {
	case slices.ContainsFunc(first.names, everything):
		j.impact.Scope, j.impact.Count = signalbox.ScopeAll, signalbox.CountUnknown
		if j.verb != signalbox.Read {
			j.trait(signalbox.TraitUnscoped)
			j.say("names everything, or nothing")
		}
	case len(first.names) == 1:
		j.impact.Scope = signalbox.ScopeOne
	default:
		j.impact.Scope = signalbox.ScopeSome
	}
	if copy {
		for _, h := range handles[1:] {
			if len(j.resources) == 1 && len(h.names) == 1 && h.names[0] != "" {
				j.trait(signalbox.TraitCopy)
				j.resources = append(j.resources, j.resource(h.kind, "", h.names[0], true))
			}
		}
	}
}

// nameless are members that are required and say nothing of what a call is about.
var nameless = regexp.MustCompile(`(?i)token|policy|description|status|state|type|mode|value|version|reason|document|statement|sql|message|text|body|content|method|action|principal|role|format|level|period|unit`)

// anyName takes a text that is required for the name, where no member is called
// like one: Identity, Channel.
func (j *judge) anyName(required []string) []handle {
	for _, m := range required {
		if s, ok := j.p[m].(string); ok && s != "" && !nameless.MatchString(m) {
			return []handle{{member: m, stem: strings.ToLower(m), kind: kebab(words(strings.ToUpper(m[:1]) + m[1:])),
				rank: 3, required: true, names: []string{s}}}
		}
	}
	return nil
}

// handles gives the members that name something.
func (j *judge) handles(p params, required []string) []handle {
	var out []handle
	for _, member := range sortedKeys(p) {
		h, ok := j.handleOf(member, slices.Contains(required, member))
		if !ok {
			continue
		}
		h.names = namesIn(p[member])
		if len(h.names) > 0 {
			out = append(out, h)
		}
	}
	return out
}

// maxResources is how many of the things that a call names are listed. All are
// counted.
const maxResources = 100

// everything reports whether a name stands for all there is.
func everything(name string) bool {
	t := strings.TrimSpace(name)
	return t == "" || strings.Trim(t, "*") == "" || strings.EqualFold(t, "ALL")
}

// copies reports whether an operation makes a copy of what it names.
func copies(operation string) bool {
	w := words(operation)
	switch w[0] {
	case "Copy", "Clone":
		return true
	case "Create", "Start":
		last := w[len(w)-1]
		return last == "Snapshot" || last == "Snapshots" || last == "Backup" || last == "Image" ||
			strings.HasSuffix(operation, "BackupJob")
	}
	return false
}

// unidentified is for calls that name nothing. Where the operation has a member
// for a name, leaving it out means everything; where it has none, it is about
// something new, or about the account.
func (j *judge) unidentified(n string, required []string) {
	if n == "" {
		n = j.service
	}
	name, scope, count := "*", signalbox.ScopeAll, signalbox.CountUnknown
	switch {
	case j.verb == signalbox.Create:
		name, scope, count = unnamed, signalbox.ScopeOne, 1
	case j.verb == signalbox.Read:
	case j.selectable(required):
		j.trait(signalbox.TraitUnscoped)
		j.say("names nothing, and so means everything")
	default:
		name, scope, count = j.service, signalbox.ScopeOne, 1
		if j.verb == signalbox.Delete || j.verb == signalbox.Update || j.verb == signalbox.Safeguard {
			j.trait(signalbox.TraitTop)
			j.say("holds for the whole account")
		}
	}
	j.resources = []signalbox.Resource{{Type: j.kind(n), Name: name, Whole: j.verb != signalbox.Read}}
	j.impact.Scope, j.impact.Count = scope, count
}

// selectable reports whether the operation could have been told what it is about.
func (j *judge) selectable(required []string) bool {
	for _, m := range required {
		if h, ok := j.handleOf(m, true); ok && h.rank >= 2 {
			return true
		}
	}
	n := strings.Join(j.noun, "")
	for _, stem := range []string{n, strings.TrimSuffix(n, "s"), ""} {
		for _, s := range suffixes {
			m := stem + s
			if j.op.Member(m) || j.op.Member(strings.ToLower(m[:1])+m[1:]) {
				return true
			}
		}
	}
	return j.op.Member("ResourceArn") || j.op.Member("Filters") || j.op.Member("Targets")
}

// measure says what can be undone.
func (j *judge) measure() {
	j.impact.Reversible = j.verb != signalbox.Delete && j.verb != signalbox.Replace && j.verb != signalbox.Execute &&
		!j.has(signalbox.TraitDataLoss)
	if j.impact.Scope == signalbox.ScopeSome && j.impact.Count > bulk {
		j.trait(signalbox.TraitBulk)
	}
}

// bulk is how many things one call may name before it counts as many at once.
const bulk = 10

// ambiguous are types that other protocols have too: a table of DynamoDB is not
// the table of that name in PostgreSQL, and memory must not take it for that.
var ambiguous = map[string]bool{
	"table": true, "database": true, "role": true, "user": true, "group": true, "policy": true, "trigger": true,
	"schema": true,
	"view":   true, "index": true, "sequence": true, "subscription": true, "type": true, "domain": true, "server": true,
	"extension": true, "service": true, "statistics": true, "rule": true,
}

// kind gives the type of a resource: DynamoDB's "table" is "dynamodb-table".
func (j *judge) kind(k string) string {
	if k == "" {
		k = j.service
	}
	if ambiguous[k] {
		return j.service + "-" + k
	}
	return k
}

func (j *judge) resource(kind, parent, name string, whole bool) signalbox.Resource {
	r := signalbox.Resource{Type: j.kind(kind), Whole: whole}
	if everything(name) {
		r.Name = "*"
		return r
	}
	if strings.HasPrefix(name, "arn:") {
		r.ID = clipID(name)
		kind = arnKind(name, kind)
		r.Type = j.kind(kind)
	}
	short := shortName(name, kind)
	r.Name = clipID(parent + short)
	if r.ID == "" {
		r.ID = clipID(formARN(j.service, kind, parent, short, j.call.Region, j.call.Account))
	}
	return r
}

func clipID(s string) string {
	if len(s) > 2048 {
		return strings.ToValidUTF8(s[:2048], "")
	}
	return s
}
