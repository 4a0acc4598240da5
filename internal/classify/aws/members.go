package aws

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// What the members of any service say. AWS names alike what does alike: a member
// with "DeletionProtection" in its name that is false weakens whatever it is in,
// of a service too that nobody thought of here.

// protective are members that protect while they are on.
var protective = regexp.MustCompile(`(?i)(delet|termination|terminat|change|update|overwrite|scale.?in|newinstances)[a-z]*protect|protect(ed|ion)|versioning|encrypt|pointintime|pitr\b|continuousbackup|automatedbackup|automaticbackup|backup|recovery|autosnapshot|logging|logs?(export|enabled|config|publish)|enable.*logs?$|logfile|log.?delivery|audit|trail|activitystream|monitoring|insights|alarm|actionsenabled|validat|rotat|mfa|multifactor|blockpublic|ignorepublic|restrictpublic|blockall|block.*acls|publicaccessblock|scanon|scanning|detector|guardduty|inspector|macie|malware|\bwaf|shield|firewall|ssl|tls|https|requirehttp|iamauth|iamdatabaseauth|iam.*auth|multiaz|multiregion|failover|replicat|redundan|crossregioncopy|dropinvalid|desync|objectlock|legalhold|immutab|signatureverif|signing|ssespec|^sse|managedsse|securityoptions|securityconfig|zoneaware|includemanagement|allsupported|includeglobal|dnssec|tracing|stopsearch|healthcheck|globalserviceevents|zoneredundan|rollback|circuitbreaker|multiauth|metadatatokens|imdsv2|httptokens|deadletter`)

// notProtective are members that only look so.
var notProtective = regexp.MustCompile(`(?i)copytagstosnapshot|^logtype|snapshotidentifier|autominor|applyimmediately|recommend|backuptarget|includ.*logs?$|logical|catalog|dialog|encryptionkey(id|arn)|publiclyaccessible|hastls|ignoreerrors`)

// capacities are members whose 0 takes what serves out of service.
var capacities = regexp.MustCompile(`(?i)^(desired|max|min)(imum)?(capacity|size|count|instances?|tasks?|containers|nodes?)$|^(desiredcount|desiredcapacity|desiredsize|desiredtasks|capacity|instancecount|nodecount|numberofnodes|numcachenodes|numnodegroups|replicationfactor|replicas|newreplicacount|shardcount|targetshardcount|reserved?concurrent.*|reservedconcurrency|provisionedconcurrent.*|maxconcurrency|weight|trafficdial(percentage)?|trafficpercent(age)?|percenttraffic|batchsize|targetcapacity|totaltargetcapacity|readcapacityunits|writecapacityunits|burstlimit|ratelimit|quotalimit|maxaggregationinterval|maximumnumber.*)$`)

// kept are members that say how long something is kept, so that less is worse.
var kept = regexp.MustCompile(`(?i)retention(period|days|indays|inhours|windows|limit|count|value)?$|retain(rule|count|interval)?$|^(backup)?retentionperiod(hours|indays)?$|expirationindays|recoverywindowindays|pendingwindowindays|deleteafterdays|automaticbackupretentiondays|retentionindays|maxretention`)

// dials are other members that can be turned further and further.
var dials = regexp.MustCompile(`(?i)timeout|threshold|memorysize|ttl$|cooldown|graceperiod|maxreceivecount|healthypercent|maximumpercent|capacityunits|iops$|quota|(rate|burst)?limit$|concurrency|datapoints|evaluationperiods`)

// forces are members that let a call pass over what would stop it.
var forces = regexp.MustCompile(`(?i)^(force[a-z]*|bypass[a-z]*|override[a-z]*|skip[a-z]*|ignore[a-z]*(check|lock|protect|error|alarm|health)[a-z]*|withoutrecovery|deleteautomatedbackups|purge|disregard[a-z]*|disablerollback|allow.*(downtime|dataloss|unsafe|override).*)$`)

// harmlessForce are those that force nothing dangerous.
var harmlessForce = regexp.MustCompile(`(?i)^(forcenewdeployment|forceupdateenabled|forcealiascreation|overridealias|forcealiasdeletion|skipresourcesinuse|skiparchive|ignoreerrors|forceapidelete|overrideartifactname|overrideconfig|overrides?|skipdestination.*|forcerefresh|forcehttps?|overrideaction|overridename|skipfinalbackupcheck|overrideduration.*)$`)

// opens are members that open something to everybody while they are on.
var opens = regexp.MustCompile(`(?i)^(publiclyaccessible|publicaccess(enabled)?|endpointpublicaccess|associatepublicip(address)?|public|ispublic|mappubliciponlaunch|publicaccessallowed|allowpublic.*|allowunauthenticated.*|enableunauthenticated.*|unauthenticated|assignpublicip|privilegedmode|privileged|enableexecutecommand)$`)

// ofPolicy are members that hold a policy document.
var ofPolicy = regexp.MustCompile(`(?i)(^|[a-z])(policy|policydocument|policytext|policybody|accesspolicies|resourcepolicy|inlinepolicy|keypolicy|repositorypolicy|assumerolepolicydocument|policyinjson|statement)$`)

// code are members that carry or name code that runs later.
var code = regexp.MustCompile(`(?i)^(userdata|buildspec(override)?|zipfile|imageuri|commands?|entrypoint|script(location|text|body|name)?|initscript|bootstrapactions|lifecycleconfigcontent|studiolifecycleconfigcontent|oncreate|onstart|jobcommand|postlaunchactions|dockerrun.*|startcommand|buildcommand|executablepath|provisioner.*|scriptbootstrapaction)$`)

// adminPolicy are managed policies that give rights without limit, or the right
// to take them.
var adminPolicy = regexp.MustCompile(`(?i):(policy|cluster-access-policy)/(.*/)?(AdministratorAccess.*|IAMFullAccess|PowerUserAccess|AWSOrganizationsFullAccess|AWSSSOMasterAccountAdministrator|AmazonEKSClusterAdminPolicy|SystemAdministrator|AWSCloudFormationFullAccess)$`)

var publicGroups = map[string]bool{"all": true, "public-read": true, "public-read-write": true,
	"authenticated-read": true, "allauthenticatedusers": true}

// off reports whether a value switches something off.
func off(v any) bool {
	if t, given := truth(v); given {
		return !t
	}
	switch strings.ToLower(text(v)) {
	case "disabled", "disable", "off", "suspended", "suspend", "none", "inactive", "no", "stopped", "never", "false",
		"disabled_for_all":
		return true
	}
	return false
}

// on reports whether a value switches something on.
func on(v any) bool {
	if t, given := truth(v); given {
		return t
	}
	switch strings.ToLower(text(v)) {
	case "enabled", "enable", "on", "active", "yes":
		return true
	}
	return false
}

// switches are members that say on or off of what they are in.
var switches = regexp.MustCompile(`(?i)^(is)?(enabled?|status|state|mode|value|active|autoenable|enabledstate|enablestatus|featurestatus|.*status|.*enabled|.*state|.*mode)$`)

// members looks at every member of the call.
func (j *judge) members() {
	creates := j.verb == signalbox.Create && fresh(j.name)
	whole := walk(map[string]any(j.p), nil, func(path []string, v any) {
		name := path[len(path)-1]
		if len(path) > 1 && (strings.EqualFold(name, "Value") || strings.EqualFold(name, "Enabled")) && on(v) &&
			nameOf(path[len(path)-2]).open {
			name = path[len(path)-2] // an attribute as a structure
		}
		if isTagPath(path) {
			return // labels are the caller's own words: see tags
		}
		n := nameOf(name)
		if !creates && off(v) {
			switch {
			case j.guards(path, n):
				if !n.notProtective {
					j.weaken("switches " + clip(where(path)) + " off")
				}
			case n.plain && !j.has(signalbox.TraitInterrupts):
				j.interrupt("switches " + clip(where(path)) + " off")
			}
		}
		if x, ok := number(v); ok && !isText(v) {
			j.numbers(path, n, x, creates)
		}
		if on(v) {
			j.switchedOn(path, name, n, creates)
		}
		if !creates && n.secret && !off(v) {
			j.raise(signalbox.Permission, "changes a credential: "+clip(where(path)))
		}
		if s, ok := v.(string); ok {
			j.texts(path, name, n, s, creates)
		}
	})
	if !whole {
		j.trait(signalbox.TraitUnparsed)
		j.say("its parameters nest too deep to be looked into")
	}
	j.emptied()
	j.pairs(map[string]any(j.p), creates, 0)
	j.tags()
}

// emptied looks for lists that an update gives without anything in them: what
// was in them goes.
func (j *judge) emptied() {
	if j.verb != signalbox.Update {
		return
	}
	for _, k := range sortedKeys(j.p) {
		l, ok := j.p[k].([]any)
		switch {
		case !ok || len(l) > 0 || isTagPath([]string{k}):
		case nameOf(k).protective:
			j.weaken("empties " + clip(k))
		default:
			j.interrupt("empties " + clip(k))
		}
	}
}

// pairs looks at attributes that are written as a pair of a name and a value:
// {"Key": "deletion_protection.enabled", "Value": "false"}.
func (j *judge) pairs(v any, creates bool, depth int) {
	if depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			j.pairs(x, creates, depth+1)
		}
	case map[string]any:
		p := params(v)
		key := firstText(p, "Key", "Name", "ParameterName", "AttributeName", "OptionName", "Attribute", "path")
		value := p.get("Value")
		for _, k := range []string{"ParameterValue", "AttributeValue", "OptionSettingValue"} {
			if value == nil {
				value = p.get(k)
			}
		}
		if key != "" && value != nil && !tagging(j.name) {
			j.pair(key, value, creates)
		}
		for _, k := range sortedKeys(v) {
			if !isTagPath([]string{k}) {
				j.pairs(v[k], creates, depth+1)
			}
		}
	}
}

func (j *judge) pair(key string, value any, creates bool) {
	name := strings.NewReplacer("_", "", ".", "", "-", "", "/", "").Replace(key)
	n, zero := nameOf(name), text(value) == "0"
	switch {
	case creates:
	case (off(value) || zero) && (n.protective || auditing.MatchString(name)) && !n.notProtective:
		j.weaken("switches " + clip(key) + " off")
	case zero && n.capacity:
		j.interrupt("sets " + clip(key) + " to 0")
	case on(value) && n.open:
		j.raise(signalbox.Permission, "opens it: "+clip(key), signalbox.TraitPublic)
	case off(value) && strings.Contains(strings.ToLower(name), "authorizationtype"):
		j.raise(signalbox.Permission, "opens it to everybody", signalbox.TraitPublic)
	}
	if s, ok := value.(string); ok && looksJSON(s) && n.policy {
		j.policy(name, s)
	}
}

// auditing are settings of database servers that keep a record or a lock.
var auditing = regexp.MustCompile(`(?i)forcessl|requiresecure|log(statement|connections|min|bin)|generallog|slowquery|rowsecurity|sslmode|tlsversion|accesslogs|loggroup|dataintegrity|fsync|fullpagewrites|synchronouscommit`)

// fresh reports whether an operation makes something that was not there. A Put
// and a Register may overwrite.
func fresh(operation string) bool {
	switch words(operation)[0] {
	case "Create", "Run", "Copy", "Restore", "Import", "Allocate", "Request", "Start", "Clone", "Provision", "Purchase":
		return true
	}
	return false
}

// where is a path as people write it.
func where(path []string) string { return strings.Join(path, ".") }

// guards reports whether a switch belongs to something protective: by its own
// name, by what it is in, or by the operation or the service.
func (j *judge) guards(path []string, n facts) bool {
	if n.protective {
		return true
	}
	if !n.switches {
		return false
	}
	for _, in := range path[:len(path)-1] {
		if nameOf(in).protective {
			return true
		}
	}
	return nameOf(strings.Join(j.noun, "")).protective || watchers[j.service]
}

// switchedOn is for members that are on.
func (j *judge) switchedOn(path []string, name string, n facts, creates bool) {
	lower := strings.ToLower(name)
	switch {
	case n.open:
		j.raise(signalbox.Permission, "opens it: "+clip(where(path)))
		if !strings.HasPrefix(lower, "privileged") && lower != "enableexecutecommand" &&
			!strings.HasSuffix(lower, "publicip") && !strings.HasSuffix(lower, "publicipaddress") {
			j.trait(signalbox.TraitPublic)
		}
	case n.force:
		j.forced(name, where(path))
	case !creates && n.disables && (n.protective || nameOf(j.name).protective):
		j.weaken("switches something protective off by " + clip(where(path)))
	case !creates && n.disables:
		j.interrupt("switches something off by " + clip(where(path)))
	}
}

// watchers are services that do nothing but protect.
var watchers = map[string]bool{
	"guardduty": true, "securityhub": true, "macie2": true, "inspector2": true, "inspector": true, "config": true,
	"cloudtrail": true,
	"detective":  true, "shield": true, "access-analyzer": true, "securitylake": true, "auditmanager": true,
	"fms":              true,
	"network-firewall": true, "wafv2": true, "waf": true, "waf-regional": true, "backup": true, "rbin": true,
}

// plainSwitch reports whether a switch is about the thing itself.
func plainSwitch(name string) bool {
	switch strings.ToLower(name) {
	case "enabled", "enable", "state", "status", "active", "enabledstate",
		// What the thing is there for.
		"sendingenabled", "receivingenabled", "deliveryenabled", "publishingenabled", "servingenabled",
		"trafficenabled", "executionenabled", "dnsenabled":
		return true
	}
	return false
}

// disables reports whether a member switches something off while it is on.
func disables(name string) bool {
	l := strings.ToLower(name)
	if strings.HasPrefix(l, "disableapi") {
		return false // protects from termination
	}
	return strings.HasPrefix(l, "disable") || strings.HasSuffix(l, "suspended") || l == "paused" || l == "detach" ||
		strings.HasPrefix(l, "optout")
}

// secret are members that carry a new secret for something.
var secret = regexp.MustCompile(`(?i)^(master(user)?password|newpassword|password|adminuserpassword|admin(istrator)?password|authtoken|secretstring|secretbinary|sharedsecret|rotatemasteruserpassword|mastersecret.*|.*userpassword)$`)

func (j *judge) numbers(path []string, n facts, x float64, creates bool) {
	if creates || !n.capacity && !n.kept && !n.dial {
		return
	}
	j.trait(signalbox.TraitDial)
	switch {
	case x == 0 && n.capacity:
		j.interrupt("sets " + clip(where(path)) + " to 0")
	case n.kept && (x == 0 || x < 7 && !hours(path[len(path)-1])):
		j.weaken("keeps less: " + clip(where(path)) + " of " + text(x))
		j.impact.Reversible = false
	}
}

func hours(name string) bool { return strings.Contains(strings.ToLower(name), "hour") }

// forced is for members that let a call pass over what would stop it.
func (j *judge) forced(name, where string) {
	l := strings.ToLower(name)
	switch {
	case j.verb == signalbox.Delete || j.verb == signalbox.Replace:
		if strings.HasPrefix(l, "force") {
			j.trait(signalbox.TraitCascade)
		}
		j.say("forced: " + clip(where))
	case strings.HasPrefix(l, "skip") && (strings.Contains(l, "snapshot") || strings.Contains(l, "backup")),
		strings.Contains(l, "automatedbackups"),
		strings.Contains(l, "withoutrecovery"), strings.HasPrefix(l, "bypass"), strings.Contains(l, "dataloss"),
		strings.Contains(l, "lock"):
		j.weaken("passes over a protection: " + clip(where))
	case j.verb == signalbox.Create && fresh(j.name):
	default:
		j.interrupt("forced: " + clip(where))
	}
}

// foreign reports whether a member hands something over to another account: as
// the key that it is locked with, or as where it goes.
func (j *judge) foreign(name, s string) bool {
	if j.call.Account == "" || !strings.HasPrefix(s, "arn:") || !handsOver.MatchString(name) {
		return false
	}
	a, ok := readARN(s)
	return ok && len(a.account) == len("111122223333") && a.account != j.call.Account
}

var handsOver = regexp.MustCompile(`(?i)kms.*key|encryptionkey|keyarn|destination`)

// removes reports whether a member has something removed by what is made or
// changed: as an action, a step, or what a copy does with what has no original.
// A list of changes says what is done at once, and is the operation's own matter.
func removes(path []string, s string) bool {
	name := path[len(path)-1]
	switch strings.ToUpper(s) {
	case "DELETE", "EXPIRE", "PURGE", "DESTROY":
		l := strings.ToLower(name)
		at := len(path) > 1 && (path[len(path)-2] == "Changes" || path[len(path)-2] == "Updates")
		return !at && (l == "action" || l == "type" || l == "actiontype")
	case "REMOVE":
		return strings.HasPrefix(strings.ToLower(name), "preserve")
	}
	return false
}

func (j *judge) texts(path []string, name string, n facts, s string, creates bool) {
	switch {
	case j.foreign(name, s):
		j.raise(signalbox.Permission, "has another account's in "+clip(where(path)))
	case s != "" && strings.HasPrefix(name, "SSECustomerKey"):
		j.weaken("locks it with a key that nobody else has")
	case strings.EqualFold(name, "sourcePath") && len(path) > 1 && strings.EqualFold(path[len(path)-2], "host"):
		j.raise(signalbox.Permission, "gives it files of its host", signalbox.TraitHostFile)
	case strings.EqualFold(name, "OptInType") && strings.EqualFold(s, "immediate"):
		j.interrupt("does at once what takes it out of service")
	}
	if j.named(path, s) {
		j.raise(signalbox.Execute, "names code that runs later, in "+clip(where(path)), signalbox.TraitDeferred)
	}
	if removes(path, s) {
		j.trait(signalbox.TraitDataLoss)
		j.say("removes, by " + clip(where(path)))
	}
	switch {
	case n.policy && looksJSON(s):
		j.policy(name, s)
	case n.policy && isDocument(j, path) && strings.TrimSpace(s) != "" && !strings.HasPrefix(s, "arn:") &&
		strings.ContainsAny(s, "{}:"):
		j.unreadablePolicy(name)
	case publicGroups[strings.ToLower(s)] && (strings.Contains(strings.ToLower(name), "acl") ||
		strings.Contains(strings.ToLower(name), "group")):
		j.raise(signalbox.Permission, "opens it to everybody", signalbox.TraitPublic)
	case strings.Contains(s, "/global/AllUsers"), strings.Contains(s, "/global/AuthenticatedUsers"):
		j.raise(signalbox.Permission, "opens it to everybody", signalbox.TraitPublic)
	case openCIDR(name, s) && !j.routes():
		j.raise(signalbox.Permission, "opens it to all addresses", signalbox.TraitPublic)
	case n.code && s != "" && j.service != "ssm":
		j.raise(signalbox.Execute, "carries code that runs later, in "+clip(where(path)), signalbox.TraitDeferred)
	case strings.HasPrefix(s, "arn:aws") && adminPolicy.MatchString(s):
		j.raise(signalbox.Permission, "gives rights without limit", signalbox.TraitAdmin)
	case strings.EqualFold(name, "HttpTokens") && strings.EqualFold(s, "optional") && !creates:
		j.weaken("lets credentials of a machine be fetched without a token")
	case strings.EqualFold(name, "Type") && len(path) > 1 && strings.EqualFold(path[len(path)-2], "PublicAccess") &&
		s != "DISABLED":
		j.raise(signalbox.Permission, "opens it to all addresses", signalbox.TraitPublic)
	case strings.EqualFold(name, "authType") && strings.EqualFold(s, "NONE"):
		j.raise(signalbox.Permission, "opens it to everybody", signalbox.TraitPublic)
	case strings.EqualFold(name, "OnFailure") && strings.EqualFold(s, "DELETE"):
		j.trait(signalbox.TraitDataLoss)
	case strings.HasSuffix(strings.ToLower(name), "imagetagmutability") && s == "MUTABLE" && !creates:
		j.weaken("lets tags of images be overwritten")
	}
}

// isDocument reports whether a member is known to hold a policy document whole.
func isDocument(j *judge, path []string) bool {
	l := strings.ToLower(path[len(path)-1])
	return strings.HasSuffix(l, "document") || strings.HasSuffix(l, "policytext") || len(path) == 1 &&
		(l == "policy" || l == "resourcepolicy") && strings.Contains(strings.ToLower(j.name), "policy")
}

func looksJSON(s string) bool {
	t := strings.TrimLeft(s, " \t\r\n")
	return strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[")
}

// routes reports whether an address block of the call is a destination, so
// that all addresses mean the way out.
func (j *judge) routes() bool {
	n := strings.Join(j.noun, "")
	return strings.Contains(n, "Route") || strings.Contains(n, "Egress") || strings.Contains(n, "Vpc") ||
		strings.Contains(n, "CustomerGateway") || strings.Contains(n, "NetworkAcl") ||
		strings.Contains(n, "SecurityGroup") || strings.Contains(n, "TrafficMirror") ||
		strings.HasPrefix(j.name, "Revoke") || strings.HasPrefix(j.name, "Delete")
}

// openCIDR reports whether a text is a block of addresses with nearly all of
// them in it.
func openCIDR(name, s string) bool {
	l := strings.ToLower(name)
	if !strings.Contains(l, "cidr") && !strings.Contains(l, "iprange") && !strings.Contains(l, "sourceip") &&
		!strings.Contains(l, "address") {
		return false
	}
	w, ok := width(s)
	return ok && w >= widest
}

// widest is the share of addresses, in bits that are free, from which a block
// counts as open to everybody: a /8 and wider.
const widest = 24

// width gives the number of free bits of a public block of addresses, as of an
// IPv4 block; false if the text is none or the block is private.
func width(s string) (int, bool) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil {
		return 0, false
	}
	a, bits := p.Addr(), p.Bits()
	if a.Is4In6() {
		a, bits = a.Unmap(), max(0, bits-96)
	}
	private := a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
	switch {
	case private && bits >= privateBits(a):
		return 0, false
	case a.Is4():
		return 32 - bits, true
	default:
		// A site of IPv6 is a /48, as a house of IPv4 is a /32.
		return max(0, 48-bits) * 24 / 40, true
	}
}

// privateBits gives the length of the private block that an address is in: a
// wider one has public addresses in it.
func privateBits(a netip.Addr) int {
	switch {
	case a.Is6():
		return 7
	case a.As4()[0] == 172:
		return 12
	case a.As4()[0] == 192, a.As4()[0] == 169:
		return 16
	}
	return 8
}
