package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

type entryRef struct {
	Ref string `path:"ref" maxLength:"128" doc:"an entry's id or its index"`
}

func (a *api) log() {
	handle(a, huma.Operation{
		OperationID: "log-head", Method: http.MethodGet, Path: "/log", Tags: []string{"log"},
		Summary:     "Give the newest signed tree head",
		Description: "The log itself is served to everybody under /log/, as c2sp.org/tlog-tiles.",
	}, func(ctx context.Context, _ *none) (*body[client.LogHead], error) {
		size, checkpoint, err := a.Ledger.Head(ctx)
		published, _ := a.Ledger.Published()
		return answer(client.LogHead{
			Origin: a.Server.Log, Verifier: a.Server.Verifier,
			Size: size, Published: published, Checkpoint: string(checkpoint),
		}, err)
	})

	handle(a, huma.Operation{
		OperationID: "list-entries", Method: http.MethodGet, Path: "/log/entries", Tags: []string{"log"},
		Summary: "List entries in their order",
	}, func(ctx context.Context, in *struct {
		From  int64 `query:"from" default:"-20" doc:"index of the first; negative counts from the end"`
		Limit int   `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	}) (*body[[]client.Entry], error) {
		size, _, err := a.Ledger.Head(ctx)
		if err != nil {
			return nil, err
		}
		from := in.From
		if from < 0 {
			from = max(size+from, 0)
		}
		out := []client.Entry{}
		err = a.Ledger.Entries(ctx, from, min(from+int64(in.Limit), size), func(r ledger.Row) error {
			e, err := entry(r)
			out = append(out, e)
			return err
		})
		return answer(out, err)
	})

	handle(a, huma.Operation{
		OperationID: "show-entry", Method: http.MethodGet, Path: "/log/entries/{ref}", Tags: []string{"log"},
		Summary: "Show one entry",
	}, func(ctx context.Context, in *entryRef) (*body[client.Entry], error) {
		row, err := a.entry(ctx, in.Ref)
		if err != nil {
			return nil, err
		}
		return answer(entry(row))
	})

	handle(a, huma.Operation{
		OperationID: "prove-entry", Method: http.MethodGet, Path: "/log/entries/{ref}/proof", Tags: []string{"log"},
		Summary:     "Prove that an entry is in the log",
		Description: "Waits until the entry stands under a published checkpoint.",
	}, func(ctx context.Context, in *entryRef) (*body[client.Proof], error) {
		row, err := a.entry(ctx, in.Ref)
		if err != nil {
			return nil, err
		}
		if err := a.Ledger.Wait(ctx, row.Index); err != nil {
			return nil, err
		}
		p, err := a.Ledger.Proof(ctx, row.Index)
		return answer(client.Proof{Index: row.Index, Leaf: row.Leaf, Proof: string(p)}, err)
	})

	handle(a, huma.Operation{
		OperationID: "disclose-entry", Method: http.MethodPost, Path: "/log/entries/{ref}/disclose",
		Tags:        []string{"log"},
		Summary:     "Open the hidden fields of an entry",
		Description: "Each disclosure proves one field, and shows nothing of the others. Who was shown which fields is recorded first.",
	}, func(ctx context.Context, in *entryRef) (*body[[]client.Disclosure], error) {
		row, err := a.entry(ctx, in.Ref)
		if err != nil {
			return nil, err
		}
		key, payload, err := a.Ledger.Disclose(ctx, row.Index)
		if err != nil {
			return nil, err
		}
		ds, err := proof.Disclose(key, payload)
		if err != nil {
			return nil, err
		}
		out, fields := []client.Disclosure{}, []string{}
		for _, d := range ds {
			shown, err := disclosure(d)
			if err != nil {
				return nil, err
			}
			if shown.Name == saltField {
				continue
			}
			out, fields = append(out, shown), append(fields, shown.Name)
		}
		if err := a.Interlock.Disclosed(ctx, caller(ctx), row.Index, row.ID, fields); err != nil {
			return nil, err
		}
		a.Logger.Info("entry disclosed", "entry", row.ID, "to", name(caller(ctx)))
		return answer(out, nil)
	})

	handle(a, huma.Operation{
		OperationID: "erase-entry", Method: http.MethodPost, Path: "/log/entries/{ref}/erase", Tags: []string{"log"},
		Summary:       "Delete what opens the hidden fields of an entry, for ever",
		Description:   "The entry, its proofs and the tree stay good.",
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		Ref  string `path:"ref" maxLength:"128" doc:"an entry's id or its index"`
		Body client.Reason
	}) (*none, error) {
		row, err := a.entry(ctx, in.Ref)
		if err != nil {
			return nil, err
		}
		return nil, a.Interlock.Erase(ctx, caller(ctx), row.Index, row.ID, in.Body.Reason)
	})
}

// saltField is the hidden field that no disclosure shows: whoever has it can try
// out what was asked for in other entries of the same hold.
const saltField = "salt"

// entry finds an entry by its index or its id.
func (a *api) entry(ctx context.Context, ref string) (ledger.Row, error) {
	idx, err := strconv.ParseInt(ref, 10, 64)
	if err != nil {
		if idx, err = a.Ledger.Find(ctx, ref); err != nil {
			return ledger.Row{}, fmt.Errorf("entry %q: %w", ref, err)
		}
	}
	row, err := a.Ledger.Entry(ctx, idx)
	if err != nil {
		return row, fmt.Errorf("entry %q: %w", ref, err)
	}
	return row, nil
}

func entry(r ledger.Row) (client.Entry, error) {
	e, err := proof.Decode(r.Leaf)
	if err != nil {
		return client.Entry{}, fmt.Errorf("entry %d: %w", r.Index, err)
	}
	return client.Entry{Index: r.Index, ID: r.ID, Type: string(e.Body.Kind()), Time: e.Time, Text: proof.Describe(e),
		Entry: json.RawMessage(r.Leaf)}, nil
}

func disclosure(d proof.Disclosure) (client.Disclosure, error) {
	text, err := base64.RawURLEncoding.DecodeString(string(d))
	if err != nil {
		return client.Disclosure{}, fmt.Errorf("disclosure: %w", err)
	}
	var parts [3]json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return client.Disclosure{}, fmt.Errorf("disclosure: %w", err)
	}
	out := client.Disclosure{Value: parts[2], Digest: d.Digest(), Disclosure: string(d)}
	if err := json.Unmarshal(parts[1], &out.Name); err != nil {
		return client.Disclosure{}, fmt.Errorf("disclosure: %w", err)
	}
	return out, nil
}
