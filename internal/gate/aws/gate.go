package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/sync/semaphore"

	"github.com/signalbox-dev/signalbox/internal/gate"
)

// A Gate serves clients of one account. Make it with [New], run it with
// [Gate.Serve], end it with [Gate.Shutdown].
type Gate struct {
	Config
	credentials aws.CredentialsProvider // of the upstream
	transport   *http.Transport
	lone        *http.Transport // a new connection for each request: see forward.go
	signer      *v4.Signer
	signerS3    *v4.Signer
	http        *http.Server
	sessions    *gate.Sessions
	failures    *gate.Failures
	held        *semaphore.Weighted // bytes of bodies of proved requests, held whole
	unproved    *unprovedBodies     // bodies that are read before the proof
	lookups     *semaphore.Weighted // of sessions
	roles       *roles
	known       *knownReads

	ctx    context.Context // ends when the gate does
	cancel context.CancelFunc
	wg     sync.WaitGroup // attend, listeners

	mu      sync.Mutex
	conns   map[*counted]int64 // by when they came
	came    int64              // connections
	closing bool
}

// New makes a gate. It does not reach for AWS.
func New(config Config) (*Gate, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Gate{
		Config:   config,
		failures: gate.GateFailures(),
		held:     semaphore.NewWeighted(config.MaxHeld - config.MaxHeld/4),
		unproved: newUnprovedBodies(config.MaxHeld / 4),
		lookups:  semaphore.NewWeighted(maxLookups),
		roles:    newRoles(),
		known:    &knownReads{},
		conns:    make(map[*counted]int64),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	if g.credentials, err = config.Upstream.provider(g.ctx); err != nil {
		return nil, config.Wrap(err)
	}
	roots, err := config.Upstream.roots()
	if err != nil {
		return nil, config.Wrap(fmt.Errorf("ca: %w", err))
	}
	g.transport = newTransport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	g.lone = g.transport.Clone()
	g.lone.DisableKeepAlives = true
	g.signer = v4.NewSigner()
	g.signerS3 = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if config.TLS != nil {
		g.TLS.NextProtos = []string{"h2", "http/1.1"}
	}
	g.http = &http.Server{
		Handler:           http.HandlerFunc(g.serve),
		ReadHeaderTimeout: config.HeaderTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return g.ctx },
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
		// The gate decides about OPTIONS * as about everything else.
		DisableGeneralOptionsHandler: true,
	}
	g.sessions = gate.NewSessions(&g.Config.Config)
	g.wg.Go(g.sweep)
	return g, nil
}

// sweepEvery is how often sessions are looked after: it bounds how late summaries
// of reads are begun.
const sweepEvery = 100 * time.Millisecond

// sweep looks after sessions and roles until the gate ends. What fails of one round
// is logged, and the next comes all the same.
func (g *Gate) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-g.ctx.Done():
			return
		}
		_ = g.Guard("sweep", func() error {
			g.sessions.Sweep()
			g.roles.forget(time.Now())
			return nil
		})
	}
}

// Serve accepts clients until ctx ends or the gate is shut down; it then
// returns nil. The caller's listener is closed. It may be called for several
// listeners at once.
func (g *Gate) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	err := g.http.Serve(g.greet(l))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Shutdown refuses new clients, waits for the requests under way until ctx
// ends, and then cuts them. It may be called twice.
func (g *Gate) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	err := g.http.Shutdown(ctx)
	if err != nil {
		// Requests that AWS has got whole are waited for all the same, so that
		// what came of them is recorded: see forward.go.
		g.sessions.StopAll(errShutdown)
		g.http.Close()
	}
	g.cancel()
	g.wg.Wait()
	g.sessions.Close(errShutdown)
	g.transport.CloseIdleConnections()
	g.lone.CloseIdleConnections()
	return err
}

var errShutdown = errors.New("the gate is shutting down")
