package console

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

var functions = template.FuncMap{
	"visible": signalbox.Visible,
	"lines":   signalbox.VisibleLines,
	"time":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"join":    strings.Join,
	"expired": func(h approval.Hold, now time.Time) bool { return !now.Before(h.Expires) },
}

// An event is a log entry as the page lists it.
type event struct {
	Index int64
	Time  time.Time
	Kind  string
	Text  string
}

// shown bounds the lists of the first page.
const shown = 50

func (c *console) home(w http.ResponseWriter, r *http.Request, who interlock.Caller) {
	ctx := r.Context()
	state := c.State
	open, err := state.Holds(ctx, approval.Open, shown)
	if err != nil {
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	all, err := state.Holds(ctx, "", shown)
	if err != nil {
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	sessions, err := state.Sessions(ctx, true, time.Now())
	if err != nil {
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	inForce, err := c.Interlock.Control(ctx)
	if err != nil {
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	events, size, err := c.events(r)
	if err != nil {
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	now := time.Now()
	past := slices.DeleteFunc(all, func(h approval.Hold) bool {
		return h.Status == approval.Open &&
			now.Before(h.Expires)
	})
	open = slices.DeleteFunc(open, func(h approval.Hold) bool { return !now.Before(h.Expires) })
	c.show(w, http.StatusOK, "home", page{Who: &who, Data: struct {
		Open, Past []approval.Hold
		Sessions   []interlock.SessionRow
		Control    control.State
		Gates      []client.Gate
		Events     []event
		Size       int64
		Verifier   string
	}{open, past, sessions[:min(len(sessions), shown)], inForce, c.Gates(), events, size, c.Ledger.Verifier()}})
}

// events gives the log's newest entries, the newest first.
func (c *console) events(r *http.Request) ([]event, int64, error) {
	size, _, err := c.Ledger.Head(r.Context())
	if err != nil {
		return nil, 0, err
	}
	var out []event
	err = c.Ledger.Entries(r.Context(), max(size-shown, 0), size, func(row ledger.Row) error {
		e, err := proof.Decode(row.Leaf)
		if err != nil {
			return fmt.Errorf("entry %d: %w", row.Index, err)
		}
		out = append(out, event{Index: row.Index, Time: e.Time, Kind: string(e.Body.Kind()), Text: proof.Describe(e)})
		return nil
	})
	slices.Reverse(out)
	return out, size, err
}

func (c *console) hold(w http.ResponseWriter, r *http.Request, who interlock.Caller) {
	c.showHold(w, r, who, http.StatusOK, "")
}

func (c *console) showHold(w http.ResponseWriter, r *http.Request, who interlock.Caller, status int, problem string) {
	h, err := c.State.Hold(r.Context(), r.PathValue("id"))
	if err != nil {
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	_, missing := h.Satisfied(c.Interlock.Voter(r.Context()))
	own := h.Actor.Person() == who.Person.Name
	// A changed policy folder has no session, and no words of its own.
	session, err := c.State.Session(r.Context(), h.Session)
	if err != nil && !errors.Is(err, interlock.ErrNotFound) {
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	c.show(w, status, "hold", page{Who: &who, Data: struct {
		approval.Hold
		Missing, Problem string
		Purpose          string
		Waiting, Own     bool
	}{h, missing, problem, session.Purpose, h.Status == approval.Open && time.Now().Before(h.Expires), own}})
}

func (c *console) answer(w http.ResponseWriter, r *http.Request, who interlock.Caller) {
	id, comment := r.PathValue("id"), r.PostFormValue("comment")
	var err error
	switch r.PostFormValue("answer") {
	case "yes":
		_, err = c.Interlock.Answer(r.Context(), who, id, true, comment)
	case "no":
		_, err = c.Interlock.Answer(r.Context(), who, id, false, comment)
	case "confirm":
		_, err = c.Interlock.Confirm(r.Context(), who, id)
	default:
		c.showHold(w, r, who, http.StatusBadRequest, "Say yes or no.")
		return
	}
	if err != nil {
		// Its words are for people, and say what to do.
		c.showHold(w, r, who, http.StatusConflict, err.Error())
		return
	}
	http.Redirect(w, r, "/holds/"+id, http.StatusSeeOther)
}
