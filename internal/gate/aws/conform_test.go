package aws

import (
	"context"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// Every actor, by both versions of HTTP, keeps what all gates promise.
func TestConforms(t *testing.T) {
	for _, actor := range []string{"human-alice", "agent-kiro"} {
		for _, way := range []string{"HTTP/1.1", "HTTP/2 over TLS"} {
			t.Run(way+" by "+actor, func(t *testing.T) {
				gatetest.Exercise(t, func(t *testing.T) gatetest.Subject {
					b := newTestGate(t, nil)
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
						Script: b.Script,
						Held: func(err error) bool {
							return status(err) == 403 && strings.Contains(err.Error(), "hold wait 01HOLD")
						},
						Denied: func(err error) bool {
							return status(err) == 403 &&
								strings.Contains(err.Error(), "denied: no")
						},
					}
				})
			})
		}
	}
}
