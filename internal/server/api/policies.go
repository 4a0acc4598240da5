package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
)

func (a *api) policies() {
	handle(a, huma.Operation{
		OperationID: "list-policies", Method: http.MethodGet, Path: "/policies", Tags: []string{"policies"},
		Summary: "List the versions of the policy set, newest first",
	}, func(ctx context.Context, _ *none) (*body[[]client.Policy], error) {
		rows, err := a.State.PolicySets(ctx)
		out := make([]client.Policy, len(rows))
		for i, r := range rows {
			out[i] = client.Policy{Version: r.Version, Status: r.Status, By: r.By, At: r.At}
		}
		return answer(out, err)
	})

	handle(a, huma.Operation{
		OperationID: "show-policy", Method: http.MethodGet, Path: "/policies/{version}", Tags: []string{"policies"},
		Summary: "Show one version with its files",
	}, func(ctx context.Context, in *struct {
		Version string `path:"version" maxLength:"64" doc:"a version's digest, or active"`
	}) (*body[client.Policy], error) {
		var version signalbox.Digest
		if in.Version == "active" {
			c, err := a.State.Control(ctx)
			if err != nil {
				return nil, err
			}
			version = c.Policy
		} else if err := version.UnmarshalText([]byte(in.Version)); err != nil {
			return nil, newProblem(http.StatusUnprocessableEntity, err.Error(),
				"list the versions with `signalbox policy list`")
		}
		row, err := a.State.PolicySet(ctx, version)
		if err != nil {
			return nil, err
		}
		return answer(policySet(row))
	})

	handle(a, huma.Operation{
		OperationID: "propose-policy", Method: http.MethodPost, Path: "/policies", Tags: []string{"policies"},
		Summary:       "Hand in a policy set",
		Description:   "It becomes active at once, or is a proposal where a gate stands before production: see its status.",
		DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *struct{ Body client.NewPolicy }) (*body[client.Policy], error) {
		files := make([]policy.File, len(in.Body.Files))
		for i, f := range in.Body.Files {
			files[i] = policy.File{Name: f.Name, Data: []byte(f.Text)}
		}
		set, err := policy.Load(files)
		if err != nil {
			return nil, err
		}
		if _, err := a.Interlock.ProposePolicy(ctx, caller(ctx), files); err != nil {
			return nil, err
		}
		row, err := a.State.PolicySet(ctx, set.Version())
		if err != nil {
			return nil, err
		}
		return answer(policySet(row))
	})
}

func policySet(r interlock.PolicyRow) (client.Policy, error) {
	p := client.Policy{Version: r.Version, Status: r.Status, By: r.By, At: r.At}
	var files []policy.File
	if err := json.Unmarshal(r.Files, &files); err != nil {
		return p, fmt.Errorf("files of policy set %s: %w", r.Version.Short(), err)
	}
	for _, f := range files {
		p.Files = append(p.Files, client.PolicyFile{Name: f.Name, Text: string(f.Data)})
	}
	return p, nil
}
