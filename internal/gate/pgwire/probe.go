package pgwire

import (
	"context"
	"errors"

	"github.com/signalbox-dev/signalbox"
)

// Probe implements [Executor].
func (r *request) Probe(context.Context) (signalbox.Impact, signalbox.State, error) {
	return signalbox.Impact{}, nil, errors.New("not yet")
}
