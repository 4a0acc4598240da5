package awswire

import "testing"

func TestFind(t *testing.T) {
	n := 0
	for _, s := range Services() {
		for _, o := range s.Operations() {
			n++
			if _, ok := Find(s.Name, o.Name); !ok {
				t.Errorf("Find(%q, %q): nothing", s.Name, o.Name)
			}
			if got, ok := Find(s.ID, o.Name); !ok || got != o {
				t.Errorf("Find(%q, %q) gives another service's", s.ID, o.Name)
			}
			o.inputShape()
			o.outputShape()
		}
	}
	if n < 15_000 {
		t.Errorf("%d operations in the table", n)
	}
}

// TestFindPrefers is about names that several services share.
func TestFindPrefers(t *testing.T) {
	for _, c := range []struct{ service, operation, id string }{
		{"rds", "DeleteDBCluster", "RDS"},
		{"elasticloadbalancing", "DeleteLoadBalancer", "Elastic Load Balancing v2"},
		{"elasticloadbalancing", "DeleteLoadBalancerListeners", "Elastic Load Balancing"},
		{"monitoring", "DeleteAlarms", "CloudWatch"},
		{"cloudwatch", "DeleteAlarms", "CloudWatch"},
		{"states", "DeleteStateMachine", "SFN"},
		{"api.ecr", "DeleteRepository", "ECR"},
		{"ecr", "DeleteRepository", "ECR"},
		{"s3-control", "DeleteAccessPoint", "S3 Control"},
		{"s3", "DeleteBucket", "S3"},
		{"email", "DeleteIdentity", "SES"},
		{"ses", "DeleteEmailIdentity", "SESv2"},
		{"es", "DeleteElasticsearchDomain", "Elasticsearch Service"},
		{"tagging", "TagResources", "Resource Groups Tagging API"},
		{"docdb", "DeleteDBCluster", "DocDB"},
	} {
		o, ok := Find(c.service, c.operation)
		if !ok || o.Service.ID != c.id {
			t.Errorf("Find(%q, %q) = %+v, want one of %q", c.service, c.operation, o, c.id)
		}
	}
	if all := FindAll("rds", "DeleteDBCluster"); len(all) != 3 {
		t.Errorf("FindAll gives %d operations for three services", len(all))
	}
	if _, ok := Find("rds", "DropEverything"); ok {
		t.Error("Find knows DropEverything")
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		service, region string
		want            Address
	}{
		{"iam", "eu-west-1", Address{"aws", "iam.amazonaws.com", "iam", "us-east-1"}},
		{"sts", "eu-west-1", Address{"aws", "sts.eu-west-1.amazonaws.com", "sts", "eu-west-1"}},
		{"rds", "us-gov-west-1", Address{"aws-us-gov", "rds.us-gov-west-1.amazonaws.com", "rds", "us-gov-west-1"}},
		{"s3", "eu-central-1", Address{"aws", "s3.eu-central-1.amazonaws.com", "s3", "eu-central-1"}},
		{"s3", "cn-north-1", Address{"aws-cn", "s3.cn-north-1.amazonaws.com.cn", "s3", "cn-north-1"}},
		{"route53", "ap-south-1", Address{"aws", "route53.amazonaws.com", "route53", "us-east-1"}},
		{"cloudfront", "us-west-2", Address{"aws", "cloudfront.amazonaws.com", "cloudfront", "us-east-1"}},
		{"monitoring", "us-west-2", Address{"aws", "monitoring.us-west-2.amazonaws.com", "monitoring", "us-west-2"}},
		{"api.ecr", "us-west-2", Address{"aws", "api.ecr.us-west-2.amazonaws.com", "ecr", "us-west-2"}},
		{"organizations", "us-west-2", Address{"aws", "organizations.us-east-1.amazonaws.com", "organizations",
			"us-east-1"}},
		{"lambda", "eu-central-9", Address{"aws", "lambda.eu-central-9.amazonaws.com", "lambda", "eu-central-9"}},
	} {
		got, err := Endpoint(c.service, c.region)
		if err != nil || got != c.want {
			t.Errorf("Endpoint(%q, %q) = %+v, %v, want %+v", c.service, c.region, got, err, c.want)
		}
	}
	for _, c := range [][2]string{{"no-such", "us-east-1"}, {"s3", "moon-1"}, {"s3", ""}} {
		if got, err := Endpoint(c[0], c[1]); err == nil {
			t.Errorf("Endpoint(%q, %q) = %+v", c[0], c[1], got)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for b.Loop() {
		Find("ec2", "TerminateInstances")
	}
}
