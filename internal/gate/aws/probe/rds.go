package probe

import "fmt"

var rds = map[string]prober{
	"rds:DeleteDBInstance":        instanceGoes,
	"rds:ModifyDBInstance":        instanceChanges,
	"rds:StopDBInstance":          instanceChanges,
	"rds:RebootDBInstance":        instanceChanges,
	"rds:DeleteDBCluster":         clusterGoes,
	"rds:ModifyDBCluster":         clusterChanges,
	"rds:StopDBCluster":           clusterChanges,
	"rds:FailoverDBCluster":       clusterChanges,
	"rds:DeleteDBSnapshot":        snapshotGoes,
	"rds:DeleteDBClusterSnapshot": clusterSnapshotGoes,
}

func instanceGoes(l *look) error {
	if err := instanceChanges(l); err != nil {
		return err
	}
	l.last("final snapshot", "FinalDBSnapshotIdentifier")
	if l.says("DeleteAutomatedBackups", false) {
		l.fact("Its automated backups are kept.")
	} else {
		l.fact("Its automated backups go with it.")
	}
	return nil
}

// last tells whether a copy is made before the end.
func (l *look) last(what, name string) {
	if copy := l.text(name); copy != "" && !l.says("SkipFinalSnapshot", true) {
		l.fact("A %s %q is made first.", what, copy)
		return
	}
	l.fact("No %s is made.", what)
	l.impact.Reversible = false
}

func instanceChanges(l *look) error {
	name := l.text("DBInstanceIdentifier")
	a, err := l.ask("rds", "DescribeDBInstances", map[string]any{"DBInstanceIdentifier": name})
	if absent(err) {
		return l.gone("database instance", name)
	}
	if err != nil {
		return err
	}
	found := a.List("DBInstances")
	if len(found) != 1 {
		return fmt.Errorf("DescribeDBInstances of %q gave %d instances", name, len(found))
	}
	d := found[0]
	l.fact("%s %s, %d GiB, status %s, in several zones: %t, deletion protection %s, automated backups kept for %d days.",
		d.Text("Engine"), d.Text("EngineVersion"), d.Int("AllocatedStorage"), d.Text("DBInstanceStatus"),
		d.Bool("MultiAZ"),
		onOff(d.Bool("DeletionProtection")), d.Int("BackupRetentionPeriod"))
	var replicas []string
	for _, r := range d.List("ReadReplicaDBInstanceIdentifiers") {
		replicas = append(replicas, r.Text())
	}
	if len(replicas) > 0 {
		l.fact("It feeds %s: %s.", plural(len(replicas), "read replica"), some(replicas))
	}
	if c := d.Text("DBClusterIdentifier"); c != "" {
		l.fact("It is a member of cluster %s.", c)
	}
	kept := 0
	whole, err := l.each(list{service: "rds", operation: "DescribeDBSnapshots",
		params: map[string]any{"DBInstanceIdentifier": name, "SnapshotType": "manual"},
		items:  []string{"DBSnapshots"}, token: "Marker", next: "Marker"}, func(answer) { kept++ })
	switch {
	case err != nil:
		l.fact("Its manual snapshots could not be counted.")
	case whole:
		l.fact("%s of it exist.", plural(kept, "manual snapshot"))
	}
	l.bind("database instance", d.Text("DbiResourceId")+" "+d.Text("DBInstanceArn"))
	l.impact.Count, l.impact.Dependants = 1, int64(len(replicas))
	return nil
}

func clusterGoes(l *look) error {
	if err := clusterChanges(l); err != nil {
		return err
	}
	l.last("final snapshot", "FinalDBSnapshotIdentifier")
	return nil
}

func clusterChanges(l *look) error {
	name := l.text("DBClusterIdentifier")
	a, err := l.ask("rds", "DescribeDBClusters", map[string]any{"DBClusterIdentifier": name})
	if absent(err) {
		return l.gone("database cluster", name)
	}
	if err != nil {
		return err
	}
	found := a.List("DBClusters")
	if len(found) != 1 {
		return fmt.Errorf("DescribeDBClusters of %q gave %d clusters", name, len(found))
	}
	d := found[0]
	members := d.List("DBClusterMembers")
	l.fact("%s %s, %s, deletion protection %s, automated backups kept for %d days.", d.Text("Engine"),
		d.Text("EngineVersion"),
		plural(len(members), "member"), onOff(d.Bool("DeletionProtection")), d.Int("BackupRetentionPeriod"))
	l.bind("database cluster", d.Text("DbClusterResourceId")+" "+d.Text("DBClusterArn"))
	l.impact.Count, l.impact.Dependants = 1, int64(len(members))
	return nil
}

func snapshotGoes(l *look) error {
	return dbSnapshot(l, "DBSnapshotIdentifier", "DescribeDBSnapshots", "DBSnapshots", "DBInstanceIdentifier",
		"DBSnapshotArn")
}

func clusterSnapshotGoes(l *look) error {
	return dbSnapshot(l, "DBClusterSnapshotIdentifier", "DescribeDBClusterSnapshots", "DBClusterSnapshots",
		"DBClusterIdentifier", "DBClusterSnapshotArn")
}

// dbSnapshot tells of a snapshot, and whether others of its source remain.
func dbSnapshot(l *look, param, operation, items, source, arn string) error {
	name := l.text(param)
	a, err := l.ask("rds", operation, map[string]any{param: name})
	if absent(err) {
		return l.gone("snapshot", name)
	}
	if err != nil {
		return err
	}
	found := a.List(items)
	if len(found) != 1 {
		return fmt.Errorf("%s of %q gave %d snapshots", operation, name, len(found))
	}
	s := found[0]
	l.fact("It was taken of %s at %s (%s, %d GiB).", s.Text(source), s.Text("SnapshotCreateTime"),
		s.Text("SnapshotType"), s.Int("AllocatedStorage"))
	others := 0
	whole, err := l.each(list{service: "rds", operation: operation, params: map[string]any{source: s.Text(source)},
		items: []string{items}, token: "Marker", next: "Marker"}, func(o answer) {
		if o.Text(param) != name {
			others++
		}
	})
	if err == nil && whole {
		l.fact("%s of the same source remain.", plural(others, "other snapshot"))
	}
	l.bind("snapshot", s.Text(arn)+" of "+s.Text("SnapshotCreateTime"))
	l.impact.Count, l.impact.Reversible = 1, false
	return nil
}
