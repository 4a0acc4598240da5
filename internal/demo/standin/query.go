package standin

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// A refusal is an error of a service, as its clients read it.
type refusal struct {
	status  int
	code    string
	message string
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// invalid is what CloudFormation answers to most of what it does not do.
func invalid(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...)}
}

func notImplemented(what string) error {
	return &refusal{http.StatusNotImplemented, "NotImplemented", "the stand-in cloud has no " + what}
}

func (r *refusal) write(w http.ResponseWriter, service string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(r.status)
	type detail struct {
		Type    string `xml:",omitempty"`
		Code    string
		Message string
	}
	if service == "s3" {
		reply(w, "Error", "", detail{Code: r.code, Message: r.message})
		return
	}
	kind := "Sender"
	if r.status >= 500 {
		kind = "Receiver"
	}
	reply(w, "ErrorResponse", "", struct {
		Error     detail
		RequestID string `xml:"RequestId"`
	}{detail{kind, r.code, r.message}, requestID})
}

// requestID stands in every answer; nobody looks requests up here.
const requestID = "00000000-0000-4000-8000-000000000000"

// reply writes an XML document. A client that hung up gets nothing.
func reply(w http.ResponseWriter, name, namespace string, document any) {
	e := xml.NewEncoder(w)
	_ = e.EncodeElement(document, xml.StartElement{Name: xml.Name{Local: name, Space: namespace}})
}

// serveQuery answers a request in AWS's query protocol: parameters in a form,
// an operation that gives a result to be written as XML.
func (c *Cloud) serveQuery(w http.ResponseWriter, r *http.Request, q signed, version, namespace string,
	operation func(name string, p url.Values) (any, error)) error {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return notImplemented(r.Method + " " + r.URL.Path)
	}
	p, err := url.ParseQuery(string(q.body))
	if err != nil || p.Get("Version") != version {
		return &refusal{http.StatusBadRequest, "InvalidAction",
			fmt.Sprintf("no form with an Action of version %s", version)}
	}
	name := p.Get("Action")
	c.trail = append(c.trail, Event{q.caller, q.service + ":" + name})
	result, err := operation(name, p)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/xml")
	var document struct {
		Result   any
		Metadata struct {
			RequestID string `xml:"RequestId"`
		} `xml:"ResponseMetadata"`
	}
	document.Result, document.Metadata.RequestID = named{name + "Result", result}, requestID
	reply(w, name+"Response", namespace, document)
	return nil
}

// named is a value that is written under a name of its own.
type named struct {
	name  string
	value any
}

// MarshalXML implements [xml.Marshaler].
func (n named) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(n.value, xml.StartElement{Name: xml.Name{Local: n.name}})
}

// members gives the parameters of a list, "Prefix.member.1" and on, each with
// its own name cut to what follows the number.
func members(p url.Values, prefix string) []url.Values {
	var list []url.Values
	for i := 1; ; i++ {
		at := fmt.Sprintf("%s.member.%d", prefix, i)
		m := url.Values{}
		for name, values := range p {
			if name == at {
				m[""] = values
			} else if rest, ok := strings.CutPrefix(name, at+"."); ok {
				m[rest] = values
			}
		}
		if len(m) == 0 {
			return list
		}
		list = append(list, m)
	}
}
