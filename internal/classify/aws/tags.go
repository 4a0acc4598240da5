package aws

import (
	"regexp"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// environments are keys of labels that say where a thing stands.
var environments = regexp.MustCompile(`(?i)^([a-z0-9]+[:/._-])?(env|environment|environment[-_]?(name|type)|stage|tier|lifecycle|deployment[-_]?(env|stage)|account[-_]?type|criticality|data[-_]?class(ification)?|production)$`)

// lesser are values that move a thing out of production's care.
var lesser = regexp.MustCompile(`(?i)^(dev(el(opment)?)?|test(ing)?|tst|qa|sandbox|playground|stag(e|ing)|non-?prod(uction)?|temp(orary)?|tmp|ephemeral|scratch|demo|lab|poc|experiment(al)?|low|none|false|no|retired|deprecated|decommission(ed)?|obsolete|unused|delete|deleted|public)([-_ ].*)?$`)

// sweepers are keys of labels on which machines act that remove or stop things.
var sweepers = regexp.MustCompile(`(?i)(auto[-_]?(delete|stop|shutdown|terminate|off)|delete[-_]?(after|on|me)|expir(y|es|ation)|cleanup|janitor|nuke|reap|ttl|kill|scheduled?[-_]?(stop|delete)|terminate)`)

// shields are keys of labels on which protections go.
var shields = regexp.MustCompile(`(?i)(backup|protect|snapshot|retention|monitor|patch[-_]?exempt|do[-_]?not[-_]?delete|keep|critical|compliance|audit|scan|security)`)

// isTagPath reports whether a value is in a list of labels.
func isTagPath(path []string) bool {
	return slices.ContainsFunc(path, func(name string) bool {
		l := strings.ToLower(name)
		return l == "tags" || l == "tagset" || l == "taglist" || l == "tagging" || l == "tagsmap" || l == "tagkeys" ||
			l == "tagspecifications"
	})
}

// tags looks at labels that are put on what is there already: where it stands,
// who sweeps it and who protects it often hang on them.
func (j *judge) tags() {
	if j.verb != signalbox.Update && j.verb != signalbox.Permission || !tagging(j.name) {
		return
	}
	removes := strings.HasPrefix(j.name, "Untag") || strings.HasPrefix(j.name, "Remove") ||
		strings.HasPrefix(j.name, "Delete")
	for key, value := range labels(map[string]any(j.p), nil, 0) {
		switch {
		case environments.MatchString(key) && (removes || lesser.MatchString(value)):
			j.trait(signalbox.TraitRename)
			j.say("a label that says where it stands")
		case sweepers.MatchString(key) && !removes && !off(value) && value != "":
			j.trait(signalbox.TraitDeferred)
			j.say("a label on which something may remove or stop it")
		case shields.MatchString(key) && (removes && !strings.EqualFold(key, "patch-group") || off(value) ||
			value == "0"):
			j.weaken("a label on which protection may hang")
		}
	}
	if removes && (j.name == "DeleteBucketTagging" || j.name == "DeleteObjectTagging") {
		j.trait(signalbox.TraitRename)
		j.say("removes all labels, that too which says where it stands")
	}
}

// tagging reports whether an operation is about labels.
func tagging(operation string) bool {
	return slices.ContainsFunc(words(operation),
		func(w string) bool { return strings.HasPrefix(w, "Tag") || w == "Untag" })
}

// labels collects the keys and values of labels, however a service writes them:
// a list of Key and Value, a map, or a list of keys alone.
func labels(v any, path []string, depth int) map[string]string {
	out := map[string]string{}
	if depth > maxDepth {
		return out
	}
	merge := func(m map[string]string) {
		for k, v := range m {
			out[k] = v
		}
	}
	switch v := v.(type) {
	case map[string]any:
		p := params(v)
		key := ""
		for _, k := range []string{"Key", "TagKey"} {
			if key == "" {
				key = p.text(k)
			}
		}
		if key != "" && len(path) > 0 {
			out[key] = firstText(p, "Value", "TagValue")
			return out
		}
		plain := len(path) > 0 && isTagPath(path[len(path)-1:])
		for k, x := range v {
			if s, ok := x.(string); ok && plain {
				out[k] = s
				continue
			}
			merge(labels(x, append(path[:len(path):len(path)], k), depth+1))
		}
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok && len(path) > 0 &&
				strings.HasSuffix(strings.ToLower(path[len(path)-1]), "keys") {
				out[s] = ""
				continue
			}
			merge(labels(x, path, depth+1))
		}
	}
	return out
}

func firstText(p params, names ...string) string {
	for _, n := range names {
		if t := p.text(n); t != "" {
			return t
		}
	}
	return ""
}
