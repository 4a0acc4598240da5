package demo

import (
	"testing"
)

func TestOrders(t *testing.T) {
	r, err := Run(t.Context(), Config{Out: writer{t}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Steps) != 12 {
		t.Error(r)
	}
}

type writer struct{ t *testing.T }

func (w writer) Write(p []byte) (int, error) { w.t.Output().Write(p); return len(p), nil }
