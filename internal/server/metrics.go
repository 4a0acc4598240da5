package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/ledger"
)

// metered is the way to the ledger on which commits are counted: everything
// that happens goes through it, so the metrics need no other hook.
type metered struct {
	interlock.Ledger
	entries *prometheus.CounterVec
	commits *prometheus.CounterVec
	seconds prometheus.Histogram
}

// Commit implements [interlock.Ledger].
func (m *metered) Commit(ctx context.Context, b ledger.Batch) (ledger.Receipt, error) {
	began := time.Now()
	r, err := m.Ledger.Commit(ctx, b)
	m.seconds.Observe(time.Since(began).Seconds())
	switch {
	case err == nil:
		m.commits.WithLabelValues("done").Inc()
		for _, rec := range b.Records {
			m.entries.WithLabelValues(kindOf(rec.Leaf)).Inc()
		}
	case errors.Is(err, ledger.ErrStale):
		m.commits.WithLabelValues("stale").Inc()
	default:
		m.commits.WithLabelValues("failed").Inc()
	}
	return r, err
}

// kindOf reads the type out of a leaf that we have sealed ourselves.
func kindOf(leaf []byte) string {
	_, rest, _ := bytes.Cut(leaf, []byte(`"type":"`))
	kind, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return "unknown"
	}
	return string(kind)
}

// decisions are what gates were told.
type decisions struct {
	total   *prometheus.CounterVec
	seconds prometheus.Histogram
	panics  *prometheus.CounterVec
}

// panicked counts a defect of our own.
func (d *decisions) panicked(where string) { d.panics.WithLabelValues(where).Inc() }

// Took implements [gate.Metrics].
func (d *decisions) Took(_ string, t time.Duration) { d.seconds.Observe(t.Seconds()) }

// Decided implements [gate.Metrics].
func (d *decisions) Decided(gate string, err error) {
	verdict := "allow"
	var held *interlock.HeldError
	var denied *interlock.DeniedError
	var unknown *interlock.UnknownError
	switch {
	case err == nil || errors.As(err, &unknown):
	case errors.As(err, &held):
		verdict = "hold"
	case errors.As(err, &denied):
		verdict = "deny"
	default:
		verdict = "unavailable"
	}
	d.total.WithLabelValues(gate, verdict).Inc()
}

// newMetrics registers what is measured and gives the ledger's meter. The names
// are documented in docs/configuration.md.
func newMetrics() (*prometheus.Registry, *metered, *decisions) {
	r := prometheus.NewRegistry()
	m := &metered{
		entries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_entries_total", Help: "Log entries committed by this server, by type: intents, holds, refusals, outcomes and so on.",
		}, []string{"type"}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_commits_total", Help: "Batches given to the log, by what became of them: done, stale (state changed in between, decided again) or failed.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "signalbox_commit_seconds", Help: "How long batches took until they were durable and signed.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}),
	}
	d := &decisions{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_decisions_total",
			Help: "Requests decided, by gate and verdict: allow, hold, deny, or unavailable (refused because it could not be recorded).",
		}, []string{"gate", "verdict"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "signalbox_decision_seconds",
			Help:    "How long requests took to be decided, probing the target and recording holds and refusals included.",
			Buckets: []float64{.00001, .000025, .0001, .00025, .001, .0025, .01, .025, .1, 1},
		}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_panics_total", Help: "Defects of Signalbox's own that ended one connection, request or round of a loop, by where they were caught. Any is worth a report.",
		}, []string{"where"}),
	}
	r.MustRegister(d.total, d.seconds, d.panics, m.entries, m.commits, m.seconds, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r, m, d
}

// gauges registers what is read when somebody looks.
func (s *Server) gauges(r *prometheus.Registry) {
	gauge := func(name, help string, read func(context.Context) (int64, error)) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
			defer cancel()
			n, err := read(ctx)
			if err != nil {
				return -1
			}
			return float64(n)
		}))
	}
	gauge("signalbox_log_entries", "Entries in the log, -1 if it cannot be read.", func(ctx context.Context) (int64, error) {
		size, _, err := s.ledger.Head(ctx)
		return size, err
	})
	gauge("signalbox_log_unpublished", "Entries committed and not yet under a published checkpoint, -1 if it cannot be told.", func(ctx context.Context) (int64, error) {
		size, _, err := s.ledger.Head(ctx)
		published, _ := s.ledger.Published()
		return size - published, err
	})
	gauge("signalbox_holds_open", "Holds that wait for answers, at most 1000, -1 if it cannot be told.", func(ctx context.Context) (int64, error) {
		hs, err := s.store.Holds(ctx, "open", 1000)
		return int64(len(hs)), err
	})
	gauge("signalbox_sessions_live", "Sessions that may be used, -1 if it cannot be told.", func(ctx context.Context) (int64, error) {
		rows, err := s.store.Sessions(ctx, true, s.ledger.Now())
		return int64(len(rows)), err
	})
	gauge("signalbox_halts", "Halts in force, -1 if it cannot be told.", func(ctx context.Context) (int64, error) {
		c, err := s.interlock.Control(ctx)
		return int64(len(c.Halts)), err
	})
	gauge("signalbox_ready", "1 if requests are let through, 0 if all are refused.", func(ctx context.Context) (int64, error) {
		if s.ready(ctx) != nil {
			return 0, nil
		}
		return 1, nil
	})
}

func metricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}
