//go:build unix

package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/test/scratch"
)

// User is the superuser of every scratch server.
const User = "app"

// Config says what kind of server to start. The zero value is right for most
// tests.
type Config struct {
	// Version is the major version, one of [Versions]. Default: the system's server.
	Version string

	// Durable leaves fsync on, as in production. Without it the server survives
	// Kill, but not a power cut. Default: off.
	Durable bool

	// TLS makes the server offer TLS with a certificate of its own, which URL and
	// Command then insist on verifying. Default: off.
	TLS bool

	// Settings are further server settings, such as max_connections. They win
	// over ours. Default: none.
	Settings map[string]string
}

// Server is one running (or stopped) PostgreSQL server. Its methods may be called
// from several goroutines, except that Stop, Kill, Restart and Close must not
// overlap.
type Server struct {
	// Port is the TCP port on 127.0.0.1. It stays the same over Restart.
	Port int
	// Password is the password of [User], new for each server.
	Password string
	// CertFile is the PEM file of the server's certificate; empty without TLS.
	CertFile string

	config Config
	bin    string
	folder *folder
	log    *logFile

	// Owned by the caller of start, Stop, Kill, Restart and Close.
	process *os.Process
	done    <-chan struct{} // closed when process and its children have ended
}

// Start makes a new server and returns when it accepts connections. The caller
// closes it. Without PostgreSQL installed the error is [ErrNotInstalled].
func Start(ctx context.Context, config Config) (*Server, error) {
	bin, err := binDir(config.Version)
	if err != nil {
		return nil, err
	}
	f, err := newFolder()
	if err != nil {
		return nil, err
	}
	s := &Server{Password: rand.Text(), config: config, bin: bin, folder: f}
	if err := s.create(ctx); err != nil {
		s.Close()
		return nil, err
	}
	// Between choosing a port and binding it somebody else may take it.
	for range 5 {
		if s.Port, err = scratch.FreePort(); err != nil {
			break
		}
		if err = s.start(ctx); err == nil || !strings.Contains(err.Error(), "could not bind") {
			break
		}
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// create runs initdb and writes what the server needs beside its data.
func (s *Server) create(ctx context.Context) error {
	log, err := os.OpenFile(s.path("postgres.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of PostgreSQL: %w", err)
	}
	s.log = &logFile{file: log}

	secret := s.path("run/password")
	if err := os.WriteFile(secret, []byte(s.Password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the password for initdb: %w", err)
	}
	if err := s.folder.give(secret); err != nil {
		return fmt.Errorf("hand the password to initdb: %w", err)
	}
	defer os.Remove(secret)

	initdb := s.command(ctx, "initdb", "--pgdata", s.path("data"), "--username", User, "--pwfile", secret,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.config.TLS {
		cert, key := s.path("server.crt"), s.path("data/server.key")
		if err := writeCertificate(cert, key); err != nil {
			return fmt.Errorf("certificate for PostgreSQL: %w", err)
		}
		if err := s.folder.give(key); err != nil {
			return fmt.Errorf("certificate for PostgreSQL: %w", err)
		}
		s.CertFile = cert
	}
	return nil
}

// start runs postgres on the existing data and waits until it is ready.
func (s *Server) start(ctx context.Context) error {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.Port),
		"unix_socket_directories": s.path("run"),
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"lc_messages":             "C",
		"log_min_messages":        "warning", // the line that says "ready" is above every level
	}
	if !s.config.Durable {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	if s.config.TLS {
		settings["ssl"] = "on"
		settings["ssl_cert_file"] = s.CertFile
		settings["ssl_key_file"] = s.path("data/server.key")
	}
	for name, value := range s.config.Settings {
		settings[name] = value
	}
	args := []string{"-D", s.path("data")}
	for name, value := range settings {
		args = append(args, "--"+name+"="+value)
	}

	cmd := s.command(context.WithoutCancel(ctx), "postgres", args...)
	ready := s.log.expect("database system is ready to accept connections")
	cmd.Stdout, cmd.Stderr = s.log, s.log
	done, err := scratch.Spawn(cmd, syscall.SIGQUIT) // PostgreSQL's immediate shutdown
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.process, s.done = cmd.Process, done
	select {
	case <-ready:
		return nil
	case <-done:
		s.process = nil
		return fmt.Errorf("postgres ended before it was ready:\n%s", s.Log())
	case <-ctx.Done():
		s.Kill()
		return fmt.Errorf("wait for postgres to be ready: %w\n%s", ctx.Err(), s.Log())
	}
}

// Stop shuts the server down in order: sessions are cut, data is written. It may
// be called twice.
func (s *Server) Stop() error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop postgres: %w", err)
	}
	select {
	case <-s.done:
		s.process = nil
		return nil
	case <-time.After(30 * time.Second):
		s.Kill()
		return errors.New("stop postgres: still there after 30 s, killed")
	}
}

// Kill ends the server and all its backends at once, as a power cut would if the
// kernel's caches survived it. Restart then runs crash recovery. It may be called
// twice.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	// Backends make themselves leaders of their own process groups, so a signal
	// to the group misses them. The postmaster is stopped first so that it starts
	// no more of them while we look.
	_ = s.process.Signal(syscall.SIGSTOP)
	for _, pid := range children(s.process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = s.process.Kill()
	<-s.done
	s.process = nil
}

// Restart stops the server if it runs, and starts it on the same data and port.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Close ends the server and removes its folder. It may be called twice.
func (s *Server) Close() {
	s.Kill()
	if s.log != nil {
		_ = s.log.file.Close()
	}
	s.folder.remove()
}

// URL returns the connection URL of a database, password included, in the form
// that libpq and pgx read.
func (s *Server) URL(database string) string {
	query := url.Values{"sslmode": {"disable"}}
	if s.config.TLS {
		query = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.CertFile}}
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(User, s.Password),
		Host:     s.Addr(),
		Path:     "/" + database,
		RawQuery: query.Encode(),
	}
	return u.String()
}

// Addr returns the server's TCP address, host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Env returns the environment that makes libpq programs connect to a database of
// this server, to be appended to os.Environ.
func (s *Server) Env(database string) []string {
	env := []string{
		"PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(s.Port), "PGUSER=" + User, "PGPASSWORD=" + s.Password,
		"PGDATABASE=" + database, "PGSSLMODE=disable", "PGPASSFILE=/dev/null", "PGSERVICEFILE=/dev/null",
	}
	if s.config.TLS {
		env = append(env, "PGSSLMODE=verify-full", "PGSSLROOTCERT="+s.CertFile)
	}
	return env
}

// Command returns a program of the server's own version (psql, pgbench, pg_dump),
// run as we are and connected to database.
func (s *Server) Command(ctx context.Context, database, program string, args ...string) *exec.Cmd {
	name := filepath.Join(s.bin, program)
	if _, err := os.Stat(name); err != nil && s.config.Version != "" {
		// Servers of further versions come without clients: the system's will do.
		if bin, err := BinDir(); err == nil {
			name = filepath.Join(bin, program)
		}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), s.Env(database)...)
	return cmd
}

// CreateDB creates an empty database.
func (s *Server) CreateDB(ctx context.Context, name string) error {
	return s.exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()+" template template0")
}

// DropDB drops a database, cutting whoever is connected to it.
func (s *Server) DropDB(ctx context.Context, name string) error {
	return s.exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
}

func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := pgconn.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// Log returns what the server has written to its log.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.path("postgres.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) path(name string) string { return filepath.Join(s.folder.path, name) }

// command runs one of the server's programs as the server's user, in its folder,
// out of reach of a terminal's Ctrl-C.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir = s.path("run")
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.path("run"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.folder.cred}
	return cmd
}

// children lists the processes whose parent is pid.
func children(pid int) []int {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil // the backends end by themselves when the postmaster is gone, only later
	}
	var found []int
	for line := range strings.Lines(string(out)) {
		var child, parent int
		if n, _ := fmt.Sscan(line, &child, &parent); n == 2 && parent == pid {
			found = append(found, child)
		}
	}
	return found
}

// logFile copies the server's log to a file and tells when a text has passed.
type logFile struct {
	file *os.File

	mu    sync.Mutex
	text  []byte        // what is waited for; nil: nothing
	tail  []byte        // the end of the last write, for a text cut in two
	ready chan struct{} // closed when text has passed
}

func (l *logFile) expect(text string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text, l.tail, l.ready = []byte(text), nil, make(chan struct{})
	return l.ready
}

// Write implements io.Writer.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text != nil {
		l.tail = append(l.tail, p...)
		if bytes.Contains(l.tail, l.text) {
			close(l.ready)
			l.text = nil
		} else if extra := len(l.tail) - len(l.text); extra > 0 {
			l.tail = l.tail[extra:]
		}
	}
	return l.file.Write(p)
}
