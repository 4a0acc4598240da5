// Package probe asks a live AWS account what a call would touch: how many
// objects, which of them others rely on, whether anything would remain. It only
// reads.
//
// The one thing to know: a prober tells three kinds of things. Facts are
// sentences for approvers. The state is what an approval is bound to by
// equality: the identity of what is touched, so that another stack of the same
// name is not what was approved. The impact is a ceiling: counts that may
// shrink until the call is made, and must not grow.
//
// Each service has a file with one small function for each call that hurts.
// Where there is none, [Probe] says so, and approvers are told that nobody
// could measure.
package probe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
)

// A Caller makes one call to the account behind the gate, with the gate's own
// credentials. An error that the service gave is an [*awswire.ServiceError].
type Caller interface {
	Call(ctx context.Context, service, operation, region string, params map[string]any) (awswire.Answer, error)
}

// ErrNoProber says that nobody here knows how to measure the call.
var ErrNoProber = errors.New("there is no prober for this operation")

// patience bounds a whole probe: a person or an agent waits meanwhile.
const patience = 15 * time.Second

// maxPages bounds how many pages of a list are counted.
const maxPages = 20

// An answer is what the account said.
type answer = awswire.Answer

// A prober looks at what one kind of call would touch.
type prober func(*look) error

// probers has them all, by "signing name:operation".
var probers = collect(
	cloudFormation, s3, dynamoDB, rds, ec2, iam, kms, route53, lambda, containers, autoScaling, safeguards,
)

func collect(services ...map[string]prober) map[string]prober {
	all := map[string]prober{}
	for _, s := range services {
		for name, p := range s {
			all[name] = p
		}
	}
	return all
}

// Probe measures what the call would touch now. shown is the impact that the
// request itself shows; what the account tells replaces it. An error means that
// it could not be measured, and is fit to be shown to approvers.
func Probe(ctx context.Context, c Caller, call aws.Call,
	shown signalbox.Impact) (signalbox.Impact, signalbox.State, error) {
	op, ok := awswire.Find(call.Service, call.Operation)
	if !ok {
		return shown, nil, ErrNoProber
	}
	p := probers[op.Service.SigningName+":"+op.Name]
	if p == nil {
		return shown, nil, ErrNoProber
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l := &look{ctx: ctx, caller: c, call: call, impact: shown}
	l.impact.Facts = slices.Clone(shown.Facts)
	l.impact.Measured = true
	if err := p(l); err != nil {
		return shown, nil, err
	}
	return l.impact, l.state, nil
}

// A look is one probe under way.
type look struct {
	ctx    context.Context // of this probe alone
	caller Caller
	call   aws.Call
	impact signalbox.Impact
	state  signalbox.State
}

// ask makes a call in the region of the one that is probed.
func (l *look) ask(service, operation string, params map[string]any) (awswire.Answer, error) {
	a, err := l.caller.Call(l.ctx, service, operation, l.call.Region, params)
	if err != nil {
		return a, fmt.Errorf("%s of %s: %w", operation, service, err)
	}
	return a, nil
}

// absent reports whether err is the service's word that there is no such thing.
func absent(err error) bool {
	s := (*awswire.ServiceError)(nil)
	if !errors.As(err, &s) {
		return false
	}
	return s.Status == 404 || strings.Contains(s.Code, "NotFound") || strings.Contains(s.Code, "NoSuch") ||
		strings.Contains(s.Code, "DoesNotExist") || s.Code == "ResourceNotFoundException" ||
		s.Code == "ValidationError" && strings.Contains(s.Message, "does not exist")
}

// gone notes that what the call names is not there. What appears later under
// that name is something else than what was approved.
func (l *look) gone(what, name string) error {
	l.fact("There is no %s %q now.", what, name)
	l.bind(what, "absent")
	l.impact.Count = 0
	return nil
}

// fact adds a sentence for approvers.
func (l *look) fact(format string, args ...any) {
	l.impact.Facts = append(l.impact.Facts, fmt.Sprintf(format, args...))
}

// bind adds to the state that an approval is bound to.
func (l *look) bind(name, value string) {
	l.state = append(l.state, signalbox.Fact{Name: name, Value: value})
}

// bindSet binds a set of identities without listing it: in any order they give
// the same value.
func (l *look) bindSet(name string, ids []string) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	h := sha256.New()
	for _, id := range ids {
		fmt.Fprintf(h, "%d:%s,", len(id), id)
	}
	l.bind(name, fmt.Sprintf("%d with hash %s", len(ids), hex.EncodeToString(h.Sum(nil))[:16]))
}

// text gives a parameter of the call; empty if it is not a text.
func (l *look) text(name string) string {
	s, _ := l.call.Parameters[name].(string)
	return s
}

// texts gives a list of texts among the parameters.
func (l *look) texts(name string) []string {
	list, _ := l.call.Parameters[name].([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// number gives a number among the parameters.
func (l *look) number(name string) (int64, bool) {
	n, ok := l.call.Parameters[name].(interface{ Int64() (int64, error) })
	if !ok {
		return 0, false
	}
	v, err := n.Int64()
	return v, err == nil
}

// says reports whether a parameter is given with this truth.
func (l *look) says(name string, truth bool) bool {
	b, ok := l.call.Parameters[name].(bool)
	return ok && b == truth
}

// A list is how to read a list that comes in pages.
type list struct {
	service, operation string
	params             map[string]any
	items              []string // path to the items in an answer
	token, next        string   // member that asks for the next page, member that names it
}

// each calls f for every item of the list. It reports false when there are more
// pages than it is willing to read: what was counted is then a part.
func (l *look) each(q list, f func(awswire.Answer)) (whole bool, err error) {
	params := map[string]any{}
	for k, v := range q.params {
		params[k] = v
	}
	for range maxPages {
		a, err := l.ask(q.service, q.operation, params)
		if err != nil {
			return false, err
		}
		for _, item := range a.List(q.items...) {
			f(item)
		}
		next := a.Text(q.next)
		if q.token == "" || next == "" {
			return true, nil
		}
		params[q.token] = next
	}
	return false, nil
}

// count sets the measured count, unknown where only a part was counted.
func (l *look) count(n int64, whole bool) {
	if !whole {
		l.fact("There are more than %d; they were not all counted.", n)
		n = signalbox.CountUnknown
	}
	l.impact.Count = n
}

// some writes a list for people, without letting it grow long.
func some(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// frequencies writes how often each value came: "3 AWS::EC2::Instance, 1 AWS::S3::Bucket".
func frequencies(values []string) string {
	n := map[string]int{}
	var order []string
	for _, v := range values {
		if n[v] == 0 {
			order = append(order, v)
		}
		n[v]++
	}
	slices.SortStableFunc(order, func(a, b string) int { return n[b] - n[a] })
	for i, v := range order {
		order[i] = fmt.Sprintf("%d %s", n[v], v)
	}
	return some(order)
}

// plural writes a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "y") {
		return fmt.Sprintf("%d %sies", n, noun[:len(noun)-1])
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// onOff writes a switch for people.
func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// orNever writes a time for people, where none means that it never was.
func orNever(t string) string {
	if t == "" {
		return "never, as far as is known"
	}
	return t
}
