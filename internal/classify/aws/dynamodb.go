package aws

import (
	"regexp"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

func dynamodbRules(rules map[string]rule) {
	rules["dynamodb:BatchWriteItem"] = dynamoBatch
	rules["dynamodb:TransactWriteItems"] = dynamoTransact
	rules["dynamodb:UpdateTimeToLive"] = dynamoTTL
	rules["dynamodb:UpdateTable"] = dynamoTable
	rules["dynamodb:ExecuteStatement"] = func(j *judge) { j.partiQL([]string{j.p.text("Statement")}) }
	rules["dynamodb:BatchExecuteStatement"] = func(j *judge) { j.partiQL(statements(j.p.structs("Statements"))) }
	rules["dynamodb:ExecuteTransaction"] = func(j *judge) { j.partiQL(statements(j.p.structs("TransactStatements"))) }
	for _, name := range []string{"PutItem", "UpdateItem", "DeleteItem"} {
		rules["dynamodb:"+name] = func(j *judge) {
			j.resources = []signalbox.Resource{j.table(j.p.text("TableName"), false)}
			j.impact.Count, j.impact.Scope = 1, signalbox.ScopeOne
			if s := strings.ToUpper(strings.TrimSpace(j.p.text("UpdateExpression"))); strings.HasPrefix(s,
				"REMOVE") && !setClause.MatchString(s) {
				j.set(signalbox.Delete, "removes what is in an item")
				j.impact.Reversible = false
			}
		}
	}
}

// setClause begins a part of an update expression that keeps something.
var setClause = regexp.MustCompile(`\b(SET|ADD)\b`)

func (j *judge) table(name string, whole bool) signalbox.Resource {
	return j.resource("table", "", name, whole)
}

// items judges a batch of writes to items: deletes count more than puts.
func (j *judge) items(deletes, others int64, tables []string) {
	j.resources = nil
	for _, t := range tables {
		if len(j.resources) < maxResources {
			j.resources = append(j.resources, j.table(t, false))
		}
	}
	if len(tables) == 0 {
		j.resources = []signalbox.Resource{j.table("*", false)}
	}
	j.drop(signalbox.TraitUnscoped, signalbox.TraitTop)
	n := others
	if deletes > 0 {
		j.set(signalbox.Delete, "removes items in a batch")
		j.impact.Reversible = false
		n = deletes
	}
	j.impact.Count, j.impact.Scope = n, signalbox.ScopeSome
	switch {
	case n == 1:
		j.impact.Scope = signalbox.ScopeOne
		j.trait(signalbox.TraitByKey)
	case n > bulk && (deletes > 0 || n > 25):
		j.trait(signalbox.TraitBulk)
	case deletes == 0:
		j.trait(signalbox.TraitByKey)
	}
}

func dynamoBatch(j *judge) {
	var deletes, puts int64
	var tables []string
	requests := j.p.sub("RequestItems")
	for _, t := range sortedKeys(requests) {
		tables = append(tables, t)
		for _, w := range requests.structs(t) {
			if w.has("DeleteRequest") {
				deletes++
			} else {
				puts++
			}
		}
	}
	j.items(deletes, puts, tables)
}

func dynamoTransact(j *judge) {
	var deletes, others int64
	var tables []string
	for _, w := range j.p.structs("TransactItems") {
		for _, kind := range []string{"Put", "Update", "Delete"} {
			if !w.has(kind) {
				continue
			}
			if kind == "Delete" {
				deletes++
			} else {
				others++
			}
			tables = appendNew(tables, w.text(kind, "TableName"))
		}
	}
	if others > 0 && deletes == 0 {
		j.set(signalbox.Update, "changes items in one transaction")
	}
	j.items(deletes, others, tables)
}

func appendNew(l []string, s string) []string {
	for _, have := range l {
		if have == s {
			return l
		}
	}
	return append(l, s)
}

// expiry are names of attributes that say when an item may go.
var expiry = regexp.MustCompile(`(?i)ttl|expir|delete|purge|valid_?until|remove|evict`)

func dynamoTTL(j *judge) {
	j.set(signalbox.Update, "changes when items expire")
	spec := j.p.sub("TimeToLiveSpecification")
	if on, given := spec.flag("Enabled"); given && !on {
		j.drop(signalbox.TraitInterrupts)
		j.besides = nil
		return
	}
	j.impact.Reversible = false
	if !expiry.MatchString(spec.text("AttributeName")) {
		j.trait(signalbox.TraitDataLoss, signalbox.TraitUnscoped)
		j.impact.Scope, j.impact.Count = signalbox.ScopeAll, signalbox.CountUnknown
		j.say("expires items by a time that was not made for it, and may have passed")
	}
}

func dynamoTable(j *judge) {
	for _, u := range j.p.structs("GlobalSecondaryIndexUpdates") {
		if u.has("Delete") {
			j.raise(signalbox.Delete, "removes an index that queries need")
		}
	}
	for _, u := range j.p.structs("ReplicaUpdates") {
		if u.has("Delete") {
			j.raise(signalbox.Delete, "removes a replica")
		}
	}
	if j.p.isNot("StreamSpecification", "StreamEnabled") {
		j.interrupt("ends the stream of its changes")
	}
}

func statements(l []params) []string {
	out := make([]string, 0, len(l))
	for _, s := range l {
		out = append(out, s.text("Statement"))
	}
	return out
}

var partiQLWord = regexp.MustCompile(`(?is)^\s*(select|exists|insert|update|delete)\b`)
var partiQLTable = regexp.MustCompile(`(?is)\b(?:from|into|update)\s+"?([A-Za-z0-9_.-]+)"?`)

// partiQL judges statements of DynamoDB's SQL by their first word. They reach
// items by key alone, but what is not looked into is not trusted to.
func (j *judge) partiQL(all []string) {
	verb := signalbox.Read
	var deletes int64
	var tables []string
	for _, s := range all {
		m := partiQLWord.FindStringSubmatch(s)
		v := signalbox.Execute
		if m != nil && !strings.Contains(s, "--") && !strings.Contains(s, "/*") {
			v = map[string]signalbox.Verb{"select": signalbox.Read, "exists": signalbox.Read,
				"insert": signalbox.Create, "update": signalbox.Update,
				"delete": signalbox.Delete}[strings.ToLower(m[1])]
		}
		if v.Gravity() > verb.Gravity() {
			verb = v
		}
		if v == signalbox.Delete {
			deletes++
		}
		if t := partiQLTable.FindStringSubmatch(s); t != nil {
			tables = appendNew(tables, t[1])
		}
	}
	if len(all) == 0 {
		return
	}
	j.drop(signalbox.TraitUnscoped, signalbox.TraitTop, signalbox.TraitOpaque)
	j.set(verb, "PartiQL that is a "+string(verb))
	if verb == signalbox.Execute {
		j.trait(signalbox.TraitOpaque, signalbox.TraitUnparsed)
	}
	j.resources = nil
	for _, t := range tables {
		if len(j.resources) < maxResources {
			j.resources = append(j.resources, j.table(t, false))
		}
	}
	if len(tables) == 0 {
		j.resources = []signalbox.Resource{j.table("*", false)}
	}
	j.impact = signalbox.Impact{Count: int64(len(all)), Scope: signalbox.ScopeSome,
		Reversible: verb != signalbox.Delete && verb != signalbox.Execute}
	if deletes > 0 {
		j.impact.Count = deletes
	}
	if len(all) == 1 {
		j.impact.Scope = signalbox.ScopeOne
	}
}
