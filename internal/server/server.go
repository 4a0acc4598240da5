// Package server wires everything: it opens the store, the log and the
// interlock, starts the gates, and serves what people see.
//
// The one thing to know: [Start] either gives a server that works or leaves
// nothing running, and [Server.Close] stops in the order that loses nothing:
// new clients are refused, gates let go of theirs, the API ends, what was
// executed is recorded, the log is published, the database is closed.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/server/api"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/internal/server/console"
	"github.com/signalbox-dev/signalbox/internal/server/identity"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
)

// Version is that of this build. The release process sets it.
var Version = "0.1.0-dev"

// A Server is a running server.
type Server struct {
	config config.Config
	log    *slog.Logger
	ctx    context.Context // ends when Close begins; its cancel is beside it
	cancel context.CancelFunc

	store     *store.Store
	ledger    *ledger.Log
	interlock *interlock.Interlock
	guard     *identity.Guard
	decisions *decisions

	url  string
	addr string
	code string

	open struct {
		sync.Mutex
		gates []client.Gate
	}

	stopping  atomic.Bool
	defective atomic.Bool // a part of it has ended by a panic
	stops     []func()    // in the order of starting; run backwards
	once      sync.Once

	probe struct { // see writable
		sync.Mutex
		running sync.WaitGroup
		done    chan struct{} // closed when the one under way has ended; else nil
		at      time.Time     // of the last
		err     error
	}
}

// Start starts a server and returns when it serves. ctx bounds the start alone.
// A nil logger discards.
func Start(ctx context.Context, c config.Config, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if c.Kinds == nil {
		c.Kinds = Kinds()
	}
	s := &Server{config: c, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	c := s.config
	for _, g := range c.Gates {
		if _, err := c.KindOf(g); err != nil {
			return fmt.Errorf("gate %q: %w", g.Name, err)
		}
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	// First the lock: until it is held, everything in the folder is another
	// server's.
	reserve, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	mint, err := minter(c)
	if err != nil {
		return err
	}
	origin, err := origin(c)
	if err != nil {
		return err
	}
	key, err := ledger.LoadOrCreateKey(c.Log.Key, origin)
	if err != nil {
		return err
	}
	blobs, err := ledger.OpenFolder(filepath.Join(c.Data, "log"))
	if err != nil {
		return fmt.Errorf("published log: %w", err)
	}
	s.ledger, err = ledger.Open(ctx, ledger.Config{
		Store: s.store, Shelf: s.store, Blobs: blobs, Key: key,
		Reserve: reserve, Interval: c.Log.Publish, AcceptClock: c.AcceptClock, Logger: s.log,
	})
	if err != nil {
		return err
	}
	s.later(func() {
		// The last entries are published by whoever is next, if this fails.
		publish, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := s.ledger.Publish(publish); err != nil {
			s.log.Warn("last entries are not published yet", "error", err)
		}
		s.ledger.Close()
	})
	s.later(s.probe.running.Wait)

	registry, meter, decided := newMetrics()
	s.decisions = decided
	meter.Ledger = s.ledger
	s.interlock, err = interlock.New(ctx, interlock.Config{
		State: s.store, Ledger: meter, Minter: mint, ReplaceMaster: c.ReplaceMaster, Now: s.ledger.Now, Logger: s.log,
		// New at each start, so that what a predecessor left open is seen to be
		// nobody's.
		Replica:         c.Replica + "-" + strings.ToLower(ulid.Make().String()),
		Alone:           !c.Database.URL.Set(),
		AllowLiveAgents: c.Approvals.AllowLiveAgents,
		PolicyGate:      c.Production(),
		Gates:           gateSettings(c),
		LowerProtection: c.LowerProtection,
		HoldTime:        c.Approvals.HoldTime,
		PermitTime:      c.Approvals.PermitTime,
		MaxOpenHolds:    c.Limits.OpenHolds,
		Panicked:        decided.panicked,
		Start:           proof.Start{Origin: key.Origin(), Key: key.Verifier(), Version: Version},
	})
	if errors.Is(err, interlock.ErrForeignMaster) {
		return fmt.Errorf("%w: credentials of the one are worthless at the other. Give all servers of a database the same key (master_key, or master.key in %q); if the old one is lost or known to others, start once with --replace-master-key", err, c.Data)
	}
	if err != nil {
		return err
	}
	s.later(func() {
		if err := s.interlock.Close(); err != nil {
			s.log.Error("memory of sessions was not saved", "error", err)
		}
	})
	if err := s.loadPolicies(ctx); err != nil {
		return err
	}
	s.background(s.watchPolicies)
	// So that a log that has just begun can be looked at; the publisher goes on
	// by itself.
	if _, err := s.ledger.Publish(ctx); err != nil {
		s.log.Warn("log is not published yet", "error", err)
	}

	s.guard = identity.New(identity.Config{Interlock: s.interlock, Failures: c.Limits.Failures, Logger: s.log})
	people, err := s.store.People(ctx)
	if err != nil {
		return fmt.Errorf("people: %w", err)
	}
	if len(people) == 0 || s.interlock.MasterReplaced() {
		s.code = s.guard.NewCode()
	}

	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.later(func() { l.Close() })
	s.addr = l.Addr().String()
	s.url = s.address()
	// Gates are stopped before the API, so that people can look to the end.
	stopHTTP, err := s.serveHTTP(l, key, registry, blobs)
	if err != nil {
		return err
	}
	s.later(stopHTTP)
	return s.openGates()
}

// later remembers what Close has to do, before what was remembered earlier.
func (s *Server) later(stop func()) { s.stops = append(s.stops, stop) }

// background runs f until Close, which waits for it.
func (s *Server) background(f func(context.Context)) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(s.ctx)
	go func() {
		defer close(done)
		s.guarded("background", func() { f(ctx) })
	}()
	s.later(func() {
		cancel()
		<-done
	})
}

// guarded runs what has a goroutine of its own. A panic in it is logged and
// counted, and the server is not ready any more: something of it is missing.
func (s *Server) guarded(where string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			s.defective.Store(true)
			s.panicked(where, v)
		}
	}()
	f()
}

// panicked accounts for a panic. It is called in the function that recovered.
func (s *Server) panicked(where string, v any) {
	s.decisions.panicked(where)
	s.log.Error("ALARM: a defect of Signalbox's own", "where", where, "panic", fmt.Sprint(v), "stack",
		string(debug.Stack()))
}

// openStore opens the database. The reserve is nil where its disk is another
// machine's.
func (s *Server) openStore(ctx context.Context) (reserve *ledger.Reserve, err error) {
	sc := store.Config{Path: s.config.Data, Logger: s.log}
	if s.config.Database.URL.Set() {
		url, err := s.config.Database.URL.Read()
		if err != nil {
			return nil, fmt.Errorf("database: %w", err)
		}
		sc.URL, sc.Path = url, ""
	} else {
		sc.Locked = func() (err error) {
			reserve, err = ledger.OpenReserve(filepath.Join(s.config.Data, "reserve"), s.config.Database.Reserve)
			return err
		}
	}
	if s.store, err = store.Open(ctx, sc); err != nil {
		return nil, err
	}
	s.later(s.store.Close)
	return reserve, nil
}

// address is how people reach the server.
func (s *Server) address() string {
	if s.config.URL != "" {
		return strings.TrimRight(s.config.URL, "/")
	}
	scheme := "http://"
	if s.config.TLS.Set() {
		scheme = "https://"
	}
	return scheme + s.addr
}

func (s *Server) serveHTTP(l net.Listener, key *ledger.Key, registry *prometheus.Registry,
	blobs *ledger.Folder) (stop func(), err error) {
	c := s.config
	mux := http.NewServeMux()
	s.health(mux)
	mux.Handle("/log/", http.StripPrefix("/log/", ledger.Handler(blobs)))
	if !c.Metrics.Off {
		s.gauges(registry)
		stopMetrics, err := s.serveMetrics(mux, registry)
		if err != nil {
			return nil, err
		}
		s.later(stopMetrics)
	}
	api.Register(mux, api.Config{
		Interlock: s.interlock, State: s.store, Ledger: s.ledger, Guard: s.guard,
		Server: client.Server{
			Version: Version, URL: s.url, Log: key.Origin(), Verifier: key.Verifier(),
			User: os.Getuid(), Production: c.Production(), Secrets: c.Variables(),
		},
		Gates: s.Gates, Explain: s.explain, Life: s.ctx, MaxBody: c.Limits.Body, Logger: s.log,
	})
	console.Register(mux, console.Config{
		Interlock: s.interlock, State: s.store, Ledger: s.ledger, Guard: s.guard, Gates: s.Gates,
		Secure: c.TLS.Set() || strings.HasPrefix(s.url, "https://"), Version: Version, Logger: s.log,
	})
	hs := &http.Server{
		Handler:           s.caught(guarded(mux, allowedHosts(c), c.Limits.Body, s.log)),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerSize,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if c.TLS.Set() {
		pair, err := loadCertificate(c.TLS)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		l = tls.NewListener(l, &tls.Config{
			Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		})
	}
	return s.run(hs, l), nil
}

// serveMetrics serves /metrics beside the API, or at an address of its own.
func (s *Server) serveMetrics(mux *http.ServeMux, r *prometheus.Registry) (stop func(), err error) {
	if s.config.Metrics.Listen == "" {
		mux.Handle("GET /metrics", metricsHandler(r))
		return func() {}, nil
	}
	own := http.NewServeMux()
	own.Handle("GET /metrics", metricsHandler(r))
	l, err := net.Listen("tcp", s.config.Metrics.Listen)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return s.run(&http.Server{Handler: own, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: readTime,
		WriteTimeout: writeTime}, l), nil
}

// run serves until the function that it gives is called.
func (s *Server) run(hs *http.Server, l net.Listener) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.guarded("HTTP", func() {
			if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("HTTP server ended", "address", l.Addr().String(), "error", err)
			}
		})
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := hs.Shutdown(ctx); err != nil {
			hs.Close() // somebody would not let go
		}
		<-done
	}
}

const (
	probeLife = 5 * time.Second // how long an answer of writable is kept
	probeTime = 5 * time.Second // how long a probe may take
)

// writable reports why the log cannot be written, or nil. It is asked by
// everybody, so the answer is kept for a while. Callers share one probe, which
// is none of theirs: one who goes away ends his own wait, and nothing else.
func (s *Server) writable(ctx context.Context) error {
	s.probe.Lock()
	if s.probe.done == nil && time.Since(s.probe.at) > probeLife {
		s.probe.done = make(chan struct{})
		s.probe.running.Go(s.probeLog)
	}
	done, err := s.probe.done, s.probe.err
	s.probe.Unlock()
	if done == nil {
		return err
	}
	select {
	case <-done:
		s.probe.Lock()
		defer s.probe.Unlock()
		return s.probe.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// probeLog tries to write the log. Close waits for it.
func (s *Server) probeLog() {
	ctx, cancel := context.WithTimeout(s.ctx, probeTime)
	defer cancel()
	err := errDefect
	s.guarded("probe", func() { _, err = s.ledger.Commit(ctx, ledger.Batch{}) })
	s.probe.Lock()
	defer s.probe.Unlock()
	s.probe.err, s.probe.at = err, time.Now()
	close(s.probe.done)
	s.probe.done = nil
}

// Addr is the address that the API listens at.
func (s *Server) Addr() string { return s.addr }

// URL is how people reach the server.
func (s *Server) URL() string { return s.url }

// Code is the one-time code for the first administrator; empty when somebody
// is enrolled whose credential is worth something.
func (s *Server) Code() string { return s.code }

// Verifier is the log's public key.
func (s *Server) Verifier() string { return s.ledger.Verifier() }

// Close stops the server and returns when all is stopped. It may be called
// twice.
func (s *Server) Close() {
	s.once.Do(func() {
		s.stopping.Store(true) // load balancers see it at /readyz
		s.cancel()             // long polls answer with what they have
		for i := len(s.stops) - 1; i >= 0; i-- {
			s.stops[i]()
		}
	})
}
