package server

import (
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/aws"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
)

// Kinds are all the kinds of gate that there are. Nobody else lists them: a new
// kind is a line here.
func Kinds() []gate.Kind {
	return []gate.Kind{
		pgwire.Kind,
		aws.Kind,
	}
}
