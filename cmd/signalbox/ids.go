package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox/client"
)

// Holds and sessions may be named by the first characters of their ids, as many
// as make it clear which is meant.

const (
	idLength  = 26
	idAtLeast = 4 // characters: fewer are a slip rather than a choice
)

// holdID gives the id of the hold that is meant. What cannot be told here is left
// to the server.
func holdID(ctx context.Context, api *client.Client, ref string) (string, error) {
	if len(ref) >= idLength {
		return ref, nil
	}
	holds, err := api.Holds(ctx, "", 1000)
	if err != nil {
		if client.IsStatus(err, 403) {
			return ref, nil // a session names its holds whole
		}
		return "", err
	}
	ids := make([]string, len(holds))
	for i, h := range holds {
		ids[i] = h.ID
	}
	return meant("hold", strings.ToUpper(ref), ids)
}

// sessionID is the same for sessions.
func sessionID(ctx context.Context, api *client.Client, ref string) (string, error) {
	if len(ref) >= idLength {
		return ref, nil
	}
	sessions, err := api.Sessions(ctx, true)
	if err != nil {
		if client.IsStatus(err, 403) {
			return ref, nil
		}
		return "", err
	}
	ids := make([]string, len(sessions))
	for i, s := range sessions {
		ids[i] = string(s.ID)
	}
	return meant("session", strings.ToLower(ref), ids)
}

// meant gives the one id that begins with prefix.
func meant(kind, prefix string, ids []string) (string, error) {
	var found []string
	for _, id := range ids {
		if strings.HasPrefix(id, prefix) {
			found = append(found, id)
		}
	}
	switch {
	case len(found) == 0 || len(prefix) < idAtLeast:
		return "", hinted{fmt.Errorf("%s %q: not found", kind, prefix),
			fmt.Sprintf("see `signalbox %s list`; the first characters of an id will do, at least %d", kind, idAtLeast)}
	case len(found) > 1:
		return "", hinted{fmt.Errorf("%s %q: %d ids begin so", kind, prefix, len(found)),
			"more characters, please: " + strings.Join(found[:min(len(found), 5)], ", ")}
	}
	return found[0], nil
}
