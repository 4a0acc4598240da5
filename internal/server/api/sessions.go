package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

type sessionID struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *api) sessions() {
	handle(a, huma.Operation{
		OperationID: "whoami", Method: http.MethodGet, Path: "/whoami", Tags: []string{"server"},
		Summary: "Say who the credential stands for",
	}, func(ctx context.Context, _ *none) (*body[client.Caller], error) {
		who, out := caller(ctx), client.Caller{}
		if who.Person != nil {
			p := person(*who.Person)
			out.Person = &p
		}
		out.Session = who.Session
		return answer(out, nil)
	})

	handle(a, huma.Operation{
		OperationID: "server", Method: http.MethodGet, Path: "/server", Tags: []string{"server"},
		Summary: "Say what this server is",
	}, func(ctx context.Context, _ *none) (*body[client.Server], error) {
		c, err := a.Interlock.Control(ctx)
		if err != nil {
			return nil, err
		}
		s := a.Server
		s.Policy = c.Policy
		if caller(ctx).Person == nil {
			s.Secrets = nil // what there is to look for is no session's business
		}
		return answer(s, nil)
	})

	handle(a, huma.Operation{
		OperationID: "list-gates", Method: http.MethodGet, Path: "/gates", Tags: []string{"server"},
		Summary: "List the gates and how to connect to them",
	}, func(context.Context, *none) (*body[[]client.Gate], error) {
		return answer(a.Gates(), nil)
	})

	handle(a, huma.Operation{
		OperationID: "explain", Method: http.MethodPost, Path: "/explain", Tags: []string{"server"},
		Summary: "Say what would happen",
		Description: "Takes scenarios, one JSON object a line, and answers with one line for each. Nothing is executed and no target is asked. " +
			"At most 256 KiB, and one call of a human's at a time.",
		MaxBodyBytes: maxExplain,
	}, func(ctx context.Context, in *struct {
		RawBody []byte `contentType:"application/x-ndjson"`
	}) (*struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}, error) {
		out, err := a.explain(ctx, in.RawBody)
		if err != nil {
			return nil, err
		}
		return &struct {
			ContentType string `header:"Content-Type"`
			Body        []byte
		}{"application/x-ndjson", out}, nil
	})

	handle(a, huma.Operation{
		OperationID: "list-sessions", Method: http.MethodGet, Path: "/sessions", Tags: []string{"sessions"},
		Summary: "List sessions, newest first",
	}, func(ctx context.Context, in *struct {
		All bool `query:"all" doc:"those that have ended or expired too"`
	}) (*body[[]signalbox.Session], error) {
		rows, err := a.State.Sessions(ctx, !in.All, time.Now())
		out := make([]signalbox.Session, len(rows))
		for i, r := range rows {
			out[i] = r.Session
		}
		return answer(out, err)
	})

	handle(a, huma.Operation{
		OperationID: "show-session", Method: http.MethodGet, Path: "/sessions/{id}", Tags: []string{"sessions"},
		Summary: "Show a session", Description: "A session sees itself.",
	}, func(ctx context.Context, in *sessionID) (*body[signalbox.Session], error) {
		if err := ownSession(ctx, in.ID); err != nil {
			return nil, err
		}
		row, err := a.State.Session(ctx, signalbox.SessionID(in.ID))
		return answer(row.Session, err)
	})

	handle(a, huma.Operation{
		OperationID: "open-session", Method: http.MethodPost, Path: "/sessions", Tags: []string{"sessions"},
		Summary:       "Open a session and mint its credentials",
		Description:   "For an agent that acts for the calling human, for an automation, or for the human himself.",
		DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *struct{ Body client.NewSession }) (*body[client.OpenedSession], error) {
		n := interlock.NewSession{Agent: in.Body.Agent, Automation: in.Body.Automation, Purpose: in.Body.Purpose,
			Gates: in.Body.Gates, Wait: in.Body.Wait}
		if in.Body.TTL != "" {
			ttl, err := time.ParseDuration(in.Body.TTL)
			if err != nil || ttl <= 0 {
				return nil, newProblem(http.StatusUnprocessableEntity, "ttl: not a duration", "write it like 2h or 30m")
			}
			n.TTL = ttl
		}
		s, credentials, err := a.Interlock.OpenSession(ctx, caller(ctx), n, a.gateNames())
		return answer(client.OpenedSession{Session: s, Credentials: credentials}, err)
	})

	handle(a, huma.Operation{
		OperationID: "session-credentials", Method: http.MethodPost, Path: "/sessions/{id}/credentials",
		Tags:        []string{"sessions"},
		Summary:     "Give a session's credentials once more",
		Description: "To the human who opened it, while it may be used.",
	}, func(ctx context.Context, in *sessionID) (*body[client.OpenedSession], error) {
		s, credentials, err := a.Interlock.Credentials(ctx, caller(ctx), signalbox.SessionID(in.ID), a.gateNames())
		return answer(client.OpenedSession{Session: s, Credentials: credentials}, err)
	})

	handle(a, huma.Operation{
		OperationID: "end-session", Method: http.MethodPost, Path: "/sessions/{id}/end", Tags: []string{"sessions"},
		Summary: "End a session", Description: "A session may end itself, a human his own, an administrator any.",
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *sessionID) (*none, error) {
		if err := ownSession(ctx, in.ID); err != nil {
			return nil, err
		}
		return nil, a.Interlock.EndSession(ctx, caller(ctx), signalbox.SessionID(in.ID))
	})
}

func (a *api) gateNames() (names []string) {
	for _, g := range a.Gates() {
		names = append(names, g.Name)
	}
	return names
}

// ownSession keeps sessions from each other: to a session, others are not there.
func ownSession(ctx context.Context, id string) error {
	if s := caller(ctx).Session; s != nil && string(s.ID) != id {
		return interlock.ErrNotFound
	}
	return nil
}
