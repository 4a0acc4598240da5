package server

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/signalbox-dev/signalbox/internal/gate/aws"
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
		Config:   s.gateConfig(g, t),
		Upstream: up,
		Hosts:    hostsOf(g),
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
