package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// A request is one native request, of which nothing but the gate's kind is read
// here.
type request struct {
	kind   string
	native Native
}

// An unsupportedRequest is of a kind for which there is no gate yet. It must say what
// it is, and is judged as the worst that it could be.
type unsupportedRequest struct {
	Method string `json:"method"` // kubernetes
	Path   string `json:"path"`

	Command *string `json:"command"` // shell

	Server string `json:"server"` // mcp
	Tool   string `json:"tool"`

	Plan rawMember `json:"plan"` // terraform
}

// unsupported are the members that requests of kinds without a gate must have.
var unsupported = map[string][]struct {
	member string
	given  func(unsupportedRequest) bool
}{
	"kubernetes": {
		{"method", func(s unsupportedRequest) bool { return s.Method != "" }},
		{"path", func(s unsupportedRequest) bool { return s.Path != "" }},
	},
	"mcp":       {{"tool", func(s unsupportedRequest) bool { return s.Tool != "" }}},
	"shell":     {{"command", func(s unsupportedRequest) bool { return s.Command != nil }}},
	"terraform": {{"plan", func(s unsupportedRequest) bool { return len(s.Plan) > 0 }}},
}

// A Reader reads the requests of one scenario that are for gates of one kind, in
// their order: the JSON object of each. It may remember some for the next.
type Reader func(request json.RawMessage) (Native, error)

// A Native is a request in its protocol's own terms, which nobody sends.
type Native struct {
	// Target is what it would be for.
	Target string
	// Classify gives its actions, at least one, and what is called if they may run.
	// It is called when all before it in the scenario have been judged.
	Classify func() (actions []signalbox.Action, ran func())
}

// parse reads one line. The id is given back also with an error, if it could
// be read, so that the answer can carry it.
func (c Config) parse(line []byte) (scenario, signalbox.Actor, []request, error) {
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
	readers := make(map[string]Reader)
	for kind, begin := range c.Readers {
		readers[kind] = begin()
	}
	requests := make([]request, len(s.Requests))
	for i, raw := range s.Requests {
		if requests[i], err = parseRequest(raw, readers); err != nil {
			return s, who, nil, fmt.Errorf("request %d: %w", i, forPeople(err))
		}
	}
	return s, who, requests, nil
}

// parseRequest reads one request of a scenario.
func parseRequest(raw rawMember, readers map[string]Reader) (request, error) {
	var head struct {
		Gate string `json:"gate"`
	}
	if err := unmarshal(raw, &head); err != nil {
		return request{}, err
	}
	r := request{kind: head.Gate}
	var err error
	reader, known := readers[r.kind]
	_, named := unsupported[r.kind]
	switch {
	case r.kind == "":
		err = errors.New("gate is missing")
	case known:
		r.native, err = reader(raw)
	case named:
		r.native, err = readUnsupported(r.kind, raw)
	default:
		names := slices.AppendSeq(slices.Collect(maps.Keys(readers)), maps.Keys(unsupported))
		slices.Sort(names)
		names = slices.Compact(names)
		err = fmt.Errorf("gate %q is none of %s", r.kind, strings.Join(names, ", "))
	}
	return r, err
}

// readUnsupported reads a request that nobody here understands.
func readUnsupported(kind string, raw rawMember) (Native, error) {
	var s unsupportedRequest
	if err := json.Unmarshal(raw, &s); err != nil {
		return Native{}, err
	}
	for _, must := range unsupported[kind] {
		if !must.given(s) {
			return Native{}, fmt.Errorf("%s request without %q", kind, must.member)
		}
	}
	worst := signalbox.Worst(kind, fmt.Sprintf("requests of the %s gate are not understood yet, so the worst is assumed", kind))
	e := Native{Target: kind, Classify: func() ([]signalbox.Action, func()) {
		return []signalbox.Action{worst},
			func() {}
	}}
	if kind == "mcp" {
		e.Target = s.Server
	}
	return e, nil
}

// unmarshal is json.Unmarshal with errors for people, and without null for an
// object, which would leave everything empty.
func unmarshal(data []byte, v any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return errors.New("not a JSON object")
	}
	return forPeople(json.Unmarshal(data, v))
}

// forPeople says in other words what package json has found.
func forPeople(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("member %q cannot be a JSON %s", wrong.Field, wrong.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not JSON: %w", err)
	}
	return err
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
