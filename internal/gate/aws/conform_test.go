package aws

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Every actor, by both versions of HTTP, keeps what all gates promise.
func TestConforms(t *testing.T) {
	for _, actor := range []string{"human-alice", "agent-kiro"} {
		for _, way := range []string{"HTTP/1.1", "HTTP/2 over TLS"} {
			t.Run(way+" by "+actor, func(t *testing.T) {
				gatetest.Exercise(t, func(t *testing.T) gatetest.Subject {
					b := newBench(t, nil)
					c := b.client(actor)
					if way != "HTTP/1.1" {
						c.secure()
					}
					return gatetest.Subject{
						Read:   c.list,
						Change: c.put,
						Effects: func(context.Context) (int, error) {
							n := 0
							for _, a := range b.up.arrivals() {
								if strings.HasSuffix(a.header.Get("X-Amz-Target"), "PutItem") {
									n++
								}
							}
							return n, nil
						},
						Journal: func() []gatetest.Entry {
							var list []gatetest.Entry
							for _, e := range b.entries("refused") {
								word, _, _ := strings.Cut(e, " ")
								list = append(list, gatetest.Entry(word))
							}
							return list
						},
						Decide: func(d signalbox.Decision) {
							b.mu.Lock()
							defer b.mu.Unlock()
							b.decide, b.failing = nil, nil
							switch d {
							case signalbox.Hold:
								b.decide = holding("dynamodb:PutItem")
							case signalbox.Deny:
								b.decide = func(r interlock.Request) error {
									return &interlock.DeniedError{Verdict: signalbox.Verdict{Reason: "no"}}
								}
							case "":
								b.failing = fmt.Errorf("%w: disk full", interlock.ErrUnavailable)
							}
						},
						Held: func(err error) bool {
							return status(err) == 403 && strings.Contains(err.Error(), "hold wait 01HOLD")
						},
						Denied: func(err error) bool { return status(err) == 403 && strings.Contains(err.Error(), "denied: no") },
						Halt:   b.halt,
					}
				})
			})
		}
	}
}
