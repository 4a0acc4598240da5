package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// references gives, by disclosure, what the entries of kind k say of AWS's own
// ids.
func (h *house) references(k proof.Kind) []signalbox.Reference {
	h.t.Helper()
	size, _, err := h.House.Log.Head(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	var all []signalbox.Reference
	err = h.House.Log.Entries(context.Background(), 0, size, func(row ledger.Row) error {
		e, err := proof.Decode(row.Leaf)
		if err != nil || e.Body.Kind() != k {
			return err
		}
		key, payload, err := h.Store.Secret(context.Background(), row.Index)
		if err != nil {
			return err
		}
		ds, err := proof.Disclose(key, payload, "reference")
		if err != nil {
			return err
		}
		_, raw, err := proof.CheckDisclosure(row.Leaf, ds[0])
		if err != nil {
			return err
		}
		var r signalbox.Reference
		err = json.Unmarshal(raw, &r)
		all = append(all, r)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// AWS's own log and ours can be laid side by side: the ids of the call, and of
// the gate's own looks before it, stand in the log.
func TestRequestIDsAreRecorded(t *testing.T) {
	h := newHouse(t, nil)
	var probed, called atomic.Pointer[string]
	var n atomic.Int64
	h.up.answer(func(w http.ResponseWriter, r *http.Request, _ []byte) {
		id := fmt.Sprintf("AWS-%d", n.Add(1))
		w.Header().Set("X-Amzn-Requestid", id)
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteTable") {
			called.Store(&id)
		} else {
			probed.Store(&id)
		}
		io.WriteString(w, "{}")
	})
	agent, _ := h.open("kiro", "alice")
	drop := func() error {
		_, err := agent.call(t.Context(), "DeleteTable", `{"TableName":"orders"}`)
		return err
	}
	h.Approve(heldIn(t, drop()), "bob", "carol")
	if err := drop(); err != nil {
		t.Fatal(err)
	}
	gatetest.Eventually(t, func() bool { return len(h.House.Entries(proof.KindOutcome)) == 1 })
	before := signalbox.Fact{Name: signalbox.RefProbe, Value: *probed.Load()}
	in, out := h.references(proof.KindIntent), h.references(proof.KindOutcome)
	if len(in) != 1 || len(in[0]) == 0 || in[0][len(in[0])-1] != before {
		t.Errorf("the intent refers to %v, want its last to be %v", in, before)
	}
	want := append(in[0][:len(in[0]):len(in[0])], signalbox.Fact{Name: signalbox.RefRequest, Value: *called.Load()})
	if diff := cmp.Diff([]signalbox.Reference{want}, out); diff != "" {
		t.Errorf("the outcome's reference (-want +got):\n%s", diff)
	}
	if e := h.House.Entries(proof.KindIntent)[0].(*proof.Intent); !e.Gap {
		t.Error("the intent says that nothing could come between the look at the table and its end")
	}
}

func TestReferencesAreBounded(t *testing.T) {
	var r references
	r.request(http.Header{"X-Amz-Request-Id": {"S3ID"}, "X-Amz-Id-2": {strings.Repeat("é", 1000)}})
	r.request(http.Header{}) // says nothing
	for n := range 2 * maxReferences {
		r.probe(http.Header{"X-Amzn-Requestid": {fmt.Sprint(n)}})
	}
	all := r.all()
	if len(all) != maxReferences+1 {
		t.Errorf("%d facts", len(all))
	}
	if want := (signalbox.Fact{Name: signalbox.RefRequest, Value: "S3ID"}); all[0] != want {
		t.Errorf("got %v, want %v", all[0], want)
	}
	if id := all[1]; id.Name != signalbox.RefRequest2 || len(id.Value) > maxReference+len("…") {
		t.Errorf("%s has %d bytes", id.Name, len(id.Value))
	}
	if last := all[len(all)-1]; last.Value != fmt.Sprintf("and %d more", maxReferences+2) {
		t.Errorf("the last is %v", last)
	}
}

// Only what is bound to what was looked at leaves no gap.
func TestAtomicCalls(t *testing.T) {
	for _, c := range []struct {
		service, operation, name string
		want                     bool
	}{
		{"cloudformation", "ExecuteChangeSet", "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/c/1", true},
		{"cloudformation", "ExecuteChangeSet", "c", false},
		{"cloudformation", "DeleteStack", "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/c/1", false},
	} {
		op, ok := awswire.Find(c.service, c.operation)
		if !ok {
			t.Fatalf("no operation %s of %s", c.operation, c.service)
		}
		e := &execution{x: &exchange{op: op}, c: &call{params: map[string]any{"ChangeSetName": c.name}}}
		if got := e.atomic(); got != c.want {
			t.Errorf("%s of %q: atomic %v, want %v", c.operation, c.name, got, c.want)
		}
	}
	if (&execution{x: &exchange{}, c: &call{}}).atomic() {
		t.Error("an operation that nobody knows is atomic")
	}
}
