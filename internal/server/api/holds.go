package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
)

// maxWait bounds one long poll; who wants to wait longer asks again.
const maxWait = 30 * time.Second

type holdID struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *api) holds() {
	handle(a, huma.Operation{
		OperationID: "list-holds", Method: http.MethodGet, Path: "/holds", Tags: []string{"holds"},
		Summary: "List holds, newest first",
	}, func(ctx context.Context, in *struct {
		Status string `query:"status" enum:"open,approved,used,refused,withdrawn,expired,dead" doc:"left out: all"`
		Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	}) (*body[[]client.Hold], error) {
		hs, err := a.State.Holds(ctx, approval.Status(in.Status), in.Limit)
		return answer(a.list(ctx, hs), err)
	})

	handle(a, huma.Operation{
		OperationID: "list-session-holds", Method: http.MethodGet, Path: "/sessions/{id}/holds",
		Tags:    []string{"holds"},
		Summary: "List the open and approved holds of a session, newest first",
	}, func(ctx context.Context, in *sessionID) (*body[[]client.Hold], error) {
		if err := ownSession(ctx, in.ID); err != nil {
			return nil, err
		}
		hs, err := a.Interlock.LiveHolds(ctx, signalbox.SessionID(in.ID))
		return answer(a.list(ctx, hs), err)
	})

	handle(a, huma.Operation{
		OperationID: "show-hold", Method: http.MethodGet, Path: "/holds/{id}", Tags: []string{"holds"},
		Summary: "Show a hold", Description: "A session sees its own holds.",
	}, func(ctx context.Context, in *holdID) (*body[client.Hold], error) {
		h, err := a.ownHold(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return answer(a.hold(ctx, h), nil)
	})

	handle(a, huma.Operation{
		OperationID: "wait-hold", Method: http.MethodGet, Path: "/holds/{id}/wait", Tags: []string{"holds"},
		Summary:     "Wait until a hold is no longer open",
		Description: "Answers with the hold when it is no longer open, or as it is when the time is over. A session waits for its own holds.",
	}, func(ctx context.Context, in *struct {
		ID      string `path:"id" maxLength:"64"`
		Timeout string `query:"timeout" default:"30s" maxLength:"16" doc:"a duration of at most 30s"`
	}) (*body[client.Hold], error) {
		d, err := time.ParseDuration(in.Timeout)
		if err != nil || d < 0 {
			return nil, newProblem(http.StatusUnprocessableEntity, "timeout: not a duration", "write it like 30s")
		}
		if _, err := a.ownHold(ctx, in.ID); err != nil {
			return nil, err
		}
		wait, cancel := context.WithTimeout(ctx, min(d, maxWait))
		defer cancel()
		defer context.AfterFunc(a.Life, cancel)()
		// Its time being over is no error; what counts is how the hold stands then.
		_, err = a.Interlock.AwaitHold(wait, in.ID)
		if err != nil && wait.Err() == nil {
			return nil, err
		}
		h, err := a.State.Hold(context.WithoutCancel(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		return answer(a.hold(ctx, h), nil)
	})

	for _, yes := range []bool{true, false} {
		id, summary := "deny-hold", "Say no to a hold, which ends it"
		if yes {
			id, summary = "approve-hold", "Say yes to a hold"
		}
		handle(a, huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: "/holds/{id}/" + id[:len(id)-len("-hold")],
			Tags:    []string{"holds"},
			Summary: summary,
		}, func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"64"`
			Body client.Comment
		}) (*body[client.Hold], error) {
			h, err := a.Interlock.Answer(ctx, caller(ctx), in.ID, yes, in.Body.Comment)
			return answer(a.hold(ctx, h), err)
		})
	}

	handle(a, huma.Operation{
		OperationID: "confirm-hold", Method: http.MethodPost, Path: "/holds/{id}/confirm", Tags: []string{"holds"},
		Summary: "Confirm one's own request, which never counts as an approval",
	}, func(ctx context.Context, in *holdID) (*body[client.Hold], error) {
		h, err := a.Interlock.Confirm(ctx, caller(ctx), in.ID)
		return answer(a.hold(ctx, h), err)
	})

	handle(a, huma.Operation{
		OperationID: "withdraw-hold", Method: http.MethodPost, Path: "/holds/{id}/withdraw", Tags: []string{"holds"},
		Summary: "Take a request back", Description: "For the session that asked, and for its human.",
	}, func(ctx context.Context, in *holdID) (*body[client.Hold], error) {
		if _, err := a.ownHold(ctx, in.ID); err != nil {
			return nil, err
		}
		h, err := a.Interlock.Withdraw(ctx, caller(ctx), in.ID)
		return answer(a.hold(ctx, h), err)
	})
}

// ownHold gives a hold to those who may see it: every human, and the session
// that asked. To other sessions it is not there.
func (a *api) ownHold(ctx context.Context, id string) (approval.Hold, error) {
	h, err := a.State.Hold(ctx, id)
	if err != nil {
		return h, err
	}
	if s := caller(ctx).Session; s != nil && s.ID != h.Session {
		return approval.Hold{}, interlock.ErrNotFound
	}
	return h, nil
}

func (a *api) list(ctx context.Context, hs []approval.Hold) []client.Hold {
	out := make([]client.Hold, len(hs))
	for i, h := range hs {
		out[i] = a.hold(ctx, h)
	}
	return out
}

// hold gives the wire form of a hold, with what is still missing.
func (a *api) hold(ctx context.Context, h approval.Hold) client.Hold {
	out := client.Hold{
		ID: h.ID, URL: a.Server.URL + "/holds/" + h.ID, Status: string(h.Status), Why: h.Why,
		Session: h.Session, Actor: h.Actor, Gate: h.Gate, Target: h.Target, Environment: h.Environment,
		Facts: h.Facts, Actions: h.Actions, Request: h.Request, State: h.State, Ceiling: h.Ceiling,
		Verdict: h.Verdict, Digest: h.Digest, Policy: h.Policy,
		Opened: h.Opened, Expires: h.Expires, Confirmed: h.Confirmed, Intent: h.Intent,
	}
	// Its session's word of what it is for. Without it the hold can still be judged.
	if s, err := a.State.Session(ctx, h.Session); err == nil {
		out.Purpose = s.Purpose
	}
	for _, x := range h.Answers {
		out.Answers = append(out.Answers, client.Answer{By: x.By, Yes: x.Yes, Comment: x.Comment, At: x.At})
	}
	if h.Status == approval.Open {
		_, out.Missing = h.Satisfied(a.Interlock.Voter(ctx))
	}
	return out
}
