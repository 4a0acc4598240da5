package probe

// Safeguards: what records, watches and backs up. What matters of them is what
// is no longer seen or kept once they are gone.
var safeguards = map[string]prober{
	"cloudtrail:StopLogging":                    trail,
	"cloudtrail:DeleteTrail":                    trail,
	"cloudtrail:UpdateTrail":                    trail,
	"cloudtrail:PutEventSelectors":              trail,
	"config:StopConfigurationRecorder":          recorder,
	"config:DeleteConfigurationRecorder":        recorder,
	"config:DeleteDeliveryChannel":              recorders,
	"guardduty:DeleteDetector":                  detector,
	"guardduty:UpdateDetector":                  detector,
	"backup:DeleteRecoveryPoint":                recoveryPoint,
	"backup:DeleteBackupVault":                  vault,
	"backup:DeleteBackupPlan":                   backupPlan,
	"backup:DeleteBackupSelection":              backupPlan,
	"backup:DeleteBackupVaultLockConfiguration": vault,
	"monitoring:DeleteAlarms":                   alarms,
	"monitoring:DisableAlarmActions":            alarms,
	"monitoring:PutMetricAlarm":                 alarm,
	"logs:DeleteLogGroup":                       logGroup,
	"logs:PutRetentionPolicy":                   logGroup,
	"logs:DeleteSubscriptionFilter":             logGroup,
	"logs:PutSubscriptionFilter":                logGroup,
	"ec2:DeleteFlowLogs":                        flowLogs,
}

func trail(l *look) error {
	name := firstOf(l.text("Name"), l.text("TrailName"))
	a, err := l.ask("cloudtrail", "GetTrail", map[string]any{"Name": name})
	if absent(err) {
		return l.gone("trail", name)
	}
	if err != nil {
		return err
	}
	t := func(member string) bool { return a.Bool("Trail", member) }
	l.fact("Trail %s writes to %s; all regions: %t, of the whole organisation: %t, log files validated: %t.",
		a.Text("Trail", "TrailARN"),
		a.Text("Trail", "S3BucketName"), t("IsMultiRegionTrail"), t("IsOrganizationTrail"),
		t("LogFileValidationEnabled"))
	s, err := l.ask("cloudtrail", "GetTrailStatus", map[string]any{"Name": name})
	if err != nil {
		l.fact("Whether it records now could not be told.")
	} else {
		l.fact("It is %s, and delivered last %s.", onOff(s.Bool("IsLogging")), orNever(s.Text("LatestDeliveryTime")))
	}
	others := 0
	if all, err := l.ask("cloudtrail", "DescribeTrails", map[string]any{}); err == nil {
		for _, o := range all.List("trailList") {
			if o.Text("TrailARN") != a.Text("Trail", "TrailARN") {
				others++
			}
		}
		l.fact("%s record besides.", plural(others, "other trail"))
	}
	l.bind("trail", a.Text("Trail", "TrailARN"))
	l.impact.Count = 1
	return nil
}

func recorder(l *look) error { return recordersNamed(l, l.text("ConfigurationRecorderName")) }

func recorders(l *look) error { return recordersNamed(l, "") }

func recordersNamed(l *look, name string) error {
	params := map[string]any{}
	if name != "" {
		params["ConfigurationRecorderNames"] = []any{name}
	}
	a, err := l.ask("config", "DescribeConfigurationRecorderStatus", params)
	if absent(err) {
		return l.gone("configuration recorder", name)
	}
	if err != nil {
		return err
	}
	found := a.List("ConfigurationRecordersStatus")
	for _, r := range found {
		l.fact("Recorder %s is %s since %s.", r.Text("name"), onOff(r.Bool("recording")),
			orNever(r.Text("lastStartTime")))
		l.bind("configuration recorder", r.Text("name"))
	}
	l.impact.Count = int64(len(found))
	return nil
}

func detector(l *look) error {
	id := l.text("DetectorId")
	a, err := l.ask("guardduty", "GetDetector", map[string]any{"DetectorId": id})
	if absent(err) {
		return l.gone("detector", id)
	}
	if err != nil {
		return err
	}
	l.fact("The detector is %s, made %s, and publishes every %s.", a.Text("Status"), a.Text("CreatedAt"),
		firstOf(a.Text("FindingPublishingFrequency"), "while"))
	l.bind("detector", id)
	l.impact.Count = 1
	return nil
}

func vault(l *look) error {
	_, err := vaultNamed(l, l.text("BackupVaultName"))
	return err
}

func vaultNamed(l *look, name string) (points int64, err error) {
	a, err := l.ask("backup", "DescribeBackupVault", map[string]any{"BackupVaultName": name})
	if absent(err) {
		return 0, l.gone("backup vault", name)
	}
	if err != nil {
		return 0, err
	}
	n := a.Int("NumberOfRecoveryPoints")
	l.fact("Vault %s holds %d recovery points, locked: %t.", name, n, a.Bool("Locked"))
	l.bind("backup vault", a.Text("BackupVaultArn")+" made "+a.Text("CreationDate"))
	l.impact.Count, l.impact.Total = n, n
	return n, nil
}

func recoveryPoint(l *look) error {
	n, err := vaultNamed(l, l.text("BackupVaultName"))
	if err != nil {
		return err
	}
	arn := l.text("RecoveryPointArn")
	a, err := l.ask("backup", "DescribeRecoveryPoint",
		map[string]any{"BackupVaultName": l.text("BackupVaultName"), "RecoveryPointArn": arn})
	if absent(err) {
		return l.gone("recovery point", arn)
	}
	if err != nil {
		return err
	}
	l.fact("It is of %s %s, taken %s, %d bytes, and one of the vault's %d.", a.Text("ResourceType"),
		a.Text("ResourceArn"), a.Text("CreationDate"), a.Int("BackupSizeInBytes"), n)
	l.bind("recovery point", arn)
	l.impact.Count, l.impact.Reversible = 1, false
	return nil
}

func backupPlan(l *look) error {
	id := l.text("BackupPlanId")
	a, err := l.ask("backup", "GetBackupPlan", map[string]any{"BackupPlanId": id})
	if absent(err) {
		return l.gone("backup plan", id)
	}
	if err != nil {
		return err
	}
	selected := 0
	if _, err := l.each(list{service: "backup", operation: "ListBackupSelections",
		params: map[string]any{"BackupPlanId": id},
		items:  []string{"BackupSelectionsList"}, token: "NextToken", next: "NextToken"}, func(answer) { selected++ }); err != nil {
		l.fact("What it backs up could not be read.")
	}
	l.fact("Plan %s has %s for %s of resources, and ran last %s.", a.Text("BackupPlan", "BackupPlanName"),
		plural(len(a.List("BackupPlan", "Rules")), "rule"),
		plural(selected, "selection"), orNever(a.Text("LastExecutionDate")))
	l.bind("backup plan", a.Text("BackupPlanArn")+" "+a.Text("VersionId"))
	l.impact.Count, l.impact.Dependants = 1, int64(selected)
	return nil
}

func alarms(l *look) error { return alarmsNamed(l, l.texts("AlarmNames")) }

func alarm(l *look) error { return alarmsNamed(l, []string{l.text("AlarmName")}) }

func alarmsNamed(l *look, names []string) error {
	n := 0
	_, err := l.each(list{service: "monitoring", operation: "DescribeAlarms",
		params: map[string]any{"AlarmNames": asList(names)},
		items:  []string{"MetricAlarms"}, token: "NextToken", next: "NextToken"}, func(a answer) {
		n++
		l.fact("Alarm %s on %s of %s: %s %s, state %s, actions %s.", a.Text("AlarmName"), a.Text("MetricName"),
			a.Text("Namespace"),
			a.Text("ComparisonOperator"), a.Text("Threshold"), a.Text("StateValue"), onOff(a.Bool("ActionsEnabled")))
		l.bind("alarm", a.Text("AlarmArn")+" "+a.Text("ComparisonOperator")+" "+a.Text("Threshold"))
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return l.gone("alarm", some(names))
	}
	l.impact.Count = int64(n)
	return nil
}

func logGroup(l *look) error {
	name := l.text("logGroupName")
	if name == "" {
		return l.gone("log group", l.text("logGroupIdentifier"))
	}
	var found *answer
	if _, err := l.each(list{service: "logs", operation: "DescribeLogGroups",
		params: map[string]any{"logGroupNamePrefix": name},
		items:  []string{"logGroups"}, token: "nextToken", next: "nextToken"}, func(g answer) {
		if g.Text("logGroupName") == name {
			found = &g
		}
	}); err != nil {
		return err
	}
	if found == nil {
		return l.gone("log group", name)
	}
	kept := "for ever"
	if d := found.Int("retentionInDays"); d > 0 {
		kept = plural(int(d), "day")
	}
	l.fact("Log group %s holds %d bytes, kept %s.", name, found.Int("storedBytes"), kept)
	if days, ok := l.number("retentionInDays"); ok {
		l.fact("They would be kept %s; what is older is deleted.", plural(int(days), "day"))
	}
	l.bind("log group", found.Text("arn")+" made "+found.Text("creationTime"))
	l.bind("retention", kept)
	l.impact.Count = 1
	return nil
}

func flowLogs(l *look) error {
	ids := l.texts("FlowLogIds")
	var of []string
	if _, err := l.each(list{service: "ec2", operation: "DescribeFlowLogs",
		params: map[string]any{"FlowLogIds": asList(ids)},
		items:  []string{"FlowLogs"}, token: "NextToken", next: "NextToken"}, func(f answer) { of = append(of, f.Text("ResourceId")) }); err != nil {
		return err
	}
	l.fact("They record the traffic of %s.", firstOf(some(of), "nothing"))
	l.bindSet("flow logs", ids)
	l.impact.Count = int64(len(of))
	return nil
}
