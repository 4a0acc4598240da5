package aws

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
)

// A place is where a call goes, and how it is signed there.
type place struct {
	url             *url.URL // scheme and host
	region, service string
}

// where says where a call goes: to the endpoint that the configuration has for
// the service, or to AWS's own.
func (g *Gate) where(op *awswire.Operation, service, region string) (place, error) {
	names := []string{service}
	ask := service
	if op != nil {
		names = []string{op.Service.Name, op.Service.SigningName}
		ask = op.Service.ID
	}
	p := place{service: service, region: region}
	address, err := awswire.Endpoint(ask, region)
	if err == nil {
		p.service, p.region = address.SigningName, address.SigningRegion
		p.url = &url.URL{Scheme: "https", Host: address.Host}
	}
	base := g.Upstream.Endpoint
	for _, n := range names {
		if e := g.Upstream.Endpoints[n]; e != "" {
			base = e
			break
		}
	}
	if base != "" {
		if p.url, err = url.Parse(base); err != nil {
			return p, err
		}
		p.url.Path = ""
	}
	if p.url == nil {
		return p, fmt.Errorf("%w: %w", errNoEndpoint, err)
	}
	return p, nil
}

// prefixed puts a host prefix before the endpoint's host; an address takes none.
func (p place) prefixed(prefix string) place {
	if name := p.url.Hostname(); prefix != "" && net.ParseIP(name) == nil && name != "localhost" {
		u := *p.url
		u.Host = prefix + u.Host
		p.url = &u
	}
	return p
}

var hostLabel = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)

// hostPrefix gives what the operation has before the endpoint's host.
func (x *exchange) hostPrefix(c *call) (string, error) {
	if x.op == nil || x.op.HostPrefix == "" {
		return "", nil
	}
	prefix := x.op.HostPrefix
	for name, v := range c.params {
		if text, ok := v.(string); ok && strings.Contains(prefix, "{"+name+"}") {
			if !hostLabel.MatchString(text) {
				return "", malformed("member %s cannot stand in a host name", name)
			}
			prefix = strings.ReplaceAll(prefix, "{"+name+"}", text)
		}
	}
	if strings.Contains(prefix, "{") {
		return "", malformed("a member that stands in the host name is missing: %s", prefix)
	}
	return prefix, nil
}

// bucketHost gives the bucket in the client's host name, or "".
func (x *exchange) bucketHost() string {
	name := strings.ToLower(x.wire.Host)
	for _, h := range x.g.Hosts {
		h = strings.ToLower(h)
		if name == h {
			return ""
		}
	}
	for _, h := range x.g.Hosts {
		if bucket, ok := strings.CutSuffix(name, "."+strings.ToLower(h)); ok {
			return bucket
		}
	}
	return ""
}
