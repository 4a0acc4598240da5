package awswire

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// WriteError gives the body of an error answer to the request, in the shape of
// its service and protocol, and sets the headers that belong to it. SDKs then
// show code and message as if the service had said them. With o nil, for requests
// that nobody could name, the shape is what the request's client most likely
// reads.
func WriteError(r Request, o *Operation, h http.Header, status int, code, message, requestID string) []byte {
	body, contentType := "", "text/xml"
	p, s := spoken(r, o)
	switch {
	case p == EC2:
		body = fmt.Sprintf("<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>",
			escapeXML(code), escapeXML(message), escapeXML(requestID))
	case p == RestXML && s.Name == "s3":
		body = fmt.Sprintf("<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>",
			escapeXML(code), escapeXML(message), escapeXML(requestID))
		contentType = "application/xml"
		h.Set("X-Amz-Request-Id", requestID)
	case p == Query, p == RestXML:
		who := "Sender"
		if status >= 500 {
			who = "Receiver"
		}
		body = fmt.Sprintf("<ErrorResponse xmlns=\"%s\"><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>",
			escapeXML(s.namespace), who, escapeXML(code), escapeXML(message), escapeXML(requestID))
	case p == CBOR:
		b := appendHead(nil, cborMap, 2)
		for _, t := range []string{"__type", code, "message", message} {
			b = append(appendHead(b, cborText, uint64(len(t))), t...)
		}
		body, contentType = string(b), "application/cbor"
		h.Set("Smithy-Protocol", string(CBOR))
	default:
		// Marshalling texts cannot fail. Some services spell it Message.
		b, _ := json.Marshal(map[string]string{"__type": code, "message": message, "Message": message})
		body, contentType = string(b), "application/json"
		if p == JSON {
			contentType = "application/x-amz-json-" + cmp.Or(s.JSONVersion, "1.0")
		}
		h.Set("X-Amzn-Errortype", code)
	}
	if contentType == "text/xml" || contentType == "application/xml" {
		body = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + body
	}
	h.Set("X-Amzn-Requestid", requestID)
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return []byte(body)
}

// spoken says which protocol the client of a request reads, and whose.
func spoken(r Request, o *Operation) (Protocol, *Service) {
	if o != nil {
		return protocolOf(o, &r), o.Service
	}
	s := &Service{Protocol: RestJSON}
	if all := table().bySigning[r.SigningName]; len(all) > 0 {
		s = all[0]
	}
	switch {
	case r.Header.Get("Smithy-Protocol") != "":
		return CBOR, s
	case r.Header.Get("X-Amz-Target") != "":
		return JSON, s
	case s.Protocol == EC2, s.Protocol == RestXML:
		return s.Protocol, s
	case r.Method == http.MethodPost && r.Header.Get("Content-Type") != "" && isForm(r.Header):
		return Query, s
	}
	return s.Protocol, s
}
