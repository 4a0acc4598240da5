package interlock

import (
	"context"

	"github.com/signalbox-dev/signalbox"
)

// Conclude records an outcome, as a late reply would.
func (i *Interlock) Conclude(ctx context.Context, intent string, out signalbox.Outcome) error {
	return i.conclude(ctx, intent, out)
}
