// Package standin is a stand-in for a cloud, in memory and on a loopback
// address: enough of CloudFormation, S3 and STS for the AWS SDKs to work with
// it unchanged, and a service with customers that lives on one of its stacks.
//
// The one thing to know: it is not AWS, and nothing here proves anything about
// AWS. What it does is meant to be true to AWS where a story about a stack's
// deletion depends on it: signatures are verified, resources come and go in the
// order of their dependencies and take their time, a deletion policy keeps what
// it says, termination protection refuses, a bucket with objects does not go, an
// update changes what its template and parameters change and nothing else. What
// it does not know it refuses with NotImplemented.
//
// Time is simulated. [Config.Hour] says how long an hour lasts, so that the
// thirteen hours for which a service is gone can be watched in seconds.
package standin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// What stands for the account and the place in which everything is.
const (
	Account = "111122223333"
	Region  = "cn-north-1"
	// Role is the role that the one credential stands for.
	Role = "arn:aws-cn:iam::" + Account + ":role/cost-explorer-operator"

	partition = "aws-cn"
)

// A Config says how a cloud is to be.
type Config struct {
	// Hour is how long a simulated hour lasts. Default: for ever, so that time
	// passes by [Cloud.Pass] alone.
	Hour time.Duration
}

// A Cloud is one account in one region. Its methods may be called from several
// goroutines.
type Cloud struct {
	// AccessKeyID and SecretAccessKey are the one credential, new for each cloud.
	AccessKeyID     string
	SecretAccessKey string

	hour    time.Duration
	began   time.Time
	api     listener
	service listener

	mu      sync.Mutex // guards what is below
	passed  time.Duration
	stacks  map[string]*stack // by name; what is deleted is not in here
	gone    []*stack          // deleted, oldest first
	buckets map[string]*bucket
	roles   map[string]assumed // by access key id: who assumed a role
	trail   []Event
}

// An Event is a request that the cloud took, as its own trail has it.
type Event struct {
	Caller    string // ARN of who signed it
	Operation string // cloudformation:DeleteStack; of S3, the method and the path
}

// Trail gives the requests that the cloud took so far: those of which the
// signature was right, whatever became of them.
func (c *Cloud) Trail() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.trail)
}

// A listener is one of the cloud's two addresses.
type listener struct {
	net    net.Listener
	server http.Server
	done   chan struct{} // closed when the server has ended
}

// Start starts an empty cloud on free ports. The caller closes it.
func Start(c Config) (*Cloud, error) {
	cloud := &Cloud{
		AccessKeyID: "AKIA" + rand.Text()[:16], SecretAccessKey: rand.Text() + rand.Text()[:14],
		hour: c.Hour, began: time.Now(), stacks: map[string]*stack{}, buckets: map[string]*bucket{},
		roles: map[string]assumed{},
	}
	for _, l := range []struct {
		listener *listener
		serve    http.HandlerFunc
	}{{&cloud.api, cloud.serveAPI}, {&cloud.service, cloud.serveCustomer}} {
		var err error
		if l.listener.net, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			cloud.Close()
			return nil, fmt.Errorf("start the stand-in cloud: %w", err)
		}
		l.listener.server.Handler = l.serve
		l.listener.server.ReadHeaderTimeout = 10 * time.Second
		l.listener.done = make(chan struct{})
		go func() {
			defer close(l.listener.done)
			// It ends by Close, which is no error.
			_ = l.listener.server.Serve(l.listener.net)
		}()
	}
	return cloud, nil
}

// Close ends the cloud and cuts its connections. It may be called twice.
func (c *Cloud) Close() {
	for _, l := range []*listener{&c.api, &c.service} {
		if l.done == nil {
			continue
		}
		_ = l.server.Close() // closes the listener, too
		<-l.done
	}
}

// URL is the address of the cloud's API, for AWS_ENDPOINT_URL.
func (c *Cloud) URL() string { return "http://" + c.api.net.Addr().String() }

// ServiceURL is the address at which customers reach the cost service.
func (c *Cloud) ServiceURL() string { return "http://" + c.service.net.Addr().String() }

// Pass lets simulated time pass at once.
func (c *Cloud) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
	c.settle()
}

// Simulated gives how much simulated time passes in a real one; 0 where none
// passes by itself.
func (c *Cloud) Simulated(d time.Duration) time.Duration {
	if c.hour == 0 {
		return 0
	}
	return time.Duration(float64(d) / float64(c.hour) * float64(time.Hour))
}

// now is simulated time since the cloud began. The caller holds mu.
func (c *Cloud) now() time.Duration { return c.passed + c.Simulated(time.Since(c.began)) }

// clock gives a moment of simulated time as the API shows it.
func (c *Cloud) clock(at time.Duration) string {
	return c.began.Add(at).UTC().Format("2006-01-02T15:04:05.000Z")
}

// serveAPI answers one signed request.
func (c *Cloud) serveAPI(w http.ResponseWriter, r *http.Request) {
	q, err := c.verify(r)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.settle()
		switch q.service {
		case "s3":
			c.trail = append(c.trail, Event{q.caller, "s3:" + r.Method + " " + r.URL.Path})
			c.serveS3(w, r, q.body)
			return
		case "cloudformation":
			err = c.serveQuery(w, r, q, "2010-05-15", "http://cloudformation.amazonaws.com/doc/2010-05-15/",
				c.cloudformation)
		case "sts":
			err = c.serveQuery(w, r, q, "2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/", func(name string, p url.Values) (any, error) {
				return c.sts(q.caller, name, p)
			})
		default:
			err = notImplemented("service " + q.service)
		}
	}
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		refused.write(w, q.service)
	case err != nil:
		(&refusal{http.StatusInternalServerError, "InternalFailure", err.Error()}).write(w, q.service)
	}
}
