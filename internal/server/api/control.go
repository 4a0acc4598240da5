package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
)

type windowID struct {
	ID string `path:"id" maxLength:"64"`
}

// control registers halts, freezes and break-glass.
func (a *api) control() {
	handle(a, huma.Operation{
		OperationID: "list-halts", Method: http.MethodGet, Path: "/halts", Tags: []string{"control"},
		Summary: "List the halts in force",
	}, func(ctx context.Context, _ *none) (*body[[]client.Halt], error) {
		c, err := a.State.Control(ctx)
		out := make([]client.Halt, len(c.Halts))
		for i, h := range c.Halts {
			out[i] = client.Halt{Scope: string(h.Scope), Name: h.Name, Reason: h.Reason, By: h.By, At: h.At}
		}
		return answer(out, err)
	})
	handle(a, huma.Operation{
		OperationID: "halt", Method: http.MethodPost, Path: "/halts", Tags: []string{"control"},
		Summary: "Stop a session, an actor, a gate or everything, at once", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct{ Body client.Halt }) (*none, error) {
		return nil, a.Interlock.Halt(ctx, caller(ctx), control.HaltScope(in.Body.Scope), in.Body.Name, in.Body.Reason)
	})
	handle(a, huma.Operation{
		OperationID: "resume", Method: http.MethodPost, Path: "/resume", Tags: []string{"control"},
		Summary: "Take a halt back", Description: "By an administrator or an approver whom it does not hold back; one of everything takes an administrator. Where a gate stands before production, by another than who halted.", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct{ Body client.Resume }) (*none, error) {
		return nil, a.Interlock.Resume(ctx, caller(ctx), control.HaltScope(in.Body.Scope), in.Body.Name, in.Body.Reason)
	})

	handle(a, huma.Operation{
		OperationID: "list-freezes", Method: http.MethodGet, Path: "/freezes", Tags: []string{"control"},
		Summary: "List the freezes that have not ended",
	}, func(ctx context.Context, _ *none) (*body[[]client.Freeze], error) {
		c, err := a.State.Control(ctx)
		out := make([]client.Freeze, len(c.Freezes))
		for i, f := range c.Freezes {
			out[i] = freeze(f)
		}
		return answer(out, err)
	})
	handle(a, huma.Operation{
		OperationID: "start-freeze", Method: http.MethodPost, Path: "/freezes", Tags: []string{"control"},
		Summary: "Begin a window in which nobody changes anything", DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *struct{ Body client.Freeze }) (*body[client.Freeze], error) {
		f, err := a.Interlock.StartFreeze(ctx, caller(ctx), control.Freeze{
			Environments: in.Body.Environments, Gates: in.Body.Gates,
			From: in.Body.From, Until: in.Body.Until, Reason: in.Body.Reason,
		})
		return answer(freeze(f), err)
	})
	handle(a, huma.Operation{
		OperationID: "end-freeze", Method: http.MethodPost, Path: "/freezes/{id}/end", Tags: []string{"control"},
		Summary:     "End a freeze before its time",
		Description: "By an administrator or an approver. Where a gate stands before production, by another than who froze.", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		ID   string `path:"id" maxLength:"64"`
		Body client.Reason
	}) (*none, error) {
		return nil, a.Interlock.EndFreeze(ctx, caller(ctx), in.ID, in.Body.Reason)
	})

	handle(a, huma.Operation{
		OperationID: "list-break-glass", Method: http.MethodGet, Path: "/break-glass", Tags: []string{"control"},
		Summary: "List the break-glass windows that have not ended",
	}, func(ctx context.Context, _ *none) (*body[[]client.BreakGlass], error) {
		c, err := a.State.Control(ctx)
		out := make([]client.BreakGlass, len(c.BreakGlass))
		for i, b := range c.BreakGlass {
			out[i] = breakGlass(b)
		}
		return answer(out, err)
	})
	handle(a, huma.Operation{
		OperationID: "start-break-glass", Method: http.MethodPost, Path: "/break-glass", Tags: []string{"control"},
		Summary:     "Go through a freeze or past a hold, loudly and for a short time",
		Description: "For the calling human in a session of his own, never for an agent. At most three verbs, for an hour at most, with a reason in words. It lifts no halt and no recording.", DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *struct{ Body client.BreakGlass }) (*body[client.BreakGlass], error) {
		b, err := a.Interlock.BreakGlass(ctx, caller(ctx), control.BreakGlass{
			Gates: in.Body.Gates, Verbs: in.Body.Verbs, Reason: in.Body.Reason, Expires: in.Body.Expires,
		})
		return answer(breakGlass(b), err)
	})
	handle(a, huma.Operation{
		OperationID: "end-break-glass", Method: http.MethodPost, Path: "/break-glass/{id}/end",
		Tags:    []string{"control"},
		Summary: "Close a break-glass window before its time", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *windowID) (*none, error) {
		return nil, a.Interlock.EndBreakGlass(ctx, caller(ctx), in.ID)
	})
}

func freeze(f control.Freeze) client.Freeze {
	return client.Freeze{
		ID: f.ID, Environments: f.Environments, Gates: f.Gates, From: f.From, Until: f.Until,
		By: f.By, Reason: f.Reason, Ended: f.Ended,
	}
}

func breakGlass(b control.BreakGlass) client.BreakGlass {
	return client.BreakGlass{
		ID: b.ID, By: b.By, Gates: b.Gates, Verbs: b.Verbs, Reason: b.Reason,
		From: b.From, Expires: b.Expires, Ended: b.Ended,
	}
}
