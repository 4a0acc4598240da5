//go:build unix

package awstest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/signalbox-dev/signalbox/test/scratch"
)

// Region is where every server is.
const Region = "us-east-1"

// A Kind is what a server speaks.
type Kind string

// The kinds of servers.
const (
	S3       Kind = "s3"       // versitygw on a folder, with versioning
	IAM      Kind = "iam"      // versitygw's IAM and STS
	DynamoDB Kind = "dynamodb" // dynalite, in memory
	Queues   Kind = "queues"   // fauxqs: SQS (JSON protocol) and SNS, in memory
)

// A Server is one running server.
type Server struct {
	// URL is its address, http://127.0.0.1:port.
	URL string
	// AccessKeyID and SecretAccessKey are the root credential.
	AccessKeyID     string
	SecretAccessKey string
	// Folder holds the server's data; of S3, a folder for each bucket in "data".
	Folder string

	log     *os.File
	process *os.Process
	done    <-chan struct{} // closed when the process has ended
}

// Start starts a server and returns when it answers. The caller closes it.
func Start(ctx context.Context, kind Kind) (*Server, error) {
	return StartFor(ctx, kind, "AKIA"+rand.Text()[:16], rand.Text()+rand.Text()[:14])
}

// StartFor is Start with a root credential that the caller chooses, so that
// several servers can pass for one account.
func StartFor(ctx context.Context, kind Kind, id, secret string) (*Server, error) {
	var err error
	for range 5 { // somebody else may take the port first
		var s *Server
		if s, err = start(ctx, kind, id, secret); err == nil || errors.Is(err, ErrNotInstalled) || ctx.Err() != nil {
			return s, err
		}
	}
	return nil, err
}

func start(ctx context.Context, kind Kind, id, secret string) (*Server, error) {
	port, err := scratch.FreePort()
	if err != nil {
		return nil, err
	}
	s := &Server{AccessKeyID: id, SecretAccessKey: secret}
	if s.Folder, err = os.MkdirTemp("", "signalbox-aws-"); err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", kind, err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.URL = "http://" + addr
	err = s.run(ctx, kind, addr)
	if err != nil {
		err = fmt.Errorf("start %s: %w\n%s", kind, err, s.Log())
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) run(ctx context.Context, kind Kind, addr string) error {
	for _, dir := range []string{"data", "versions"} {
		if err := os.Mkdir(s.path(dir), 0o700); err != nil {
			return err
		}
	}
	cmd, err := s.command(kind, addr)
	if err != nil {
		return err
	}
	if s.log, err = os.OpenFile(s.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Folder, s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of a terminal's Ctrl-C
	if s.done, err = scratch.Spawn(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	s.process = cmd.Process
	return s.answers(ctx)
}

// command gives the server's program. Its credential is in its environment, as
// everybody can read a process's arguments.
func (s *Server) command(kind Kind, addr string) (*exec.Cmd, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var cmd *exec.Cmd
	switch kind {
	case S3, IAM:
		program, err := Program("versitygw")
		if err != nil {
			return nil, err
		}
		if kind == S3 {
			cmd = exec.Command(program, "--port", addr, "--quiet", "--keep-alive", "posix", "--versioning-dir",
				s.path("versions"), s.path("data"))
		} else {
			cmd = exec.Command(program, "--port", addr, "--quiet", "iam", "--dir", s.path("data"))
		}
	case DynamoDB, Queues:
		script := filepath.Join("dynalite", "cli.js")
		args := []string{"--host", host, "--port", port, "--createTableMs", "0", "--deleteTableMs", "0",
			"--updateTableMs", "0"}
		if kind == Queues {
			script, args = filepath.Join("fauxqs", "dist", "server.js"), nil
		}
		node, path, err := nodeScript(script)
		if err != nil {
			return nil, err
		}
		cmd = exec.Command(node, append([]string{path}, args...)...)
	default:
		return nil, fmt.Errorf("there is no server of kind %q", kind)
	}
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+s.AccessKeyID, "ROOT_SECRET_ACCESS_KEY="+s.SecretAccessKey,
		"VGW_REGION="+Region,
		"FAUXQS_HOST="+host, "FAUXQS_PORT="+port, "FAUXQS_LOGGER=false", "FAUXQS_DEFAULT_REGION="+Region)
	return cmd, nil
}

// answers waits for the first answer over HTTP, whatever it says.
func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // versitygw sends browsers to its maker
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(r); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-tick.C:
		case <-s.done:
			return errors.New("it ended before it answered")
		case <-ctx.Done():
			return fmt.Errorf("wait for its first answer: %w", ctx.Err())
		}
	}
}

// PID is the id of the server's process.
func (s *Server) PID() int { return s.process.Pid }

// Close ends the server at once and removes its folder. It may be called twice.
func (s *Server) Close() {
	if s.process != nil {
		_ = s.process.Kill() // an error says that it has ended already
		<-s.done
		s.process = nil
	}
	if s.log != nil {
		_ = s.log.Close()
	}
	_ = os.RemoveAll(s.Folder)
}

// Log gives what the server has printed.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) path(name string) string { return filepath.Join(s.Folder, name) }

// ErrNotInstalled is returned when a program is missing. A test that meets it
// fails rather than skips.
var ErrNotInstalled = errors.New("not there: run `make setup`")

// Program gives the path of a program that test/setup/aws.sh builds: versitygw
// or tofu.
func Program(name string) (string, error) {
	path := filepath.Join(scratch.Source(), ".cache", "bin", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s: %w", name, ErrNotInstalled)
	}
	return path, nil
}

// nodeScript gives the paths of Node.js and of a script among npm's packages.
func nodeScript(script string) (node, path string, err error) {
	modules := filepath.Join(scratch.Source(), ".cache", "npm", "node_modules")
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	node = filepath.Join(modules, "node-"+runtime.GOOS+"-"+arch, "bin", "node")
	path = filepath.Join(modules, script)
	for _, f := range []string{node, path} {
		if _, err := os.Stat(f); err != nil {
			return "", "", fmt.Errorf("%s: %w", f, ErrNotInstalled)
		}
	}
	return node, path, nil
}
