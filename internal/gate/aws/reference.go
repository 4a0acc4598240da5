package aws

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Prepare implements [interlock.Executor]: what is known before a call is
// forwarded are the gate's own looks at what it would touch. AWS has no conditions
// on what was looked at, and no locks. A change set is bound to the stack that it
// was made of, and its ARN names it and no later one of that name.
func (e *execution) Prepare(context.Context) interlock.Prepared {
	return interlock.Prepared{Reference: e.refer.all(), Atomic: e.atomic()}
}

func (e *execution) atomic() bool {
	op := e.x.op
	if op == nil || op.Service.ID != "CloudFormation" || op.Name != "ExecuteChangeSet" {
		return false
	}
	name, _ := e.c.params["ChangeSetName"].(string)
	return strings.HasPrefix(name, "arn:")
}

const (
	maxReferences = 1000 // facts; the rest is counted
	maxReference  = 256  // bytes of one value
)

// references collects what AWS calls the requests that were made for a call.
type references struct {
	known signalbox.Reference
	more  int // probes that are not listed
}

// request adds what AWS calls the call itself, by the header of its answer.
func (r *references) request(h http.Header) {
	r.add(signalbox.RefRequest, requestID(h))
	r.add(signalbox.RefRequest2, h.Get("X-Amz-Id-2"))
}

// probe adds a call of the gate's own.
func (r *references) probe(h http.Header) {
	if len(r.known) >= maxReferences {
		r.more++
		return
	}
	r.add(signalbox.RefProbe, requestID(h))
}

func (r *references) add(name, value string) {
	if len(value) > maxReference {
		value = strings.ToValidUTF8(value[:maxReference], "") + "…"
	}
	if value != "" {
		r.known = append(r.known, signalbox.Fact{Name: name, Value: value})
	}
}

// all gives what is known so far.
func (r *references) all() signalbox.Reference {
	all := slices.Clone(r.known)
	if r.more > 0 {
		all = append(all, signalbox.Fact{Name: signalbox.RefProbe, Value: fmt.Sprintf("and %d more", r.more)})
	}
	return all
}

// requestID gives the id of a request by the header of its answer, in which the
// services differ.
func requestID(h http.Header) string {
	for _, name := range []string{"X-Amzn-Requestid", "X-Amz-Request-Id"} {
		if id := h.Get(name); id != "" {
			return id
		}
	}
	return ""
}
