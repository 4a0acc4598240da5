package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// A scenario is one line of input: requests in order and in one session.
// Members that are not named here are labels of somebody's and are left alone.
type scenario struct {
	ID          string      `json:"id"`
	Actor       actor       `json:"actor"`
	Environment string      `json:"environment"`
	Freeze      bool        `json:"freeze"`
	Requests    []rawMember `json:"requests"`
}

type rawMember = json.RawMessage

type actor struct {
	Agent      string `json:"agent"`
	For        string `json:"for"`
	Human      string `json:"human"`
	Automation string `json:"automation"`
}

// A request is one native request. Only the members of its gate are read.
type request struct {
	Gate string `json:"gate"`

	Database string  `json:"database"` // postgres
	SQL      *string `json:"sql"`

	Service    string    `json:"service"` // aws
	Operation  string    `json:"operation"`
	Region     string    `json:"region"`
	Parameters rawMember `json:"parameters"`

	Method string `json:"method"` // kubernetes
	Path   string `json:"path"`

	Command *string `json:"command"` // shell

	Server string `json:"server"` // mcp
	Tool   string `json:"tool"`

	Plan rawMember `json:"plan"` // terraform
}

// gates lists the protocols that a request may name, those included whose
// requests nobody here understands yet.
var gates = []string{"aws", "kubernetes", "mcp", "postgres", "shell", "terraform"}

// parse reads one line. The id is given back also with an error, if it could
// be read, so that the answer can carry it.
func parse(line []byte) (scenario, signalbox.Actor, []request, error) {
	var s scenario
	var who signalbox.Actor
	if err := unmarshal(line, &s); err != nil {
		var only struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(line, &only) // as far as it goes
		return scenario{ID: only.ID}, who, nil, err
	}
	if s.ID == "" {
		return s, who, nil, errors.New("id is missing")
	}
	who, err := s.Actor.actor()
	if err != nil {
		return s, who, nil, err
	}
	if s.Environment == "" {
		return s, who, nil, errors.New("environment is missing")
	}
	if len(s.Requests) == 0 {
		return s, who, nil, errors.New("requests are missing")
	}
	requests := make([]request, len(s.Requests))
	for i, raw := range s.Requests {
		if err := unmarshal(raw, &requests[i]); err != nil {
			return s, who, nil, fmt.Errorf("request %d: %w", i, err)
		}
		if err := requests[i].validate(); err != nil {
			return s, who, nil, fmt.Errorf("request %d: %w", i, err)
		}
	}
	return s, who, requests, nil
}

// unmarshal is json.Unmarshal with errors for people, and without null for an
// object, which would leave everything empty.
func unmarshal(data []byte, v any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return errors.New("not a JSON object")
	}
	err := json.Unmarshal(data, v)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("member %q cannot be a JSON %s", wrong.Field, wrong.Value)
	}
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}

func (a actor) actor() (signalbox.Actor, error) {
	var found []signalbox.Actor
	if a.Agent != "" {
		found = append(found, signalbox.Actor{Kind: signalbox.Agent, Name: a.Agent, For: a.For})
	}
	if a.Human != "" {
		found = append(found, signalbox.Actor{Kind: signalbox.Human, Name: a.Human, For: a.For})
	}
	if a.Automation != "" {
		found = append(found, signalbox.Actor{Kind: signalbox.Automation, Name: a.Automation, For: a.For})
	}
	if len(found) != 1 {
		return signalbox.Actor{}, errors.New(`actor needs exactly one of "agent", "human" and "automation"`)
	}
	return found[0], found[0].Validate()
}

func (r request) validate() error {
	missing := func(name string) error { return fmt.Errorf("%s request without %q", r.Gate, name) }
	switch {
	case r.Gate == "":
		return errors.New("gate is missing")
	case !slices.Contains(gates, r.Gate):
		return fmt.Errorf("gate %q is none of %s", r.Gate, strings.Join(gates, ", "))
	case r.Gate == "postgres" && r.SQL == nil:
		return missing("sql")
	case r.Gate == "aws" && r.Service == "":
		return missing("service")
	case r.Gate == "aws" && r.Operation == "":
		return missing("operation")
	case r.Gate == "kubernetes" && r.Method == "":
		return missing("method")
	case r.Gate == "kubernetes" && r.Path == "":
		return missing("path")
	case r.Gate == "shell" && r.Command == nil:
		return missing("command")
	case r.Gate == "mcp" && r.Tool == "":
		return missing("tool")
	case r.Gate == "terraform" && len(r.Plan) == 0:
		return missing("plan")
	}
	return nil
}
