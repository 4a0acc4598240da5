package aws

import (
	"strings"

	"github.com/signalbox-dev/signalbox"
)

func databasesRules(rules map[string]rule) {
	for _, name := range []string{"ModifyDBInstance", "ModifyDBCluster", "ModifyGlobalCluster"} {
		rules["rds:"+name] = modifyDatabase
	}
	rules["docdb-elastic:UpdateCluster"] = modifyDatabase
	rules["redshift:ModifyCluster"] = modifyDatabase
	rules["elasticache:ModifyReplicationGroup"] = modifyDatabase
	rules["elasticache:ModifyCacheCluster"] = modifyDatabase
	rules["memorydb:UpdateCluster"] = modifyDatabase
	rules["rds:DeleteDBInstance"] = finalSnapshot("FinalDBSnapshotIdentifier")
	rules["rds:DeleteDBCluster"] = finalSnapshot("FinalDBSnapshotIdentifier")
	rules["redshift:DeleteCluster"] = finalSnapshot("FinalClusterSnapshotIdentifier")
	rules["elasticache:DeleteReplicationGroup"] = finalSnapshot("FinalSnapshotIdentifier")
	rules["elasticache:DeleteCacheCluster"] = finalSnapshot("FinalSnapshotIdentifier")
	rules["memorydb:DeleteCluster"] = finalSnapshot("FinalSnapshotName")
	rules["rds:ModifyDBSnapshotAttribute"] = shared
	rules["rds:ModifyDBClusterSnapshotAttribute"] = shared
	rules["kinesis:UpdateShardCount"] = func(j *judge) { j.trait(signalbox.TraitDial) }
	rules["kinesis:DecreaseStreamRetentionPeriod"] = func(j *judge) {
		if hours, ok := j.p.number("RetentionPeriodHours"); ok && hours > 48 {
			j.set(signalbox.Update, "keeps records for less time", signalbox.TraitDial)
			j.impact.Reversible = true
			return
		}
		j.trait(signalbox.TraitDataLoss)
		j.impact.Reversible = false
	}
	rules["sqs:PurgeQueue"] = func(j *judge) {
		j.trait(signalbox.TraitUnscoped)
		j.impact.Scope, j.impact.Count = signalbox.ScopeAll, signalbox.CountUnknown
		j.say("removes every message")
	}
	rules["sqs:SetQueueAttributes"] = queueAttributes
	rules["sns:SetTopicAttributes"] = topicAttribute
	rules["sns:SetSubscriptionAttributes"] = topicAttribute
	rules["sqs:DeleteMessageBatch"] = entries
	rules["sqs:SendMessageBatch"] = entries
	rules["sns:PublishBatch"] = entries
	rules["ecr:PutLifecyclePolicy"] = imageLifecycle
	rules["ecr:BatchDeleteImage"] = func(j *judge) { j.listed("imageIds", "image") }
	rules["glue:BatchDeleteTable"] = func(j *judge) { j.listed("TablesToDelete", "") }
	rules["glue:BatchDeletePartition"] = func(j *judge) { j.listed("PartitionsToDelete", "") }
	rules["athena:StartQueryExecution"] = athenaQuery
	rules["secretsmanager:UpdateSecretVersionStage"] = func(j *judge) {
		if j.p.text("VersionStage") == "AWSCURRENT" {
			j.trait(signalbox.TraitRename)
			j.say("puts another version in the place of the one in use")
		}
	}
	rules["rds:ModifyOptionGroup"] = func(j *judge) {
		if len(j.p.list("OptionsToRemove")) > 0 {
			j.interrupt("takes options away")
		}
	}
	for _, key := range []string{"secretsmanager:PutSecretValue", "secretsmanager:UpdateSecret", "ssm:PutParameter"} {
		rules[key] = secretValue
	}
}

// modifyDatabase looks for the fields of a database server that do more than a
// change of a window.
func modifyDatabase(j *judge) {
	p := j.p
	for _, m := range []string{"EngineVersion", "CacheEngineVersion", "ClusterVersion"} {
		if p.has(m) {
			j.interrupt("changes its version, which there is no way back from")
			j.impact.Reversible = false
		}
	}
	for _, m := range []string{"NewDBInstanceIdentifier", "NewDBClusterIdentifier", "NewClusterIdentifier",
		"NewGlobalClusterIdentifier"} {
		if p.text(m) != "" {
			j.trait(signalbox.TraitRename)
			j.say("gives it another name")
		}
	}
	for _, m := range []string{"VpcSecurityGroupIds", "DBSecurityGroups", "SecurityGroupIds",
		"CacheSecurityGroupNames", "ClusterSecurityGroups"} {
		if p.has(m) {
			j.raise(signalbox.Permission, "puts it behind another firewall")
		}
	}
	for _, m := range []string{
		"DBInstanceClass", "CacheNodeType", "NodeType", "NumberOfNodes", "NumCacheNodes", "DBSubnetGroupName",
		"DBPortNumber", "Port", "CACertificateIdentifier", "StorageType", "Engine",
		"DBParameterGroupName", "DBClusterParameterGroupName", "OptionGroupName", "ProcessorFeatures", "Domain",
		"CacheParameterGroupName",
	} {
		if p.has(m) {
			j.interrupt("changes " + m + ", which takes it out of service for a while")
		}
	}
	if len(p.list("CloudwatchLogsExportConfiguration", "DisableLogTypes")) > 0 {
		j.weaken("ends the export of its logs")
	}
	if p.is("RotateMasterUserPassword") || p.has("ManageMasterUserPassword") {
		j.raise(signalbox.Permission, "changes its master password")
	}
	if p.is("PromoteReadReplica") || p.has("ReplicationSourceIdentifier") {
		j.interrupt("changes what it replicates")
	}
}

// finalSnapshot says whether something is left of what is removed.
func finalSnapshot(member string) rule {
	return func(j *judge) {
		if j.p.text(member) == "" || j.p.is("SkipFinalSnapshot") || j.p.is("SkipFinalClusterSnapshot") {
			j.say("keeps no final snapshot")
			return
		}
		j.say("keeps a final snapshot")
	}
}

// entries counts a batch of messages.
func entries(j *judge) {
	n := int64(max(len(j.p.list("Entries")), len(j.p.list("PublishBatchRequestEntries"))))
	j.impact.Count = n
	if n > 1 {
		j.impact.Scope = signalbox.ScopeSome
	}
}

// listed counts what a batch names in a list of structures.
func (j *judge) listed(member, kind string) {
	n := len(j.p.list(member))
	j.impact.Count, j.impact.Scope = int64(n), signalbox.ScopeSome
	if len(j.resources) > 0 {
		j.resources[0].Whole = false
	}
	switch {
	case n == 0:
		j.impact.Count, j.impact.Scope = signalbox.CountUnknown, signalbox.ScopeAll
		j.trait(signalbox.TraitUnscoped)
	case n == 1:
		j.impact.Scope = signalbox.ScopeOne
	case n > bulk:
		j.trait(signalbox.TraitBulk)
	}
	if kind != "" && len(j.resources) > 0 {
		j.say("removes " + kind + "s")
	}
}

func queueAttributes(j *judge) {
	attributes := j.p.sub("Attributes")
	if n, ok := attributes.number("MessageRetentionPeriod"); ok {
		j.trait(signalbox.TraitDial)
		if n < 24*60*60 {
			j.trait(signalbox.TraitDataLoss)
			j.weaken("has messages removed within a day")
		}
	}
	for _, m := range []string{"RedrivePolicy", "KmsMasterKeyId"} {
		if v, ok := attributes[m].(string); ok && strings.TrimSpace(v) == "" {
			j.weaken("drops " + m)
		}
	}
	if v, ok := attributes["Policy"].(string); ok && strings.TrimSpace(v) == "" {
		j.raise(signalbox.Permission, "drops its policy")
	}
}

func topicAttribute(j *judge) {
	name, value := j.p.text("AttributeName"), j.p.text("AttributeValue")
	switch {
	case strings.EqualFold(name, "Policy"):
		if looksJSON(value) {
			j.policy("Policy", value)
		} else {
			j.unreadablePolicy("Policy")
		}
	case strings.EqualFold(name, "FilterPolicy") && strings.TrimSpace(value) != "":
		j.interrupt("keeps some messages from a subscriber")
	case strings.EqualFold(name, "KmsMasterKeyId") && value == "", strings.EqualFold(name, "RedrivePolicy") &&
		value == "":
		j.weaken("drops " + name)
	}
}

// imageLifecycle weighs rules that expire container images.
func imageLifecycle(j *judge) {
	v, err := decode(j.p.text("lifecyclePolicyText"))
	m, _ := v.(map[string]any)
	if err != nil || m == nil {
		j.trait(signalbox.TraitUnparsed)
		j.say("its rules cannot be read")
		return
	}
	j.trait(signalbox.TraitDial)
	for _, r := range params(m).structs("rules") {
		s := r.sub("selection")
		n, ok := s.number("countNumber")
		untagged := strings.EqualFold(s.text("tagStatus"), "untagged")
		switch {
		case untagged:
			j.say("expires images without a tag")
		case !ok || n < 5:
			j.impact.Reversible = false
			j.trait(signalbox.TraitDataLoss)
			j.impact.Scope, j.impact.Count = signalbox.ScopeAll, signalbox.CountUnknown
			j.say("expires images that are in use")
		case strings.EqualFold(s.text("tagStatus"), "any"):
			j.impact.Reversible = j.impact.Reversible && n >= 30
		}
	}
}

// athenaQuery judges a query by its first word: what selects, answers.
func athenaQuery(j *judge) {
	query := strings.TrimSpace(j.p.text("QueryString"))
	word, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(query, "\n", " ")), " ")
	strange := strings.Contains(query, "--") || strings.Contains(query, "/*") ||
		strings.Contains(strings.TrimSuffix(query, ";"), ";")
	j.drop(signalbox.TraitUnscoped, signalbox.TraitTop)
	j.resources = []signalbox.Resource{{Type: "athena-query", Name: unnamed}}
	j.impact.Count, j.impact.Scope, j.impact.Reversible = 1, signalbox.ScopeOne, true
	switch word {
	case "select", "with", "show", "describe", "explain", "values":
		if !strange && !strings.Contains(strings.ToLower(query), "using external function") {
			j.set(signalbox.Create, "runs a query that answers")
			return
		}
	case "drop", "delete", "truncate", "vacuum":
		j.set(signalbox.Delete, "runs a query that removes")
		j.impact.Reversible = false
		return
	case "create", "msck", "prepare":
		if !strange {
			j.set(signalbox.Create, "runs a query that adds")
			return
		}
	}
	j.set(signalbox.Execute, "runs a query that changes data", signalbox.TraitOpaque)
	j.impact.Scope, j.impact.Count = signalbox.ScopeUnknown, signalbox.CountUnknown
}

// secretValue is for secrets and parameters. A new plain parameter is small
// change; another value for a secret that somebody uses is a change of rights.
func secretValue(j *judge) {
	switch j.name {
	case "PutParameter":
		if strings.EqualFold(j.p.text("Type"), "SecureString") && j.p.is("Overwrite") {
			j.raise(signalbox.Permission, "changes a secret that something may be using")
		}
		if !j.p.is("Overwrite") {
			j.set(signalbox.Create, "adds a parameter")
			j.impact.Reversible = true
		}
		j.impact.Reversible = true
	default:
		if j.p.has("SecretString") || j.p.has("SecretBinary") {
			j.raise(signalbox.Permission, "changes a secret that something may be using")
		}
	}
}
