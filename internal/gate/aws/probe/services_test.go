package probe

import (
	"encoding/json"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws"
)

// What each service tells is a shortened answer in its own wire format.
func TestServices(t *testing.T) {
	const ec2ns = `xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"`
	for _, c := range []struct {
		service, operation string
		params             map[string]any
		answers            map[string]string
		facts, bound       []string
		count, dependants  int64
		reversible         bool
	}{
		{"ec2", "TerminateInstances", map[string]any{"InstanceIds": []any{"i-1", "i-2"}}, map[string]string{
			"ec2:DescribeInstances": `<DescribeInstancesResponse ` + ec2ns + `><reservationSet><item><instancesSet>
				<item><instanceId>i-1</instanceId><launchTime>2026-01-01T00:00:00Z</launchTime><instanceState><name>running</name></instanceState>
				<tagSet><item><key>Name</key><value>web</value></item><item><key>aws:autoscaling:groupName</key><value>web-prod</value></item></tagSet>
				<blockDeviceMapping><item><ebs><volumeId>vol-1</volumeId><deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping></item>
				<item><instanceId>i-2</instanceId><instanceState><name>running</name></instanceState>
				<blockDeviceMapping><item><ebs><volumeId>vol-2</volumeId><deleteOnTermination>false</deleteOnTermination></ebs></item></blockDeviceMapping></item>
				</instancesSet></item></reservationSet></DescribeInstancesResponse>`,
			"ec2:DescribeSnapshots": `<DescribeSnapshotsResponse ` + ec2ns +
				`><snapshotSet><item><snapshotId>s</snapshotId><volumeId>vol-1</volumeId></item></snapshotSet></DescribeSnapshotsResponse>`,
		}, []string{"2 instances (2 running): i-1 web, i-2", "1 web-prod", "1 volume deleted with them: vol-1",
			"1 of these volumes have a snapshot"}, []string{"2 with hash"}, 2, 1, false},

		{"ec2", "RevokeSecurityGroupIngress", map[string]any{"GroupId": "sg-1"}, map[string]string{
			"ec2:DescribeNetworkInterfaces": `<DescribeNetworkInterfacesResponse ` + ec2ns + `><networkInterfaceSet><item><attachment><instanceId>i-1</instanceId></attachment></item>
				<item><description>ELB app</description></item></networkInterfaceSet></DescribeNetworkInterfacesResponse>`,
		}, []string{"2 network interfaces in security group sg-1: 1 i-1, 1 ELB app"}, []string{"sg-1"}, 2, 0, true},

		{"rds", "DeleteDBInstance", map[string]any{"DBInstanceIdentifier": "app", "SkipFinalSnapshot": true},
			map[string]string{
				"rds:DescribeDBInstances": `<DescribeDBInstancesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBInstancesResult><DBInstances><DBInstance>
				<DBInstanceIdentifier>app</DBInstanceIdentifier><DbiResourceId>db-XYZ</DbiResourceId><Engine>postgres</Engine><AllocatedStorage>20</AllocatedStorage>
				<DeletionProtection>false</DeletionProtection><BackupRetentionPeriod>7</BackupRetentionPeriod>
				<ReadReplicaDBInstanceIdentifiers><ReadReplicaDBInstanceIdentifier>app-r1</ReadReplicaDBInstanceIdentifier></ReadReplicaDBInstanceIdentifiers>
				</DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>`,
				"rds:DescribeDBSnapshots": `<DescribeDBSnapshotsResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBSnapshotsResult><DBSnapshots></DBSnapshots></DescribeDBSnapshotsResult></DescribeDBSnapshotsResponse>`,
			}, []string{"No final snapshot is made", "1 read replica: app-r1", "0 manual snapshots",
				"deletion protection off", "automated backups go with it"}, []string{"db-XYZ"}, 1, 1, false},

		{"kms", "ScheduleKeyDeletion", map[string]any{"KeyId": "k-1"}, map[string]string{
			"kms:DescribeKey": `{"KeyMetadata":{"KeyId":"k-1","Arn":"arn:k-1","KeyState":"Enabled","CreationDate":1.7e9,"MultiRegion":false}}`,
			"kms:ListGrants":  `{"Grants":[{"GranteePrincipal":"arn:role/a"},{"GranteePrincipal":"arn:role/a"}],"Truncated":false}`,
			"kms:ListAliases": `{"Aliases":[{"AliasName":"alias/orders"}]}`,
		}, []string{"granted to 2 arn:role/a", "known as alias/orders", "can never be read again"},
			[]string{"arn:k-1 Enabled"}, 1, 2, false},

		{"route53", "ChangeResourceRecordSets",
			map[string]any{"HostedZoneId": "Z1", "ChangeBatch": map[string]any{"Changes": []any{
				map[string]any{"Action": "DELETE",
					"ResourceRecordSet": map[string]any{"Name": "www.acme.example.", "Type": "CNAME"}}}}},
			map[string]string{
				"route53:GetHostedZone": `<GetHostedZoneResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZone><Id>/hostedzone/Z1</Id><Name>acme.example.</Name>
				<CallerReference>c</CallerReference><ResourceRecordSetCount>12</ResourceRecordSetCount></HostedZone></GetHostedZoneResponse>`,
				"route53:ListResourceRecordSets": `<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ResourceRecordSets><ResourceRecordSet>
				<Name>www.acme.example.</Name><Type>CNAME</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>lb.acme.example</Value></ResourceRecord></ResourceRecords>
				</ResourceRecordSet></ResourceRecordSets></ListResourceRecordSetsResponse>`,
			}, []string{"with 12 record sets",
				"DELETE CNAME www.acme.example., which is now: lb.acme.example for 300 s"},
			[]string{"/hostedzone/Z1", "lb.acme.example"}, 1, 0, true},

		{"lambda", "DeleteFunction", map[string]any{"FunctionName": "f"}, map[string]string{
			"lambda:GetFunctionConfiguration": `{"FunctionArn":"arn:f","RevisionId":"r-1","Runtime":"go","Role":"arn:role","LastModified":"x"}`,
			"lambda:ListEventSourceMappings":  `{"EventSourceMappings":[{"EventSourceArn":"arn:sqs:q"}]}`,
			"lambda:ListAliases":              `{"Aliases":[{"Name":"live"}]}`,
		}, []string{"fed by arn:sqs:q", "aliases: live"}, []string{"arn:f r-1"}, 1, 1, true},

		{"ecs", "UpdateService", map[string]any{"cluster": "prod", "service": "api",
			"desiredCount": json.Number("2")}, map[string]string{
			"ecs:DescribeServices": `{"services":[{"serviceArn":"arn:api","status":"ACTIVE","runningCount":7,"desiredCount":7,"taskDefinition":"api:3","createdAt":1.7e9,"loadBalancers":[{}]}]}`,
		}, []string{"7 of 7 tasks running", "It would have 2 tasks"}, []string{"arn:api", "api:3"}, 5, 0, true},

		{"eks", "DeleteCluster", map[string]any{"name": "prod"}, map[string]string{
			"eks:DescribeCluster": `{"cluster":{"arn":"arn:prod","version":"1.34","status":"ACTIVE","createdAt":1.7e9}}`,
			"eks:ListNodegroups":  `{"nodegroups":["a","b"]}`,
		}, []string{"2 node groups: a, b"}, []string{"arn:prod"}, 1, 2, true},

		{"autoscaling", "UpdateAutoScalingGroup",
			map[string]any{"AutoScalingGroupName": "web", "MinSize": json.Number("0"), "MaxSize": json.Number("0"),
				"DesiredCapacity": json.Number("0")}, map[string]string{
				"autoscaling:DescribeAutoScalingGroups": `<DescribeAutoScalingGroupsResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>
				<AutoScalingGroupARN>arn:web</AutoScalingGroupARN><MinSize>2</MinSize><MaxSize>6</MaxSize><DesiredCapacity>3</DesiredCapacity><Instances>
				<member><LifecycleState>InService</LifecycleState></member><member><LifecycleState>InService</LifecycleState></member><member><LifecycleState>InService</LifecycleState></member>
				</Instances></member></AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>`,
			}, []string{"3 instances (3 InService)", "3 instances would be ended"}, []string{"arn:web"}, 3, 0, true},

		{"cloudtrail", "StopLogging", map[string]any{"Name": "org"}, map[string]string{
			"cloudtrail:GetTrail":       `{"Trail":{"TrailARN":"arn:org","S3BucketName":"audit","IsMultiRegionTrail":true,"IsOrganizationTrail":true}}`,
			"cloudtrail:GetTrailStatus": `{"IsLogging":true}`,
			"cloudtrail:DescribeTrails": `{"trailList":[{"TrailARN":"arn:org"}]}`,
		}, []string{"of the whole organisation: true", "It is on", "0 other trails record besides"},
			[]string{"arn:org"}, 1, 0, true},

		{"backup", "DeleteRecoveryPoint", map[string]any{"BackupVaultName": "prod", "RecoveryPointArn": "arn:rp"},
			map[string]string{
				"backup:DescribeBackupVault":   `{"BackupVaultArn":"arn:v","CreationDate":1.7e9,"NumberOfRecoveryPoints":9,"Locked":false}`,
				"backup:DescribeRecoveryPoint": `{"ResourceType":"EBS","ResourceArn":"arn:vol","CreationDate":1.7e9,"BackupSizeInBytes":5}`,
			}, []string{"holds 9 recovery points", "of EBS arn:vol"}, []string{"arn:rp"}, 1, 0, false},

		{"monitoring", "DeleteAlarms", map[string]any{"AlarmNames": []any{"space"}}, map[string]string{
			"monitoring:DescribeAlarms": `<DescribeAlarmsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><DescribeAlarmsResult><MetricAlarms><member><AlarmName>space</AlarmName>
				<AlarmArn>arn:space</AlarmArn><MetricName>Free</MetricName><Threshold>5.0</Threshold><StateValue>OK</StateValue><ActionsEnabled>true</ActionsEnabled></member></MetricAlarms></DescribeAlarmsResult></DescribeAlarmsResponse>`,
		}, []string{"Alarm space on Free", "actions on"}, []string{"arn:space"}, 1, 0, true},

		{"logs", "PutRetentionPolicy", map[string]any{"logGroupName": "/app/audit",
			"retentionInDays": json.Number("1")}, map[string]string{
			"logs:DescribeLogGroups": `{"logGroups":[{"logGroupName":"/app/audit-2"},{"logGroupName":"/app/audit","arn":"arn:lg","storedBytes":77,"creationTime":1}]}`,
		}, []string{"holds 77 bytes, kept for ever", "kept 1 day"}, []string{"arn:lg", "for ever"}, 1, 0, true},
	} {
		t.Run(c.service+":"+c.operation, func(t *testing.T) {
			call := aws.Call{Service: c.service, Operation: c.operation, Region: "eu-west-1", Parameters: c.params}
			impact, state, err := Probe(t.Context(), &standIn{t: t, answers: c.answers}, call,
				signalbox.Impact{Count: signalbox.CountUnknown, Reversible: true})
			if err != nil {
				t.Fatal(err)
			}
			want(t, impact, state, c.facts, c.bound...)
			if impact.Count != c.count || impact.Dependants != c.dependants || impact.Reversible != c.reversible {
				t.Errorf("impact %+v, want count %d, dependants %d, reversible %t", impact, c.count, c.dependants,
					c.reversible)
			}
		})
	}
}
