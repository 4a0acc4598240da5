//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// startPgBouncer puts a PgBouncer in front of the server: session pooling, which
// prepared statements need with version 1.18, and SCRAM on both sides.
func startPgBouncer(ctx context.Context, server *pgtest.Server) (route, error) {
	program, err := lookPath("pgbouncer")
	if err != nil {
		return route{}, err
	}
	home, err := os.MkdirTemp("", "signalbox-pgbouncer-")
	if err != nil {
		return route{}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return route{}, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return route{}, err
	}
	config := fmt.Sprintf(`[databases]
bench = host=127.0.0.1 port=%d dbname=bench
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = session
max_client_conn = 200
default_pool_size = 100
log_connections = 0
log_disconnections = 0
logfile = %s
`, server.Port, port, filepath.Join(home, "users"), filepath.Join(home, "log"))
	files := map[string]string{"config": config, "users": fmt.Sprintf("%q %q\n", pgtest.User, server.Password)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			return route{}, err
		}
	}
	cmd := exec.Command(program, "-q", filepath.Join(home, "config"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		// PgBouncer, too, refuses to run as root.
		if err := giveTo("postgres", home, cmd.SysProcAttr); err != nil {
			return route{}, err
		}
	}
	if err := cmd.Start(); err != nil {
		return route{}, fmt.Errorf("start pgbouncer: %w", err)
	}
	stop := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(home)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := reachable(ctx, address); err != nil {
		log, _ := os.ReadFile(filepath.Join(home, "log"))
		stop()
		return route{}, fmt.Errorf("pgbouncer: %w\n%s", err, log)
	}
	return route{name: "PgBouncer", pid: cmd.Process.Pid, close: stop,
		env: append(server.Env("bench"), "PGPORT="+strconv.Itoa(port))}, nil
}

func giveTo(name, home string, attr *syscall.SysProcAttr) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	entries, err := os.ReadDir(home)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Chown(filepath.Join(home, e.Name()), uid, gid); err != nil {
			return err
		}
	}
	return os.Chown(home, uid, gid)
}

// reachable waits until the address accepts connections, ten seconds at most.
func reachable(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
