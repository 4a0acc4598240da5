package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// newAccount is a stand-in for an AWS account: it has one table, and answers
// those alone who sign with its key.
func newAccount(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		switch {
		case !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIATHEGATE/"):
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"__type":"UnrecognizedClientException","message":"who are you?"}`)
		case operation == "ListTables":
			io.WriteString(w, `{"TableNames":["orders"]}`)
		case operation == "DescribeTable":
			io.WriteString(w, `{"Table":{"TableName":"orders","TableArn":"arn:aws:dynamodb:eu-central-1:123456789012:table/orders","TableStatus":"ACTIVE","ItemCount":12,"TableSizeBytes":3000}}`)
		case operation == "DeleteTable":
			io.WriteString(w, `{"TableDescription":{"TableName":"orders","TableStatus":"DELETING"}}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"ValidationException","message":"not here"}`)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// awsCall is a client of AWS's own SDK with nothing but its defaults: what its
// environment and shared files say. It calls "whoami", "tables", or "drop TABLE".
func awsCall() {
	ctx := context.Background()
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	tables := dynamodb.NewFromConfig(c)
	switch os.Args[1] {
	case "whoami":
		var out *sts.GetCallerIdentityOutput
		if out, err = sts.NewFromConfig(c).GetCallerIdentity(ctx, nil); err == nil {
			fmt.Println(aws.ToString(out.Arn))
		}
	case "tables":
		var out *dynamodb.ListTablesOutput
		if out, err = tables.ListTables(ctx, nil); err == nil {
			fmt.Println(strings.Join(out.TableNames, " "))
		}
	case "drop":
		if _, err = tables.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(os.Args[2])}); err == nil {
			fmt.Println("dropped", os.Args[2])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
