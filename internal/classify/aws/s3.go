package aws

import (
	"math"
	"net/url"
	"path"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

func s3Rules(rules map[string]rule) {
	rules["s3:*"] = s3Resources
	rules["s3:PutObject"] = s3Put
	rules["s3:CopyObject"] = s3Copy
	rules["s3:DeleteObject"] = s3Delete
	rules["s3:DeleteObjects"] = s3DeleteMany
	rules["s3:PutBucketLifecycleConfiguration"] = s3Lifecycle
	rules["s3:PutBucketLifecycle"] = s3Lifecycle
	rules["s3:PutBucketLogging"] = func(j *judge) {
		if !j.p.has("BucketLoggingStatus", "LoggingEnabled") {
			j.weaken("switches the log of its requests off")
		}
	}
	rules["s3:PutBucketCors"] = func(j *judge) {
		for _, r := range j.p.structs("CORSConfiguration", "CORSRules") {
			for _, o := range r.texts("AllowedOrigins") {
				if o == "*" {
					j.raise(signalbox.Permission, "lets pages of everybody use it")
				}
			}
		}
	}
	rules["s3:PutBucketNotificationConfiguration"] = func(j *judge) {
		n := j.p.sub("NotificationConfiguration")
		switch {
		case n.has("LambdaFunctionConfigurations"):
			j.raise(signalbox.Execute, "has a function run at each event", signalbox.TraitDeferred)
		case !n.has("QueueConfigurations") && !n.has("TopicConfigurations") && !n.has("EventBridgeConfiguration"):
			j.interrupt("ends all notifications")
		}
	}
	rules["s3:PutBucketWebsite"] = func(j *judge) {
		if j.p.has("WebsiteConfiguration", "RedirectAllRequestsTo") {
			j.interrupt("sends all its visitors elsewhere")
		}
	}
	rules["s3:PutObjectLockConfiguration"] = func(j *judge) {
		if !j.p.has("ObjectLockConfiguration", "Rule") {
			j.weaken("drops the default lock of its objects")
		}
	}
	rules["s3:PutBucketReplication"] = func(j *judge) {
		if len(j.p.list("ReplicationConfiguration", "Rules")) == 0 {
			j.weaken("ends replication")
		}
	}
	rules["s3:PutPublicAccessBlock"] = func(j *judge) {
		if j.op.Service.ID == "S3 Control" && len(j.besides) > 0 {
			j.trait(signalbox.TraitTop)
		}
		c := j.p.sub("PublicAccessBlockConfiguration")
		for _, m := range []string{"BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy",
			"RestrictPublicBuckets"} {
			if _, given := c.flag(m); !given {
				j.weaken("leaves " + m + " off")
			}
		}
	}
}

// s3Resources names the bucket and the object: memory counts by bucket what is
// done to objects, one by one.
func s3Resources(j *judge) {
	bucket, key := j.p.text("Bucket"), j.p.text("Key")
	if bucket == "" {
		return
	}
	if a, ok := readARN(bucket); ok {
		bucket = a.resource
	}
	b := j.resource("bucket", "", bucket, key == "" && !j.p.has("Delete"))
	j.resources = []signalbox.Resource{b}
	j.impact.Count, j.impact.Scope = 1, signalbox.ScopeOne
	s3Rights(j)
	if key != "" {
		o := j.resource("object", bucket+"/", key, false)
		j.resources = append(j.resources, o)
		// One object in public is not the bucket.
		j.drop(signalbox.TraitPublic)
		for i := range j.besides {
			j.besides[i].traits = nil
		}
	}
	if strings.HasPrefix(j.name, "DeleteBucket") && j.name != "DeleteBucket" || j.name == "DeletePublicAccessBlock" {
		j.resources[0].Whole = false // a setting of it
	}
}

// placeholder reports whether an object is empty by nature: a folder, a marker.
func placeholder(key string) bool {
	base := path.Base(key)
	return strings.HasSuffix(key, "/") || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
		strings.HasSuffix(base, "__init__.py") ||
		strings.HasSuffix(base, ".lock") || strings.HasSuffix(base, ".done") || strings.HasSuffix(base, ".ok")
}

func s3Put(j *judge) {
	if j.call.Payload == 0 && !placeholder(j.p.text("Key")) {
		j.set(signalbox.Delete, "puts nothing in an object's place", signalbox.TraitByKey)
		j.impact.Reversible = false
	}
}

func s3Copy(j *judge) {
	source, err := url.PathUnescape(j.p.text("CopySource"))
	if err != nil {
		source = j.p.text("CopySource")
	}
	source = strings.TrimPrefix(source, "/")
	source, _, _ = strings.Cut(source, "?versionId=")
	if len(j.resources) < 2 || source == "" {
		return
	}
	if strings.HasPrefix(source, "arn:") {
		if a, ok := readARN(source); ok {
			source = a.resource
		}
	}
	if source == j.resources[1].Name {
		j.set(signalbox.Update, "writes an object anew over itself")
		return
	}
	// The copy comes first: what is behind it is what it was made from.
	j.trait(signalbox.TraitCopy)
	j.resources = []signalbox.Resource{j.resources[1], {Type: "object", Name: clipID(source)}}
}

func s3Delete(j *judge) {
	if j.p.text("VersionId") != "" {
		j.drop(signalbox.TraitByKey)
		j.say("removes one version for good")
	}
	if strings.Trim(j.p.text("Key"), "*/") == "" {
		j.drop(signalbox.TraitByKey)
		j.trait(signalbox.TraitUnscoped)
	}
}

func s3DeleteMany(j *judge) {
	n := len(j.p.list("Delete", "Objects"))
	j.impact.Count, j.impact.Scope = int64(n), signalbox.ScopeSome
	switch {
	case n == 0:
		j.impact.Count, j.impact.Scope = signalbox.CountUnknown, signalbox.ScopeAll
		j.trait(signalbox.TraitUnscoped)
	case n == 1:
		j.impact.Scope = signalbox.ScopeOne
		if j.p.structs("Delete", "Objects") != nil && j.p.structs("Delete", "Objects")[0].text("VersionId") == "" {
			j.trait(signalbox.TraitByKey)
		}
	case n > bulk:
		j.trait(signalbox.TraitBulk)
	}
}

// s3Lifecycle weighs rules that expire objects, or move them to where they cannot
// be read. The call puts its rules in the place of all others, and what is older
// than a rule says goes at once. The worst of all rules counts.
func s3Lifecycle(j *judge) {
	all := append(j.p.structs("LifecycleConfiguration", "Rules"), j.p.structs("Rules")...)
	if len(all) == 0 {
		j.weaken("drops all rules on how long objects are kept")
	}
	expiring := 0
	for _, r := range all {
		if strings.EqualFold(r.text("Status"), "Disabled") {
			continue
		}
		if s3Expires(j, r) {
			expiring++
		}
		for _, m := range []string{"Transitions", "NoncurrentVersionTransitions", "Transition",
			"NoncurrentVersionTransition"} {
			for _, t := range append(r.structs(m), r.sub(m)) {
				s3Moves(j, t)
			}
		}
	}
	if expiring > 3 {
		// Many narrow rules are a wide one.
		j.trait(signalbox.TraitDataLoss, signalbox.TraitUnscoped)
		j.impact.Scope, j.impact.Count = signalbox.ScopeAll, signalbox.CountUnknown
	}
}

// s3Expires weighs one rule that is in force, and reports whether it expires
// objects. A prefix or a label narrows it, and nobody knows how much.
func s3Expires(j *judge, r params) bool {
	expires := r.has("Expiration", "Days") || r.has("Expiration", "Date")
	old := r.has("NoncurrentVersionExpiration")
	if !expires && !old {
		return false
	}
	j.trait(signalbox.TraitDial)
	j.impact.Reversible = false
	prefix := firstText(r.sub("Filter"), "Prefix") + r.text("Prefix") + r.text("Filter", "And", "Prefix")
	narrow := len(strings.Trim(prefix, "/*")) > 2 || r.has("Filter", "Tag") || len(r.list("Filter", "And", "Tags")) > 0
	soonest := math.Inf(1)
	if expires {
		soonest = lifetime(r.number("Expiration", "Days"))
		if r.has("Expiration", "Date") {
			soonest = 0
		}
	}
	if old {
		soonest = min(soonest, lifetime(r.number("NoncurrentVersionExpiration", "NoncurrentDays")))
	}
	if old {
		j.weaken("expires the versions that are kept")
	}
	switch {
	case !narrow && soonest < 365:
		j.trait(signalbox.TraitDataLoss, signalbox.TraitUnscoped)
		j.impact.Scope, j.impact.Count = signalbox.ScopeAll, signalbox.CountUnknown
		j.say("expires every object")
	case soonest < 30:
		j.trait(signalbox.TraitDataLoss)
		j.say("expires objects soon, and those at once that are older")
	default:
		j.say("expires objects in time, and those at once that are older")
	}
	return true
}

// lifetime is a number of days that was given; none was is none.
func lifetime(days float64, known bool) float64 {
	if !known {
		return 0
	}
	return days
}

// s3Moves weighs where a rule moves objects, and when.
func s3Moves(j *judge, t params) {
	class := strings.ToUpper(t.text("StorageClass"))
	if class == "" {
		return
	}
	days, known := t.number("Days")
	if !known {
		days, known = t.number("NoncurrentDays")
	}
	switch {
	case class != "STANDARD_IA" && class != "INTELLIGENT_TIERING" && class != "GLACIER_IR":
		j.interrupt("moves objects to where they are not read at once, or kept less safely: " + clip(class))
	case !known || days < 1:
		j.interrupt("moves objects at once")
	}
}

// s3Private are the canned lists of rights by which nobody else gets any.
var s3Private = map[string]bool{"private": true, "bucket-owner-full-control": true, "bucket-owner-read": true}

// s3Rights weighs rights that are given by headers, with whatever they come.
func s3Rights(j *judge) {
	if acl := j.p.text("ACL"); acl != "" && !s3Private[strings.ToLower(acl)] {
		j.raise(signalbox.Permission, "gives rights to others: "+clip(acl))
	}
	for _, m := range []string{"GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP"} {
		if j.p.has(m) {
			j.raise(signalbox.Permission, "gives rights by name: "+m)
		}
	}
	if o := j.p.text("ObjectOwnership"); o != "" && !strings.EqualFold(o, "BucketOwnerEnforced") {
		j.raise(signalbox.Permission, "lets objects have rights of their own")
	}
}
