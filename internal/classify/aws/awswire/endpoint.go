package awswire

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// An Address is where a service answers, and how requests to it are signed.
type Address struct {
	Partition     string // "aws", "aws-cn", "aws-us-gov"
	Host          string // without host prefixes
	SigningName   string
	SigningRegion string
}

type partition struct {
	name, suffix, hostname string
	pattern                *regexp.Regexp
	regions                []string
	services               map[string]*placement
}

// A placement is what a partition says of one service.
type placement struct {
	global   bool   // answers at one place for all regions
	home     string // the name of that place among endpoints
	defaults place
	places   map[string]place
}

type place struct{ host, region, service string }

var partitions = sync.OnceValue(func() []partition {
	r := open(table().endpoints)
	all := make([]partition, r.uint())
	for i := range all {
		p := &all[i]
		p.name, p.suffix = r.text(), r.text()
		p.pattern = regexp.MustCompile(r.text())
		p.hostname = r.text()
		p.regions = r.list()
		p.services = map[string]*placement{}
		for range r.uint() {
			s := &placement{places: map[string]place{}}
			p.services[r.text()] = s
			r.bits(&s.global)
			s.home = r.text()
			s.defaults = place{r.text(), r.text(), r.text()}
			for range r.uint() {
				region := r.text()
				s.places[region] = place{r.text(), r.text(), r.text()}
			}
		}
	}
	if r.err != nil {
		panic("awswire: endpoints in the embedded table: " + r.err.Error())
	}
	return all
})

// Endpoint says where service answers for region. The service is named as for
// Find. A region that no partition knows is an error when it does not look like
// one of them either.
func Endpoint(service, region string) (Address, error) {
	known := table().byName[service]
	if known == nil {
		known = table().byName[strings.ToLower(service)]
	}
	if known == nil {
		return Address{}, fmt.Errorf("where %q answers: no such service in the table", service)
	}
	s := known[0]
	if region == "" {
		return Address{}, fmt.Errorf("where %q answers: no region", service)
	}
	all := partitions()
	i := slices.IndexFunc(all, func(p partition) bool { return slices.Contains(p.regions, region) })
	if i < 0 {
		i = slices.IndexFunc(all, func(p partition) bool { return p.pattern.MatchString(region) })
	}
	if i < 0 {
		return Address{}, fmt.Errorf("where %q answers: no partition has the region %q", service, region)
	}
	p := &all[i]
	a := Address{Partition: p.name, SigningName: s.SigningName, SigningRegion: region}
	host, dns := p.hostname, region
	if at := p.services[s.Name]; at != nil {
		where, ok := at.places[region]
		if !ok && at.global && at.home != "" {
			where, dns = at.places[at.home], at.home
		}
		for _, x := range []place{at.defaults, where} {
			if x.host != "" {
				host = x.host
			}
			if x.region != "" {
				a.SigningRegion = x.region
			}
			if x.service != "" {
				a.SigningName = x.service
			}
		}
	} else if s.global != "" && p.name == "aws" {
		host, a.SigningRegion = s.global, "us-east-1"
	}
	a.Host = strings.NewReplacer("{service}", s.Name, "{region}", dns, "{dnsSuffix}", p.suffix).Replace(host)
	return a, nil
}
