package server

import (
	"cmp"

	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/proof"
)

// gateSettings says of each gate what protects the target behind it. It holds no
// credentials and no addresses of clients.
func gateSettings(c config.Config) []proof.GateSetting {
	var out []proof.GateSetting
	for _, g := range c.Gates {
		out = append(out, proof.GateSetting{
			Name: g.Name, Protocol: g.Kind, Environment: g.Environment, Target: g.Settings.Target(),
			Reads:          cmp.Or(g.Reads, config.ReadsSummary),
			CeilingRequest: g.Ceiling.Request, CeilingTotal: g.Ceiling.Total,
		})
	}
	return out
}
