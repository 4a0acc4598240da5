// Package api serves the HTTP API: JSON under /api/v1, described by OpenAPI at
// /api/openapi.json, errors as RFC 9457 problems.
//
// The one thing to know before adding an operation: it needs a line in
// [Classes] that says who may call it. Without one it panics at start, and no
// request reaches it. The types of requests and answers are those of package
// client.
package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/server/identity"
)

// Config says what the API works with.
type Config struct {
	Interlock *interlock.Interlock
	State     interlock.Reader // for lists and details
	Ledger    *ledger.Log
	Guard     *identity.Guard
	// Server and Gates are told to those who have a credential. Server's
	// Policy is filled in.
	Server client.Server
	Gates  func() []client.Gate
	// Explain judges scenarios, line by line.
	Explain func(ctx context.Context, in io.Reader, out io.Writer) error
	// Life ends when the server begins to stop. Long polls answer then with what
	// they have; everything else is finished.
	Life context.Context
	// MaxBody bounds a request's body in bytes.
	MaxBody int64
	Logger  *slog.Logger
}

type api struct {
	Config
	huma    huma.API
	classes map[string]Class
	turns   *turns // of explain
}

// Register puts the API's routes into mux and gives its description.
func Register(mux *http.ServeMux, c Config) *huma.OpenAPI {
	hc := huma.DefaultConfig("Signalbox", c.Server.Version)
	hc.OpenAPIPath = "/api/openapi"
	hc.DocsPath = ""     // no pages that load scripts from elsewhere
	hc.SchemasPath = ""  // all are in the description
	hc.CreateHooks = nil // no links to schemas inside of answers
	hc.NoFormatFallback = false
	hc.Info.Description = "Holds, sessions, halts, freezes, people, policies and the log of a Signalbox server. " +
		"Every operation says who may call it; errors are RFC 9457 problem documents with a hint."
	hc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "a human's token (sbu_…), or a session's own (sbs_…)"},
	}
	a := &api{Config: c, classes: Classes(), turns: newTurns()}
	a.huma = humago.New(mux, hc)
	a.huma.UseMiddleware(a.admit)
	a.holds()
	a.sessions()
	a.control()
	a.people()
	a.policies()
	a.log()
	a.describeProblems()
	return a.huma.OpenAPI()
}

type callerKey struct{}

// caller is who calls; zero for operations open to anyone.
func caller(ctx context.Context) interlock.Caller {
	c, _ := ctx.Value(callerKey{}).(interlock.Caller)
	return c
}

type addressKey struct{}

// admit lets in who may call the operation, and nobody else.
func (a *api) admit(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation().OperationID
	class, ok := a.classes[op]
	if !ok {
		a.Logger.Error("operation without a class", "operation", op)
		write(ctx, newProblem(http.StatusInternalServerError, "this operation is not served", ""))
		return
	}
	r, _ := humago.Unwrap(ctx)
	from := identity.Address(r)
	ctx = huma.WithValue(ctx, addressKey{}, from)
	ctx.SetHeader("Cache-Control", "no-store")
	if class == Anyone {
		next(ctx)
		return
	}
	who, err := a.Guard.Identify(ctx.Context(), from, identity.Bearer(ctx.Header("Authorization")))
	if err != nil {
		write(ctx, a.fail(op, err).(*problem))
		return
	}
	if !class.admits(who) {
		a.Logger.Warn("refused at the API", "operation", op, "caller", name(who), "from", from)
		write(ctx, refused(class, who))
		return
	}
	next(huma.WithValue(ctx, callerKey{}, who))
}

func refused(class Class, who interlock.Caller) *problem {
	if who.Session != nil {
		return newProblem(http.StatusForbidden,
			fmt.Sprintf("session %s (%s) may not do this: only people may", who.Session.ID, who.Session.Actor),
			"a human does it with a credential of his own, outside of the session")
	}
	return newProblem(http.StatusForbidden, fmt.Sprintf("%s may not do this: it takes an administrator", name(who)),
		"ask an administrator")
}

func name(who interlock.Caller) string {
	switch {
	case who.Session != nil:
		return "session " + string(who.Session.ID)
	case who.Person != nil:
		return who.Person.Name
	}
	return "nobody"
}

// handle registers one operation. An operation without a class is a mistake of
// ours, found at start.
func handle[I, O any](a *api, op huma.Operation, f func(context.Context, *I) (*O, error)) {
	class, ok := a.classes[op.OperationID]
	if !ok {
		panic(fmt.Sprintf("api: operation %q has no class: say in Classes who may call it", op.OperationID))
	}
	op.Path = "/api/v1" + op.Path
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = a.MaxBody
	}
	op.Errors = []int{http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable}
	op.RejectUnknownQueryParameters = true
	if class != Anyone {
		op.Security = []map[string][]string{{"bearer": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
	}
	if op.Description != "" {
		op.Description += "\n\n"
	}
	op.Description += "For: " + class.String() + "."
	op.Extensions = map[string]any{"x-signalbox-class": class.String()}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, a.fail(op.OperationID, err)
		}
		return out, nil
	})
}

// describeProblems makes the description say what problems look like here.
func (a *api) describeProblems() {
	doc := a.huma.OpenAPI()
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[client.Problem](), true, "Problem")
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Delete} {
			if op == nil {
				continue
			}
			for _, r := range op.Responses {
				if m := r.Content["application/problem+json"]; m != nil {
					m.Schema = schema
				}
			}
		}
	}
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
}

// body wraps an answer.
type body[T any] struct{ Body T }

func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{v}, nil
}

// none is for operations without a body of their own.
type none struct{}
