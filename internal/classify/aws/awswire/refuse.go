package awswire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strconv"

	"fmt"
)

// WriteError gives the body of an error answer in the operation's service's own
// shape, and sets the headers that belong to it. SDKs then show code and message
// as if the service had said them. With o nil, for requests that nobody could
// name, the shape is JSON's.
func WriteError(o *Operation, h http.Header, status int, code, message, requestID string) []byte {
	protocol := JSON
	if o != nil {
		protocol = o.Service.Protocol
	}
	who := "Sender"
	if status >= 500 {
		who = "Receiver"
	}
	text := func(s string) string {
		var b bytes.Buffer
		xml.EscapeText(&b, []byte(s)) // a buffer takes everything
		return b.String()
	}
	var body string
	switch {
	case protocol == EC2:
		body = fmt.Sprintf("<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>",
			text(code), text(message), text(requestID))
		h.Set("X-Amzn-Requestid", requestID)
	case protocol == RestXML && o.Service.Name == "s3":
		body = fmt.Sprintf("<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>",
			text(code), text(message), text(requestID))
		h.Set("X-Amz-Request-Id", requestID)
	case protocol == Query, protocol == RestXML:
		space := ""
		if o.Service.namespace != "" {
			space = fmt.Sprintf(" xmlns=%q", o.Service.namespace)
		}
		body = fmt.Sprintf("<ErrorResponse%s><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>",
			space, who, text(code), text(message), text(requestID))
		h.Set("X-Amzn-Requestid", requestID)
	default:
		// Marshalling texts cannot fail.
		b, _ := json.Marshal(map[string]string{"__type": code, "message": message, "Message": message})
		h.Set("X-Amzn-Errortype", code)
		h.Set("X-Amzn-Requestid", requestID)
		contentType := "application/json"
		if o != nil && protocol == JSON {
			contentType = "application/x-amz-json-" + o.Service.JSONVersion
		}
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.Itoa(len(b)))
		return b
	}
	body = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + body
	h.Set("Content-Type", "text/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return []byte(body)
}
