//go:build unix

package awstest

import (
	"context"
	"crypto/rand"
	"time"
)

// TB is what we need of testing.TB. Naming it here keeps the testing package,
// and its flags, out of the programs that use [Start].
type TB interface {
	Helper()
	Cleanup(func())
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}

// New starts a server for one test and closes it when the test ends. When the
// test failed, the end of the server's log is printed.
func New(tb TB, kind Kind) *Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Start(ctx, kind)
	return kept(tb, kind, s, err)
}

// Account starts a server of each kind with one credential, as if they were one
// account's services, for one test. Its endpoints are by AWS's names of the
// services.
func Account(tb TB, kinds ...Kind) (servers map[Kind]*Server, endpoints map[string]string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	servers, endpoints = map[Kind]*Server{}, map[string]string{}
	id, secret := "AKIA"+rand.Text()[:16], rand.Text()+rand.Text()[:14]
	for _, kind := range kinds {
		s, err := StartFor(ctx, kind, id, secret)
		servers[kind] = kept(tb, kind, s, err)
		for _, service := range services[kind] {
			endpoints[service] = s.URL
		}
	}
	return servers, endpoints
}

var services = map[Kind][]string{S3: {"s3"}, IAM: {"iam", "sts"}, DynamoDB: {"dynamodb"}, Queues: {"sqs", "sns"}}

func kept(tb TB, kind Kind, s *Server, err error) *Server {
	tb.Helper()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			log := s.Log()
			tb.Logf("end of the log of %s:\n%s", kind, log[max(0, len(log)-4000):])
		}
		s.Close()
	})
	return s
}
