package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/aws"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

func awsGate(s *Server, g config.Gate, t *tls.Config) (protocol, error) {
	c := g.Upstream.Credentials
	up := aws.Upstream{
		Account: g.Upstream.Account, Region: g.Upstream.Region,
		Credentials: aws.Credentials{Profile: c.Profile, AccessKeyID: c.AccessKeyID},
		Endpoint:    g.Upstream.Endpoint, Endpoints: g.Upstream.Endpoints,
		Accounts: g.Upstream.Accounts, Unsigned: g.Upstream.Unsigned, RootCA: g.Upstream.CA,
	}
	if c.SecretAccessKey.Set() {
		var err error
		if up.Credentials.SecretAccessKey, err = c.SecretAccessKey.Read(); err != nil {
			return nil, fmt.Errorf("secret access key: %w", err)
		}
	}
	return aws.New(aws.Config{
		Gate: control.Gate{
			Name: g.Name, Target: target(g), Environment: g.Environment, Wait: g.Wait,
			Ceiling: control.Ceiling{Request: g.Ceiling.Request, Total: g.Ceiling.Total},
		},
		Interlock:  judgedCalls{aws.Through(s.interlock), s.decisions, g.Name},
		Upstream:   up,
		Hosts:      hostsOf(g),
		TLS:        t,
		RequireTLS: !config.Loopback(g.Listen),
		ReadEach:   g.Reads == config.ReadsEach,
		HoldURL:    func(id string) string { return s.url + "/holds/" + id },
		Now:        s.ledger.Now,
		Logger:     s.log,
	})
}

// hostsOf gives the names that clients reach a gate by.
func hostsOf(g config.Gate) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if host, _, err := net.SplitHostPort(g.Listen); err == nil && net.ParseIP(host) == nil {
		hosts = append(hosts, host)
	}
	if g.Advertise != "" {
		hosts = append(hosts, g.Advertise)
	}
	return hosts
}

// judgedCalls counts a gate's decisions and measures how long they take.
type judgedCalls struct {
	aws.Interlock
	decisions *decisions
	gate      string
}

// Admit implements [aws.Interlock].
func (j judgedCalls) Admit(ctx context.Context, r interlock.Request, x aws.Executor) (aws.Admission, error) {
	began := time.Now()
	a, err := j.Interlock.Admit(ctx, r, x)
	j.decisions.seconds.Observe(time.Since(began).Seconds())
	j.decisions.count(j.gate, err)
	return a, err
}

// Do implements [aws.Interlock]. How long the target and people took is no
// measure of the decision.
func (j judgedCalls) Do(ctx context.Context, r interlock.Request, x aws.Executor) (signalbox.Outcome, error) {
	out, err := j.Interlock.Do(ctx, r, x)
	j.decisions.count(j.gate, err)
	return out, err
}
