package awswire

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// Identify names the operation that a request asks for. When no operation of
// the table fits, or more than one that the request does not tell apart, the
// error is ErrUnknownOperation; a request that cannot be read is ErrMalformed.
//
// Several services may be signed for under one name. Where they share methods and
// paths too, a host name that is the service's endpoint prefix before one of the
// gate's names tells them apart.
//
// The service's own protocol is expected, or rpc-v2-cbor, or, for services whose
// older clients speak it, query.
func Identify(r Request) (*Operation, error) {
	o, _, err := identify(&r)
	return o, err
}

// identify also says which protocol the request is in.
func identify(r *Request) (*Operation, Protocol, error) {
	services := table().bySigning[r.SigningName]
	if r.SigningName != "" && services == nil {
		return nil, "", unknownOperation("no service is signed for as %q", r.SigningName)
	}
	target := r.Header.Values("X-Amz-Target")
	smithy := r.Header.Values("Smithy-Protocol")
	switch {
	case len(target) > 1 || len(smithy) > 1 || len(target) > 0 && len(smithy) > 0:
		return nil, "", malformed("the operation is named in more than one header")
	case len(smithy) == 1:
		return identifyCBOR(r, smithy[0])
	case len(target) == 1:
		return identifyTarget(r, target[0])
	}
	q, err := r.parse()
	if err != nil {
		return nil, "", err
	}
	if o, p, err := identifyAction(q, services); o != nil || err != nil {
		return o, p, err
	}
	o, err := identifyRoute(q, services)
	if err != nil {
		return nil, "", err
	}
	return o, o.Service.Protocol, nil
}

func unknownOperation(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnknownOperation, fmt.Sprintf(format, args...))
}

// identifyTarget is for the protocol json: the header X-Amz-Target is
// "TargetPrefix.Operation".
func identifyTarget(r *Request, target string) (*Operation, Protocol, error) {
	dot := strings.LastIndexByte(target, '.')
	if dot < 0 || r.Method != http.MethodPost || r.Path != "/" && r.Path != "" {
		return nil, "", unknownOperation("X-Amz-Target %q with %s %s", target, r.Method, r.Path)
	}
	o, err := named(r, target[:dot], target[dot+1:])
	if err != nil {
		return nil, "", err
	}
	if err := saidOnce(r, o, "application/x-amz-json-1.0", "application/x-amz-json-1.1",
		"application/json"); err != nil {
		return nil, "", err
	}
	return o, JSON, nil
}

// saidOnce sees to it that a request whose operation a header names is no other
// request to a service that looks at Content-Type or at Action first.
func saidOnce(r *Request, o *Operation, types ...string) error {
	q, err := r.parse()
	if err != nil {
		return err
	}
	for _, p := range q.query {
		if strings.EqualFold(p.name, "Action") {
			return malformed("the operation is named in a header and as %s", p.name)
		}
	}
	t := r.Header.Get("Content-Type")
	if t == "" && (len(r.Body) == 0 || !o.Service.queryToo) {
		return nil
	}
	if m, _, err := mime.ParseMediaType(t); err != nil || !slices.Contains(types, m) {
		return malformed("Content-Type %q where it must be %s", t, types[0])
	}
	return nil
}

// identifyCBOR is for rpc-v2-cbor: the path is
// "/service/TargetPrefix/operation/Operation".
func identifyCBOR(r *Request, protocol string) (*Operation, Protocol, error) {
	if Protocol(protocol) != CBOR || r.Method != http.MethodPost {
		return nil, "", unknownOperation("Smithy-Protocol %q with %s", protocol, r.Method)
	}
	rest, ok := strings.CutPrefix(r.Path, "/service/")
	service, operation, ok2 := strings.Cut(rest, "/operation/")
	if !ok || !ok2 {
		return nil, "", unknownOperation("rpc-v2-cbor with path %q", r.Path)
	}
	o, err := named(r, service, operation)
	if err != nil {
		return nil, "", err
	}
	if err := saidOnce(r, o, "application/cbor"); err != nil {
		return nil, "", err
	}
	return o, CBOR, nil
}

// narrow leaves the services that the host name means, if it means one: of S3, a
// prefix is a bucket.
func (r *Request) narrow(services []*Service) []*Service {
	prefix, _ := r.prefix()
	if prefix == "" || len(services) < 2 {
		return services
	}
	var named []*Service
	for _, s := range services {
		if s.Name == prefix && s.SigningName != "s3" {
			named = append(named, s)
		}
	}
	if len(named) > 0 {
		return named
	}
	return services
}

// named gives an operation by its service's name in the protocols that name it.
func named(r *Request, target, operation string) (*Operation, error) {
	for _, s := range r.narrow(table().byTarget[target]) {
		if r.SigningName != "" && !slices.Contains(table().bySigning[r.SigningName], s) {
			continue
		}
		if o := s.Operation(operation); o != nil {
			return o, nil
		}
	}
	return nil, unknownOperation("%q of %q, signed for %q", operation, target, r.SigningName)
}

// identifyAction is for the protocols query and ec2: the parameters Action and
// Version, in the body or in the query. It gives nothing when there is no Action.
func identifyAction(q request, services []*Service) (*Operation, Protocol, error) {
	if services == nil {
		services = table().services
	}
	speaks := func(s *Service) bool { return s.Protocol == Query || s.Protocol == EC2 || s.queryToo }
	if !slices.ContainsFunc(services, speaks) {
		return nil, "", nil
	}
	action, version, err := actionOf(q)
	if err != nil || action == "" {
		return nil, "", err
	}
	for _, s := range services {
		if !speaks(s) || s.Version != version {
			continue
		}
		o := s.Operation(action)
		switch {
		case o == nil:
		case s.Protocol == JSON:
			return o, Query, nil // with paths of queues
		case q.Path == "/" || q.Path == "":
			return o, s.Protocol, nil
		}
	}
	return nil, "", unknownOperation("Action %q of Version %q at %q, signed for %q", action, version, q.Path,
		q.SigningName)
}

// actionOf looks for Action and Version. It stops when it has both: Decode sees
// to it that nothing is said twice.
func actionOf(q request) (action, version string, err error) {
	if q.Method != http.MethodPost && q.Method != http.MethodGet {
		return "", "", nil
	}
	action, _ = q.param("Action")
	version, _ = q.param("Version")
	if q.Method == http.MethodGet || !isForm(q.Header) {
		return action, version, nil
	}
	rest, err := q.plain()
	if err != nil {
		return "", "", err
	}
	for len(rest) > 0 && (action == "" || version == "") {
		end := slices.Index(rest, '&')
		p := rest
		if end >= 0 {
			p, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		if len(p) > 1024 {
			continue // neither, and the names of APIs are short
		}
		name, value, _ := strings.Cut(string(p), "=")
		if name, err = unescape(name); err != nil {
			return "", "", err
		}
		if name != "Action" && name != "Version" {
			continue
		}
		if value, err = unescape(value); err != nil {
			return "", "", err
		}
		if name == "Action" && action == "" {
			action = value
		} else if name == "Version" && version == "" {
			version = value
		}
	}
	return action, version, nil
}

// isForm reports whether the body is a form. Bodies that do not say what they
// are may be taken for one.
func isForm(h http.Header) bool {
	t := h.Get("Content-Type")
	if t == "" {
		return true
	}
	m, _, err := mime.ParseMediaType(t)
	return err == nil && m == "application/x-www-form-urlencoded"
}

// identifyRoute is for the REST protocols: method, path, and what tells apart
// operations that share both.
func identifyRoute(q request, services []*Service) (*Operation, error) {
	free := q.SigningName == ""
	if free {
		services = table().free
	}
	prefix, ours := q.prefix()
	services = q.narrow(services)
	var found, lacking []candidate
	for _, s := range services {
		if s.Protocol != RestJSON && s.Protocol != RestXML {
			continue
		}
		path := q.Path
		if s.Name == "s3" {
			if _, control := q.header("X-Amz-Account-Id"); control {
				continue // S3 Control's, and of an operation that is newer than the table if it is none of its
			}
			if !ours {
				return nil, unknownOperation("host %q is none of the gate's names", q.Host)
			}
			if prefix != "" {
				path = "/" + prefix + path
			}
		}
		s.loadOperations()
		for r := range s.routes.below(q.Method, path, q.Path) {
			at := path
			if r.op.HostPrefix != "" {
				at = q.Path // what stands before the host name is no bucket
			}
			if free && !r.op.Unsigned || !r.match(at, nil) {
				continue
			}
			c, ok := r.fit(q)
			switch {
			case !ok:
			case !c.lacking:
				found = append(found, c)
			case s.Name != "s3":
				lacking = append(lacking, c)
			}
		}
	}
	if len(found) == 0 {
		// Whoever leaves out what is required gets the service's own answer. Not
		// with S3, which then takes the request for another operation.
		found = lacking
	}
	if o := choose(q, found); o != nil {
		if name := q.subresource(o); name != "" {
			return nil, unknownOperation("%s %s with %q, which %s does not have", q.Method, q.Path, name, o.Name)
		}
		return o, nil
	}
	if len(found) > 1 {
		return nil, unknownOperation("%s %s could be %s or %s, signed for %q", q.Method, q.Path, found[0].op.Name,
			found[1].op.Name, q.SigningName)
	}
	return nil, unknownOperation("%s %s, signed for %q", q.Method, q.Path, q.SigningName)
}

// subresource gives a query parameter that o does not have, and that may make the
// request another operation's: S3 adds operations to the paths that it has,
// PUT /bucket/key?renameObject. Those with GET read, whatever they are called.
func (q request) subresource(o *Operation) string {
	if o.Service.Name != "s3" || q.Method == http.MethodGet || q.Method == http.MethodHead {
		return ""
	}
	for _, p := range q.query {
		known := hoisted(p.name) || slices.Contains(protocolParams, p.name) ||
			slices.ContainsFunc(o.route.literals, func(l pair) bool { return l.name == p.name }) ||
			o.inputShape().inQuery(p.name)
		if !known {
			return p.name
		}
	}
	return ""
}

// choose gives the one operation among the candidates that the request means,
// nil when it could mean several.
func choose(q request, all []candidate) *Operation {
	if len(all) == 0 {
		return nil
	}
	// The most specific path wins, then who asks for all that the others ask
	// for and more.
	best := slices.MinFunc(all, func(a, b candidate) int { return a.compare(b.route) })
	all = slices.DeleteFunc(all, func(c candidate) bool { return c.compare(best.route) != 0 })
	if len(all) == 1 {
		return all[0].op
	}
	best = slices.MaxFunc(all, func(a, b candidate) int { return len(a.needs) - len(b.needs) })
	have := best.needs
	for _, c := range all {
		for _, n := range c.needs {
			if !slices.Contains(have, n) {
				return nil
			}
		}
	}
	if best.hollow {
		return nil // an empty uploadId: is it one?
	}
	all = slices.DeleteFunc(all, func(c candidate) bool { return len(c.needs) < len(have) })
	if len(all) == 1 {
		return all[0].op
	}
	return narrow(q, all)
}

// narrow tells apart operations that have method, path and all else in common: by
// their parameters, and then by their age.
func narrow(q request, all []candidate) *Operation {
	var fitting, current []*Operation
	for _, c := range all {
		params, err := decode(c.op, q.Request, c.op.Service.Protocol)
		if err != nil || params[""] != nil {
			continue
		}
		complete := true
		for _, name := range c.op.Required() {
			complete = complete && params[name] != nil
		}
		if complete {
			fitting = append(fitting, c.op)
		}
	}
	if len(fitting) == 0 {
		for _, c := range all {
			fitting = append(fitting, c.op)
		}
	}
	for _, o := range fitting {
		if !o.Deprecated {
			current = append(current, o)
		}
	}
	if len(current) == 0 {
		current = fitting
	}
	// Services repeat each other's operations, such as TagResource. What is judged
	// is what the gate then asks for, of the service that is named here.
	first := current[0]
	if first.Method == http.MethodGet || !slices.ContainsFunc(current, func(o *Operation) bool { return o.Name != first.Name }) {
		return first
	}
	return nil
}
