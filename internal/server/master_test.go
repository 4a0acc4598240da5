package server_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// A server whose master key is not that of the database refuses to start,
// beside another or after it, until somebody says that the key was replaced.
func TestForeignMasterKey(t *testing.T) {
	t.Setenv("STATE_URL", pgtest.Shared(t).URL())
	t.Setenv("OLD", strings.Repeat("0123456789abcdef", 4))
	t.Setenv("NEW", strings.Repeat("fedcba9876543210", 4))
	for name, database := range map[string]config.Database{
		"SQLite":     {},
		"PostgreSQL": {URL: secret.Source{Env: "STATE_URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			with := func(key string, replace bool) (*server.Server, error) {
				c := config.Config{
					Data: data, Listen: "127.0.0.1:0", Database: database, MasterKey: secret.Source{Env: key},
					ReplaceMaster: replace,
					Log:           config.Log{Origin: "signalbox.test/master", Key: filepath.Join(data, "log.key")},
				}
				return server.Start(t.Context(), c.Defaults(), slog.New(slog.NewTextHandler(t.Output(), nil)))
			}
			must := func(key string, replace bool) *server.Server {
				t.Helper()
				s, err := with(key, replace)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.Close)
				return s
			}
			refused := func(key string) {
				t.Helper()
				s, err := with(key, false)
				if err == nil {
					s.Close()
				}
				if !errors.Is(err, interlock.ErrForeignMaster) ||
					!strings.Contains(err.Error(), "--replace-master-key") {
					t.Errorf("start with %s: got %v", key, err)
				}
			}
			first := must("OLD", false)
			token := enrolled(t, first)
			if database.URL.Set() {
				refused("NEW") // beside it
				second := must("OLD", false)
				if _, err := as(t, second, token).People(t.Context()); err != nil {
					t.Errorf("credential at another server with the same key: %v", err)
				}
				second.Close()
			}
			first.Close()
			refused("NEW")

			third := must("NEW", true)
			if _, err := as(t, third, token).People(t.Context()); err == nil {
				t.Error("a credential by the replaced key is still good")
			}
			alice := enrol(t, third)
			if _, err := alice.People(t.Context()); err != nil {
				t.Errorf("enrolled anew: %v", err)
			}
			third.Close()
			refused("OLD")
			if s := must("NEW", true); s.Code() != "" {
				t.Error("a one-time code although nothing was replaced")
			}
		})
	}
}
