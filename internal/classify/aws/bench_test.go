package aws_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/classify/aws"
)

func BenchmarkClassify(b *testing.B) {
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf(`{"Key":"a/%d"}`, i)
	}
	for _, c := range [][3]string{
		{"s3", "GetObject", `{"Bucket":"b","Key":"k"}`},
		{"dynamodb", "PutItem", `{"TableName":"t","Item":{"id":{"S":"1"}}}`},
		{"ecs", "UpdateService", `{"cluster":"c","service":"s","desiredCount":3}`},
		{"iam", "PutRolePolicy", `{"RoleName":"r","PolicyName":"p","PolicyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b/*\"}]}"}`},
		{"s3", "DeleteObjects", `{"Bucket":"b","Delete":{"Objects":[` + strings.Join(keys, ",") + `]}}`},
	} {
		b.Run(c[1], func(b *testing.B) {
			var p map[string]any
			d := json.NewDecoder(strings.NewReader(c[2]))
			d.UseNumber()
			if err := d.Decode(&p); err != nil {
				b.Fatal(err)
			}
			call := aws.Call{Service: c[0], Operation: c[1], Region: "eu-central-1", Account: "111122223333",
				Parameters: p, Payload: -1}
			for b.Loop() {
				aws.Classify(call)
			}
		})
	}
}
