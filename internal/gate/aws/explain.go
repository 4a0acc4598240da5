package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/explain"
)

// described is a call as the CLI's `--cli-input-json` describes it: members in the
// API's names.
type described struct {
	Service    string          `json:"service"`
	Operation  string          `json:"operation"`
	Region     string          `json:"region"`
	Parameters json.RawMessage `json:"parameters"`
}

// explainer reads calls. One does not change what the next means.
func reader() explain.Reader {
	return func(request json.RawMessage) (explain.Native, error) {
		var d described
		if err := json.Unmarshal(request, &d); err != nil {
			return explain.Native{}, err
		}
		switch {
		case d.Service == "":
			return explain.Native{}, errors.New(`aws request without "service"`)
		case d.Operation == "":
			return explain.Native{}, errors.New(`aws request without "operation"`)
		}
		return explain.Native{Target: d.Service,
			Classify: func() ([]signalbox.Action, func()) { return d.actions(), func() {} }}, nil
	}
}

func (d described) actions() []signalbox.Action {
	parameters, err := readParameters(d.Parameters)
	if err != nil {
		return []signalbox.Action{signalbox.Worst(d.Service+":"+d.Operation,
			fmt.Sprintf("its parameters cannot be read: %v", err))}
	}
	c := aws.Call{Service: d.Service, Operation: d.Operation, Region: d.Region, Parameters: parameters, Payload: -1}
	if op, ok := awswire.Find(d.Service, d.Operation); ok {
		// What streams is no parameter on the wire: the gate knows its length alone.
		if member, streams := op.Streaming(); streams {
			if text, ok := parameters[member].(string); ok {
				c.Payload = int64(len(text))
			}
			delete(parameters, member)
		}
	}
	return aws.Classify(c)
}

// readParameters reads an object with numbers as they stand. A member that occurs
// twice means one thing to one reader and another to the next: it is refused.
func readParameters(raw json.RawMessage) (map[string]any, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	v, err := readOnce(d)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	if _, ok := m[""]; ok {
		return nil, errors.New("a member without a name")
	}
	return m, nil
}

// readOnce reads a value; the line that it is in was valid JSON, which bounds
// how deep it nests.
func readOnce(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		m := map[string]any{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ := k.(string)
			if _, twice := m[name]; twice {
				return nil, fmt.Errorf("member %q occurs twice", name)
			}
			if m[name], err = readOnce(d); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return m, err
	case json.Delim('['):
		l := []any{}
		for d.More() {
			v, err := readOnce(d)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		_, err := d.Token()
		return l, err
	}
	return t, nil
}
