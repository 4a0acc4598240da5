package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

type personName struct {
	Name string `path:"name" maxLength:"64"`
}

func (a *api) people() {
	handle(a, huma.Operation{
		OperationID: "login", Method: http.MethodPost, Path: "/login", Tags: []string{"people"},
		Summary:       "Enrol the first administrator with the one-time code",
		Description:   "The server prints the code while nobody is enrolled. Everybody else is enrolled by an administrator.",
		DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *struct{ Body client.Login }) (*body[client.Enrolment], error) {
		from, _ := ctx.Value(addressKey{}).(string)
		p, token, err := a.Guard.Enrol(ctx, from, in.Body.Code, in.Body.Name, in.Body.Groups)
		return answer(client.Enrolment{Person: person(p), Token: token}, err)
	})

	handle(a, huma.Operation{
		OperationID: "list-people", Method: http.MethodGet, Path: "/people", Tags: []string{"people"},
		Summary: "List the enrolled humans",
	}, func(ctx context.Context, _ *none) (*body[[]client.Person], error) {
		ps, err := a.State.People(ctx)
		out := make([]client.Person, len(ps))
		for i, p := range ps {
			out[i] = person(p)
		}
		return answer(out, err)
	})

	handle(a, huma.Operation{
		OperationID: "add-person", Method: http.MethodPost, Path: "/people", Tags: []string{"people"},
		Summary: "Enrol a human", DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *struct{ Body client.NewPerson }) (*body[client.Enrolment], error) {
		_, err := a.State.Person(ctx, in.Body.Name)
		switch {
		case err == nil && !in.Body.Replace:
			return nil, newProblem(http.StatusConflict, fmt.Sprintf("%s is enrolled already", in.Body.Name),
				"to change groups and rights, and void the old token, ask to replace")
		case err != nil && !errors.Is(err, interlock.ErrNotFound):
			return nil, err
		}
		p, token, err := a.Interlock.AddPerson(ctx, caller(ctx), in.Body.Name, in.Body.Groups, in.Body.Admin)
		return answer(client.Enrolment{Person: person(p), Token: token}, err)
	})

	handle(a, huma.Operation{
		OperationID: "revoke-person", Method: http.MethodPost, Path: "/people/{name}/revoke", Tags: []string{"people"},
		Summary:     "Void a human's token and give him a new one",
		Description: "What was done with the old one and not yet carried out is void too: sessions that he opened, log-ins at the console, approvals.",
	}, func(ctx context.Context, in *personName) (*body[client.Enrolment], error) {
		p, token, err := a.Interlock.RevokePerson(ctx, caller(ctx), in.Name)
		return answer(client.Enrolment{Person: person(p), Token: token}, err)
	})

	handle(a, huma.Operation{
		OperationID: "remove-person", Method: http.MethodDelete, Path: "/people/{name}", Tags: []string{"people"},
		Summary: "Remove a human", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *personName) (*none, error) {
		return nil, a.Interlock.RemovePerson(ctx, caller(ctx), in.Name)
	})
}

func person(p session.Person) client.Person {
	groups := p.Groups
	if groups == nil {
		groups = []string{}
	}
	return client.Person{Name: p.Name, Groups: groups, Admin: p.Admin, Added: p.Added}
}
