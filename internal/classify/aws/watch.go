package aws

import (
	"regexp"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// What watches: alarms, logs, trails, detectors. They can be silenced without
// being removed, by a threshold that is never reached or a filter that matches
// nothing.

func watchRules(rules map[string]rule) {
	rules["cloudwatch:PutMetricAlarm"] = alarm
	rules["cloudwatch:PutCompositeAlarm"] = func(j *judge) {
		alarmActions(j)
		r := strings.ToUpper(j.p.text("AlarmRule"))
		if strings.TrimSpace(r) == "FALSE" || strings.Contains(r, "FALSE") && strings.Contains(r, "AND") {
			j.weaken("an alarm that cannot go off")
		}
		j.suppressed()
	}
	rules["cloudwatch:SetAlarmState"] = func(j *judge) {
		if strings.EqualFold(j.p.text("StateValue"), "OK") {
			j.weaken("says of an alarm that all is well")
		}
	}
	rules["logs:PutRetentionPolicy"] = func(j *judge) {
		n, _ := j.p.number("retentionInDays")
		j.trait(signalbox.TraitDial)
		if n < 90 && evidence.MatchString(j.p.text("logGroupName")) && n > 0 {
			j.weaken("keeps a record for less than a quarter")
		}
		if n < 365 {
			j.say("what is older is removed")
		}
	}
	rules["logs:PutSubscriptionFilter"] = subscriptionFilter
	rules["logs:PutMetricFilter"] = func(j *judge) {
		if matchesNothing(j.p.text("filterPattern")) {
			j.weaken("a filter that matches nothing")
		}
	}
	rules["cloudtrail:UpdateTrail"] = func(j *judge) {
		for _, m := range []string{"S3BucketName", "S3KeyPrefix", "CloudWatchLogsLogGroupArn", "SnsTopicName",
			"KmsKeyId", "CloudWatchLogsRoleArn"} {
			if j.p.has(m) {
				j.weaken("changes " + m + ", where the trail is written")
			}
		}
	}
	rules["cloudtrail:PutEventSelectors"] = eventSelectors
	rules["cloudtrail:PutInsightSelectors"] = func(j *judge) {
		if len(j.p.list("InsightSelectors")) == 0 {
			j.weaken("ends the search for what is unusual")
		}
	}
	rules["config:PutRetentionConfiguration"] = func(j *judge) {
		j.drop(signalbox.TraitTop)
		j.trait(signalbox.TraitDial)
		if days, ok := j.p.number("RetentionPeriodInDays"); !ok || days < 90 {
			j.weaken("keeps a record for less than a quarter")
		}
	}
	rules["config:PutDeliveryChannel"] = func(j *judge) { j.weaken("changes where the record is written") }
	rules["config:PutConfigurationRecorder"] = func(j *judge) {
		g := j.p.sub("ConfigurationRecorder", "recordingGroup")
		if len(g.list("resourceTypes")) > 0 || len(g.list("exclusionByResourceTypes", "resourceTypes")) > 0 {
			j.weaken("records a part only")
		}
	}
	rules["wafv2:UpdateWebACL"] = func(j *judge) {
		if len(j.p.list("Rules")) == 0 {
			j.weaken("drops all its rules")
		}
		for _, r := range j.p.structs("Rules") {
			if r.has("Action", "Count") || r.has("OverrideAction", "Count") || r.has("Action", "Allow") &&
				!r.has("Statement") {
				j.weaken("counts what it kept out")
			}
		}
	}
	rules["wafv2:UpdateRuleGroup"] = rules["wafv2:UpdateWebACL"]
	for _, key := range []string{"guardduty:CreateFilter", "guardduty:UpdateFilter"} {
		rules[key] = func(j *judge) {
			if strings.EqualFold(j.p.text("Action"), "NOOP") {
				j.set(signalbox.Update, "keeps a search")
			}
		}
	}
	rules["backup:PutBackupVaultLockConfiguration"] = func(j *judge) { j.impact.Reversible = false }
	rules["backup:UpdateBackupPlan"] = func(j *judge) {
		if len(j.p.list("BackupPlan", "Rules")) == 0 {
			j.weaken("drops all its rules")
		}
	}
	rules["events:PutRule"] = func(j *judge) {
		if j.p.text("ScheduleExpression") != "" {
			j.raise(signalbox.Execute, "has its targets run by the clock", signalbox.TraitDeferred)
		}
		if p := j.p.text("EventPattern"); p != "" && matchesNothing(p) {
			j.interrupt("a pattern that matches nothing")
		}
	}
	rules["kms:ImportKeyMaterial"] = func(j *judge) {
		if j.p.text("ExpirationModel") != "KEY_MATERIAL_DOES_NOT_EXPIRE" {
			j.set(signalbox.Update, "gives a key material that expires, and with it what the key protects",
				signalbox.TraitDataLoss)
		}
	}
	rules["route53:UpdateHealthCheck"] = func(j *judge) {
		if j.p.is("Inverted") {
			j.weaken("has a health check say the opposite")
		}
	}
	rules["acm:ImportCertificate"] = func(j *judge) {
		if j.p.has("CertificateArn") {
			j.set(signalbox.Update, "puts a certificate in place of one that may be in use", signalbox.TraitInterrupts)
		}
	}
	rules["kms:UpdateAlias"] = func(j *judge) {
		j.trait(signalbox.TraitRename)
		j.say("lets a key's name stand for another key")
	}
	rules["kms:ScheduleKeyDeletion"] = func(j *judge) {
		j.trait(signalbox.TraitCascade)
		j.besides = nil
		for i := range j.resources {
			j.resources[i].Whole = true
		}
	}
	rules["rbin:UpdateRule"] = func(j *judge) {
		if j.p.has("RetentionPeriod") {
			j.trait(signalbox.TraitDial)
		}
	}
}

func (j *judge) suppressed() {
	if j.p.isNot("ActionsEnabled") {
		j.weaken("an alarm that tells nobody")
	}
	if j.p.text("ActionsSuppressor") != "" {
		j.weaken("an alarm that another one silences")
	}
}

// alarmActions weighs what an alarm does besides telling people: whatever it
// starts acts later, with rights of its own.
func alarmActions(j *judge) {
	for _, m := range []string{"AlarmActions", "OKActions", "InsufficientDataActions"} {
		for _, action := range j.p.texts(m) {
			a, ok := readARN(action)
			switch {
			case ok && a.service == "sns" && (j.call.Account == "" || a.account == j.call.Account):
			case ok && a.service == "sns":
				j.raise(signalbox.Permission, "tells another account of it, in "+m)
			case strings.Contains(strings.ToLower(action), "terminate"):
				j.raise(signalbox.Execute, "acts by itself when it goes off, in "+m, signalbox.TraitDeferred)
				j.raise(signalbox.Delete, "removes a machine when it goes off")
			default:
				j.raise(signalbox.Execute, "acts by itself when it goes off, in "+m, signalbox.TraitDeferred)
			}
		}
	}
}

// large are metrics whose ordinary values are large.
var large = regexp.MustCompile(`(?i)byte|storage|memory|disk|throughput|iops|consumedreadcapacity|consumedwritecapacity|timestamp|nanos|micros|credits|cost|charges`)

// alarm looks for thresholds that are never crossed, and for long blind times.
func alarm(j *judge) {
	j.trait(signalbox.TraitDial)
	alarmActions(j)
	j.suppressed()
	threshold, known := j.p.number("Threshold")
	metric := j.p.text("MetricName")
	compare := j.p.text("ComparisonOperator")
	period, _ := j.p.number("Period")
	periods, _ := j.p.number("EvaluationPeriods")
	percent := strings.EqualFold(j.p.text("Unit"), "Percent") ||
		strings.Contains(strings.ToLower(metric), "utilization") || strings.Contains(strings.ToLower(metric), "percent")
	switch {
	case known && strings.HasPrefix(compare, "Greater") &&
		(percent && threshold > 100 || percent && threshold == 100 && compare == "GreaterThanThreshold"):
		j.weaken("an alarm over more than there can be")
	case known && strings.HasPrefix(compare, "Greater") && threshold >= 50_000 && !large.MatchString(metric) &&
		!strings.Contains(strings.ToLower(j.p.text("Namespace")), "billing"):
		j.weaken("an alarm whose threshold is hardly reached")
	case known && strings.HasPrefix(compare, "Less") &&
		(threshold < 0 || threshold == 0 && compare == "LessThanThreshold"):
		j.weaken("an alarm below less than there can be")
	case period*periods > 24*60*60:
		j.weaken("an alarm that waits for more than a day")
	}
	if n, ok := j.p.number("DatapointsToAlarm"); ok && periods > 0 && n > periods {
		j.weaken("an alarm that cannot go off")
	}
	if strings.EqualFold(j.p.text("TreatMissingData"), "ignore") && !known && !j.p.has("ThresholdMetricId") {
		j.weaken("an alarm without a threshold")
	}
}

// evidence are names of logs that are kept to prove something.
var evidence = regexp.MustCompile(`(?i)audit|trail|security|compliance|flow-?logs?|vpc-?flow|guardduty|access-?log|forensic|siem|auth(entication|orization)?([^a-z]|$)|payment|ledger`)

// never are words of filters that are made to match nothing.
var never = regexp.MustCompile(`(?i)(^|[^a-z])(never|nomatch|no-match|nothing|none|impossible|disabled|dummy|placeholder|xxx+|zzz+|foobar|deadbeef|doesnotexist|does-not-exist)([^a-z]|$)|1\s*=\s*2|-""`)

var equality = regexp.MustCompile(`(\$\.[A-Za-z0-9_.]+)\s*=\s*("[^"]*"|[A-Za-z0-9_.*-]+)`)

// matchesNothing reports whether a filter looks as if it were made to match
// nothing: by its words, or because one field must be two things.
func matchesNothing(pattern string) bool {
	if never.MatchString(pattern) {
		return true
	}
	if !strings.Contains(pattern, "&&") || strings.Contains(pattern, "||") {
		return false
	}
	seen := map[string]string{}
	for _, m := range equality.FindAllStringSubmatch(pattern, -1) {
		if was, ok := seen[m[1]]; ok && was != m[2] {
			return true
		}
		seen[m[1]] = m[2]
	}
	return false
}

func subscriptionFilter(j *judge) {
	pattern := strings.TrimSpace(j.p.text("filterPattern"))
	switch {
	case pattern == "":
	case matchesNothing(pattern):
		j.weaken("a filter that matches nothing, so that the stream dries up")
	case evidence.MatchString(j.p.text("logGroupName")):
		j.weaken("ships a part of a record only")
	}
	if a, ok := readARN(j.p.text("destinationArn")); ok && j.call.Account != "" && a.account != "" &&
		a.account != j.call.Account {
		j.raise(signalbox.Permission, "ships to another account")
	}
}

func eventSelectors(j *judge) {
	for _, s := range j.p.structs("EventSelectors") {
		if t := s.text("ReadWriteType"); t != "" && !strings.EqualFold(t, "All") ||
			s.isNot("IncludeManagementEvents") || len(s.list("ExcludeManagementEventSources")) > 0 {
			j.weaken("records a part only")
		}
	}
	management := false
	for _, s := range j.p.structs("AdvancedEventSelectors") {
		fields := s.structs("FieldSelectors")
		for _, f := range fields {
			if f.text("Field") == "eventCategory" &&
				strings.Contains(strings.Join(f.texts("Equals"), " "), "Management") {
				management = management || len(fields) == 1
			}
		}
	}
	if len(j.p.list("AdvancedEventSelectors")) > 0 && !management || len(j.p.list("EventSelectors")) == 0 &&
		len(j.p.list("AdvancedEventSelectors")) == 0 {
		j.weaken("records a part only")
	}
}
