package oracle

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
)

// An Arrival is one request that reached the account behind a gate of AWS's.
type Arrival struct {
	Method string
	Target string // path and query, as on the wire
	Header http.Header
	Body   []byte
}

// CheckUpstream fails the test for each changing request that arrived without an
// intent of its own, which names its operation and its resource. One intent stands
// for one arrival. Reads are exempt, those of the gate itself too; it gives how
// many there were. It looks at what is on the wire, and not through the classifier.
func CheckUpstream(t testing.TB, log Log, arrivals []Arrival) (reads int) {
	t.Helper()
	all, err := log.intents(context.Background())
	if err != nil {
		t.Errorf("oracle: %v", err)
		return 0
	}
	var changing []Arrival
	for _, a := range arrivals {
		if a.reads() {
			reads++
		} else {
			changing = append(changing, a)
		}
	}
	// The largest matching: which of two alike calls an intent is for does not matter.
	owner := make(map[*intent]int)
	var find func(arrival int, tried map[*intent]bool) bool
	find = func(arrival int, tried map[*intent]bool) bool {
		for _, in := range all {
			if tried[in] || !changing[arrival].namedBy(in) {
				continue
			}
			tried[in] = true
			if other, taken := owner[in]; !taken || find(other, tried) {
				owner[in] = arrival
				return true
			}
		}
		return false
	}
	for i, a := range changing {
		if !find(i, map[*intent]bool{}) {
			t.Errorf("oracle: %s arrived, and no intent of its own names it\n%s", a, seen(all))
		}
	}
	return reads
}

func (a Arrival) String() string {
	return fmt.Sprintf("%s %s (%s:%s) %s", a.Method, a.Target, a.service(), a.operation(), short(string(a.Body)))
}

var scope = regexp.MustCompile(`(?:Credential=|X-Amz-Credential=)[^/%]+(?:/|%2F)[0-9]+(?:/|%2F)[^/%]+(?:/|%2F)([^/%]+)`)

// service is what the request was signed for.
func (a Arrival) service() string {
	for _, text := range []string{a.Header.Get("Authorization"), a.Target} {
		if m := scope.FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return ""
}

// operation is empty in protocols where method and path tell it.
func (a Arrival) operation() string {
	if target := a.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	if strings.HasPrefix(a.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if form, err := url.ParseQuery(string(a.Body)); err == nil && form.Get("Action") != "" {
			return form.Get("Action")
		}
	}
	if u, err := url.ParseRequestURI(a.Target); err == nil {
		if _, path, ok := strings.Cut(u.Path, "/operation/"); ok { // Smithy's RPC over CBOR
			return path
		}
		return u.Query().Get("Action")
	}
	return ""
}

// observing begins the names of operations that change nothing. AssumeRole gives
// a credential: the gate does it again by itself.
var observing = []string{"Get", "List", "Describe", "Query", "Scan", "BatchGet", "Head", "Lookup", "Search",
	"Validate", "Simulate", "AssumeRole", "TransactGet"}

func (a Arrival) reads() bool {
	if a.Header.Get("X-Amz-Invocation-Type") == "DryRun" {
		return true // as a header Lambda heeds it, whatever a query says
	}
	op := a.operation()
	for _, prefix := range observing {
		if strings.HasPrefix(op, prefix) {
			return true
		}
	}
	return op == "" && (a.Method == http.MethodGet || a.Method == http.MethodHead || a.Method == http.MethodOptions)
}

func (a Arrival) namedBy(in *intent) bool {
	for _, action := range in.actions {
		_, operation, _ := strings.Cut(action.Native, ":")
		if op := a.operation(); op != "" && op != operation || op == "" && action.Verb == signalbox.Read {
			continue
		}
		if a.mentions(action) {
			return true
		}
	}
	return false
}

// mentions reports whether the request tells one of the action's resources.
func (a Arrival) mentions(action proof.Action) bool {
	said := a.Header.Get("Host") + " " + a.Target + " " + string(a.Body)
	if s, err := url.PathUnescape(a.Target); err == nil {
		said += " " + s
	}
	if s, err := url.QueryUnescape(string(a.Body)); err == nil {
		said += " " + s
	}
	for _, r := range action.Resources {
		name := r.Name
		if name == "*" || name == "" || strings.Contains(said, name) {
			return true
		}
		// "bucket/key" is told as a host and a path, an ARN by its last part.
		if at := strings.LastIndexAny(name, "/:"); at >= 0 && at+1 < len(name) && strings.Contains(said, name[at+1:]) {
			return true
		}
	}
	return len(action.Resources) == 0
}
