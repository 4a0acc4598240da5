package probe

import (
	"fmt"
	"strings"
)

var dynamoDB = map[string]prober{
	"dynamodb:DeleteTable":             tableGoes,
	"dynamodb:UpdateTable":             tableChanges,
	"dynamodb:UpdateTimeToLive":        tableChanges,
	"dynamodb:UpdateContinuousBackups": tableChanges,
	"dynamodb:DeleteBackup":            dynamoBackup,
}

func tableGoes(l *look) error {
	if err := tableChanges(l); err != nil {
		return err
	}
	l.impact.Reversible = false
	return nil
}

// tableChanges tells of a table whose items could all be concerned.
func tableChanges(l *look) error {
	name := l.text("TableName")
	a, err := l.ask("dynamodb", "DescribeTable", map[string]any{"TableName": name})
	if absent(err) {
		return l.gone("table", name)
	}
	if err != nil {
		return err
	}
	l.fact("Table %s has %s, and deletion protection is %s.", name, countItems(l, name, a),
		onOff(a.Bool("Table", "DeletionProtectionEnabled")))
	if replicas := a.List("Table", "Replicas"); len(replicas) > 0 {
		var regions []string
		for _, r := range replicas {
			regions = append(regions, r.Text("RegionName"))
		}
		l.fact("It has replicas in %s.", some(regions))
		l.impact.Dependants = int64(len(replicas))
	}
	id := a.Text("Table", "TableId")
	if id == "" {
		id = a.Text("Table", "TableArn") + " created " + a.Text("Table", "CreationDateTime")
	}
	l.bind("table", id)
	pitr, err := l.ask("dynamodb", "DescribeContinuousBackups", map[string]any{"TableName": name})
	if err != nil {
		l.fact("Whether it can be restored to a point in time could not be told.")
		l.bind("point-in-time recovery", "unknown")
		return nil
	}
	status := strings.ToLower(pitr.Text("ContinuousBackupsDescription", "PointInTimeRecoveryDescription",
		"PointInTimeRecoveryStatus"))
	l.fact("Point-in-time recovery is %s.", status)
	l.bind("point-in-time recovery", status)
	return nil
}

// countItems counts what one page of a scan shows, which is all of a small table:
// AWS's own count is hours old. It sets the count of the impact, and says it.
func countItems(l *look, name string, described answer) string {
	old := described.Int("Table", "ItemCount")
	l.impact.Count, l.impact.Total = old, old
	told := fmt.Sprintf("about %d items in %d bytes (counted by AWS every six hours)", old,
		described.Int("Table", "TableSizeBytes"))
	page, err := l.ask("dynamodb", "Scan", map[string]any{"TableName": name, "Select": "COUNT"})
	if err != nil {
		return told
	}
	n := page.Int("Count")
	if len(page.Keys("LastEvaluatedKey")) > 0 {
		l.impact.Count, l.impact.Total = max(n, old), max(n, old)
		return told
	}
	l.impact.Count, l.impact.Total = n, n
	return fmt.Sprintf("%d items", n)
}

func dynamoBackup(l *look) error {
	arn := l.text("BackupArn")
	a, err := l.ask("dynamodb", "DescribeBackup", map[string]any{"BackupArn": arn})
	if absent(err) {
		return l.gone("backup", arn)
	}
	if err != nil {
		return err
	}
	source := a.Text("BackupDescription", "SourceTableDetails", "TableName")
	l.fact("It is a backup of table %s of %s, %d bytes.", source,
		a.Text("BackupDescription", "BackupDetails", "BackupCreationDateTime"),
		a.Int("BackupDescription", "BackupDetails", "BackupSizeBytes"))
	others := 0
	whole, err := l.each(list{service: "dynamodb", operation: "ListBackups",
		params: map[string]any{"TableName": source},
		items:  []string{"BackupSummaries"}, token: "ExclusiveStartBackupArn", next: "LastEvaluatedBackupArn"}, func(b answer) {
		if b.Text("BackupArn") != arn {
			others++
		}
	})
	if err != nil {
		return err
	}
	if whole {
		l.fact("The table has %s besides.", plural(others, "other backup"))
	}
	l.bind("backup", arn)
	l.impact.Count, l.impact.Reversible = 1, false
	return nil
}
