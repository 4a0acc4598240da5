package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// Time-outs of HTTP. A long poll lasts at most 30 seconds.
const (
	readTime   = 30 * time.Second
	writeTime  = 90 * time.Second
	idleTime   = 2 * time.Minute
	headerSize = 32 << 10
)

// hosts are the names under which the server may be addressed. A page of
// somebody else's, loaded in a browser on this machine, may point a name of its
// own at 127.0.0.1 and would then be taken for ours (DNS rebinding); its Host
// header gives it away.
type hosts map[string]bool

// allowedHosts gives nil, which allows all, for a server that other machines
// reach under names that we do not know.
func allowedHosts(c config.Config) hosts {
	if !config.Loopback(c.Listen) && c.URL == "" {
		return nil
	}
	h := hosts{"localhost": true, "127.0.0.1": true, "::1": true}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil {
		h[strings.ToLower(host)] = true
	}
	if u, err := url.Parse(c.URL); err == nil && u.Host != "" {
		h[strings.ToLower(u.Hostname())] = true
	}
	return h
}

func (h hosts) allow(header string) bool {
	if h == nil {
		return true
	}
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	}
	return h[strings.ToLower(strings.Trim(host, "[]"))]
}

// guarded puts around the mux what holds for every answer.
func guarded(next http.Handler, allowed hosts, maxBody int64, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowed.allow(r.Host) {
			log.Warn("request for a host that is not ours", "host", r.Host, "from", r.RemoteAddr)
			http.Error(w, "this server is not known under that name: set url in its configuration",
				http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// caught has a panic end its own request, as net/http does, and accounts for it.
func (s *Server) caught(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler {
				s.panicked("request", v)
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}

// health answers for load balancers and supervisors.
func (s *Server) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answerText(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.ready(r.Context()); err != nil {
			s.log.Warn("not ready", "error", err)
			answerText(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		answerText(w, http.StatusOK, "ready")
	})
}

// Errors of readiness, which are shown to everybody and so say little.
var (
	errStopping = errors.New("stopping")
	errLog      = errors.New("the log cannot be written")
	errControl  = errors.New("the database cannot be read")
	errPolicy   = errors.New("no policy is loaded")
	errDefect   = errors.New("a part of the server has ended")
)

// ready reports why requests would be refused now, or nil.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if s.stopping.Load() {
		return errStopping
	}
	if s.defective.Load() {
		return errDefect
	}
	if s.ledger.Err() != nil {
		return errLog
	}
	c, err := s.interlock.Control(ctx)
	if err != nil {
		return errControl
	}
	if c.Policy.IsZero() {
		return errPolicy
	}
	// An empty batch goes all the way to the disk, and adds nothing to the log.
	if err := s.writable(ctx); err != nil {
		return errLog
	}
	return nil
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here means that the caller has gone.
	_, _ = w.Write([]byte(text + "\n"))
}
