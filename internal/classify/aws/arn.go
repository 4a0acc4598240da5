package aws

import "strings"

// An arn is an Amazon Resource Name, in its parts:
// arn:partition:service:region:account:resource.
type arn struct{ partition, service, region, account, resource string }

func readARN(s string) (arn, bool) {
	f := strings.SplitN(s, ":", 6)
	if len(f) != 6 || f[0] != "arn" || f[2] == "" || f[5] == "" {
		return arn{}, false
	}
	return arn{f[1], f[2], f[3], f[4], f[5]}, true
}

// arnTypes are the words for a type that ARNs and members do not share.
var arnTypes = map[string]string{
	"targetgroup": "target-group", "loadbalancer": "load-balancer", "db": "db-instance",
	"cluster-snapshot": "db-cluster-snapshot",
	"statemachine":     "state-machine", "stateMachine": "state-machine", "snapshot": "snapshot",
	"task-definition": "task-definition",
	"log-group":       "log-group", "container-instance": "container-instance", "hostedzone": "hosted-zone",
	"natgateway":     "nat-gateway",
	"deliverystream": "delivery-stream", "replicationgroup": "replication-group", "recovery-point": "recovery-point",
	"webacl":           "web-acl",
	"autoScalingGroup": "auto-scaling-group", "backup-vault": "backup-vault", "launchTemplate": "launch-template",
	"listener": "listener",
}

// arnKind gives the type of what an ARN names; kind, if it does not tell.
func arnKind(s, kind string) string {
	a, ok := readARN(s)
	if !ok {
		return kind
	}
	word := a.resource
	if i := strings.IndexAny(word, "/:"); i > 0 {
		word = word[:i]
	} else {
		return kind
	}
	if a.service == "rds" && word == "cluster" {
		return "db-cluster"
	}
	if a.service == "rds" && word == "snapshot" {
		return "db-snapshot"
	}
	if k, ok := arnTypes[word]; ok {
		return k
	}
	if kind == "" || kind == "resource" || kind == strings.ToLower(word) {
		return strings.ToLower(word)
	}
	return kind
}

// shortName gives the name by which a thing is known also without its ARN or
// its URL: the same thing must have one name, however a call puts it.
func shortName(s, kind string) string {
	if a, ok := readARN(s); ok {
		switch a.service {
		case "s3", "sns", "sqs":
			return a.resource
		case "lambda":
			f := strings.Split(a.resource, ":")
			return f[min(1, len(f)-1)]
		case "logs":
			return strings.TrimSuffix(strings.TrimPrefix(a.resource, "log-group:"), ":*")
		}
		if i := strings.IndexAny(a.resource, "/:"); i > 0 && i+1 < len(a.resource) {
			return a.resource[i+1:]
		}
		return a.resource
	}
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		if kind == "queue" {
			return s[strings.LastIndexByte(s, '/')+1:]
		}
		return s
	}
	if kind == "function" && !strings.HasPrefix(s, "arn:") {
		if i := strings.IndexByte(s, ':'); i > 0 {
			return s[:i] // a qualifier
		}
	}
	if kind == "hosted-zone" || kind == "hostedzone" {
		return strings.TrimPrefix(s, "/hostedzone/")
	}
	return s
}

// arnForms are the resources whose ARN follows from a name, an account and a
// region: "service type" to what stands behind the account. A leading "-"
// leaves the region out, "--" region and account.
var arnForms = map[string]string{
	"s3 bucket": "--", "s3 object": "--",
	"iam role": "-role/", "iam user": "-user/", "iam group": "-group/", "iam policy": "-policy/",
	"iam instance-profile": "-instance-profile/",
	"dynamodb table":       "table/", "lambda function": "function:", "sqs queue": "", "sns topic": "",
	"rds db-instance": "db:", "rds db-cluster": "cluster:", "rds db-snapshot": "snapshot:",
	"rds db-cluster-snapshot": "cluster-snapshot:",
	"ec2 instance":            "instance/", "ec2 volume": "volume/", "ec2 snapshot": "snapshot/", "ec2 vpc": "vpc/",
	"ec2 subnet": "subnet/",
	"ec2 group":  "security-group/", "ec2 security-group": "security-group/", "ec2 image": "image/",
	"ec2 route-table": "route-table/",
	"ecs cluster":     "cluster/", "ecs service": "service/", "eks cluster": "cluster/",
	"ecr repository": "repository/",
	"kms key":        "key/", "logs log-group": "log-group:", "cloudwatch alarm": "alarm:",
	"cloudtrail trail": "trail/",
	"kinesis stream":   "stream/", "firehose delivery-stream": "deliverystream/", "ssm parameter": "parameter/",
	"states state-machine": "stateMachine:", "events rule": "rule/",
	"elasticache replication-group": "replicationgroup:",
	"elasticache cache-cluster":     "cluster:", "redshift cluster": "cluster:", "backup backup-vault": "backup-vault:",
	"route53 hosted-zone":     "--hostedzone/",
	"cloudfront distribution": "-distribution/", "es domain": "domain/", "codebuild project": "project/",
	"codepipeline pipeline":         "",
	"elasticfilesystem file-system": "file-system/", "apigateway rest-api": "", "glue job": "job/",
	"glue database": "database/",
}

// formARN gives a resource's ARN where it follows from its name; otherwise "".
func formARN(service, kind, parent, name, region, account string) string {
	rest, ok := arnForms[service+" "+kind]
	if !ok || name == "" || name == unnamed {
		return ""
	}
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	name = parent + name
	if after, global := strings.CutPrefix(rest, "--"); global {
		return "arn:" + partition + ":" + service + ":::" + after + name
	}
	if account == "" {
		return ""
	}
	if after, global := strings.CutPrefix(rest, "-"); global {
		return "arn:" + partition + ":" + service + "::" + account + ":" + after + name
	}
	if region == "" {
		return ""
	}
	return "arn:" + partition + ":" + service + ":" + region + ":" + account + ":" + rest +
		strings.TrimPrefix(name, "/")
}
