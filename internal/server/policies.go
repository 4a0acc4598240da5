package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/explain"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/policies"
)

// folderTime is how often the policy folder is looked at.
const folderTime = 5 * time.Second

// policyFiles gives the configured set: the folder's, or the built-in one.
func policyFiles(folder string) ([]policy.File, error) {
	if folder == "" {
		return policies.Default()
	}
	return policies.Folder(folder)
}

// loadPolicies brings the configured set into force, or keeps what is active:
// a bad set stops a server that has no other, and no other server.
func (s *Server) loadPolicies(ctx context.Context) error {
	err := s.bringPolicies(ctx)
	if err == nil {
		return nil
	}
	if c, cerr := s.interlock.Control(ctx); cerr != nil || c.Policy.IsZero() {
		return fmt.Errorf("policies: %w", err)
	}
	s.log.Error("configured policies were refused, those in force stay", "folder", s.config.Policies, "error", err)
	return nil
}

func (s *Server) bringPolicies(ctx context.Context) error {
	if s.config.Policies == "" {
		// A set that a human has brought in since is not undone by a restart; a
		// folder is what its operator says it is.
		c, err := s.interlock.Control(ctx)
		if err != nil {
			return err
		}
		row, err := s.store.PolicySet(ctx, c.Policy)
		if err == nil && strings.HasPrefix(row.By, string(signalbox.Human)+" ") {
			return nil
		}
	}
	files, err := policyFiles(s.config.Policies)
	if err != nil {
		return err
	}
	proposed, err := s.interlock.LoadPolicy(ctx, files)
	if err == nil && proposed {
		s.log.Info("configured policies wait for approval: signalbox hold list", "folder", s.config.Policies)
	}
	return err
}

// explain judges scenarios by the policies in force.
func (s *Server) explain(ctx context.Context, in io.Reader, out io.Writer) error {
	c, err := s.interlock.Control(ctx)
	if err != nil {
		return err
	}
	row, err := s.store.PolicySet(ctx, c.Policy)
	if err != nil {
		return fmt.Errorf("active policies: %w", err)
	}
	var files []policy.File
	if err := json.Unmarshal(row.Files, &files); err != nil {
		return fmt.Errorf("active policies: %w", err)
	}
	set, err := policy.Load(files)
	if err != nil {
		return fmt.Errorf("active policies: %w", err)
	}
	_, err = explain.Run(ctx, explain.Config{Policy: set, Readers: gate.Readers(s.config.Kinds)}, in, out)
	return err
}

// watchPolicies brings changes of the policy folder until ctx ends. What is
// wrong with it is said once.
func (s *Server) watchPolicies(ctx context.Context) {
	if s.config.Policies == "" {
		return
	}
	tick := time.NewTicker(folderTime)
	defer tick.Stop()
	seen, said := "", ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := ""
		files, err := policyFiles(s.config.Policies)
		if err == nil {
			for _, f := range files {
				now += f.Name + "\x00" + string(f.Data) + "\x00"
			}
			if now == seen {
				continue
			}
			err = s.bringPolicies(ctx)
		}
		switch {
		case err == nil:
			seen, said = now, ""
		case err.Error() != said:
			said = err.Error()
			s.log.Error("policy folder was refused, the policies in force stay", "folder", s.config.Policies, "error",
				err)
		}
	}
}
