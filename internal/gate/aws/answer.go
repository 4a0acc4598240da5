package aws

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
)

// maxAnswer is how much of the answer to a change is read before the outcome is
// told. What is longer has begun rightly, and streams after it.
const maxAnswer = 1 << 20

// An answer is what AWS said.
type answer struct {
	status   int
	header   http.Header
	head     []byte        // of the body: what was read of it so far
	rest     io.ReadCloser // of the body
	length   int64         // as announced; -1 if it was not
	complete bool          // head is all of it
	done     func()
}

func newAnswer(r *http.Response, t *track, done func()) *answer {
	return &answer{status: r.StatusCode, header: r.Header, rest: moving{r.Body, t}, length: r.ContentLength, done: done}
}

// moving tells that the answer moves.
type moving struct {
	io.ReadCloser
	t *track
}

// Read implements [io.Reader].
func (m moving) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.t.progress()
	return n, err
}

func (a *answer) close() {
	if a.rest != nil {
		a.rest.Close()
	}
	if a.done != nil {
		a.done()
	}
}

// read reads the body as far as it is looked at.
func (a *answer) read() error {
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(a.rest, maxAnswer+1))
	a.head = b.Bytes()
	a.complete = err == nil && n <= maxAnswer
	return err
}

// outcome reads the answer to a change and says what came of it.
func (x *exchange) outcome(c *call) (signalbox.Outcome, error) {
	a := x.answer
	if err := a.read(); err != nil {
		// The answer broke off. AWS has acted, or not: its first line is no proof.
		return signalbox.Outcome{Rows: signalbox.CountUnknown},
			fmt.Errorf("the answer (status %d) broke off: %w", a.status, err)
	}
	out := signalbox.Outcome{Result: signalbox.Done, Rows: signalbox.CountUnknown}
	code, message := "", ""
	if a.status >= 300 {
		code, message = x.serviceError()
	} else if x.op != nil && x.op.Service.Name == "s3" && a.complete {
		// S3 says 200 before it knows, where it takes long, and then what failed.
		code, message = lateError(a.head)
	}
	switch {
	case a.status < 300 && code == "":
		if x.body.stream != nil && x.sentAll {
			out.Detail = "payload SHA-256 " + x.body.actual()
		}
		return out, nil
	case a.status == http.StatusInternalServerError, a.status == http.StatusBadGateway,
		a.status == http.StatusGatewayTimeout, a.status < 300 && code == "InternalError":
		// The service could not say what it did. That is no failure to us.
		return signalbox.Outcome{Result: signalbox.ResultUnknown, Code: code, Detail: message,
				Rows: signalbox.CountUnknown},
			fmt.Errorf("AWS answered %d %s", a.status, code)
	}
	out.Result, out.Code, out.Detail, out.Rows = signalbox.Failed, code, message, 0
	return out, nil
}

// serviceError gives code and text of an error answer.
func (x *exchange) serviceError() (code, message string) {
	a := x.answer
	if x.op != nil {
		_, err := awswire.ReadAnswer(x.op, a.status, a.header, a.head)
		var e *awswire.ServiceError
		if errors.As(err, &e) && e.Code != "" {
			return e.Code, e.Message
		}
	}
	return fmt.Sprint(a.status), ""
}

// lateError gives the error in the body of an answer with status 200.
func lateError(body []byte) (code, message string) {
	d := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.Token()
		if err != nil {
			return "", ""
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Local != "Error" {
			return "", ""
		}
		var e struct{ Code, Message string }
		if d.DecodeElement(&e, &start) != nil || e.Code == "" {
			e.Code = "Error"
		}
		return e.Code, e.Message
	}
}

// hopByHop are the headers of an answer that speak of the connection alone.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Alt-Svc"}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// release passes the answer on to the client. A body that breaks off breaks off
// for the client as well.
func (x *exchange) release() error {
	a := x.answer
	h := x.w.Header()
	for _, named := range a.header["Connection"] {
		for name := range strings.SplitSeq(named, ",") {
			a.header.Del(strings.TrimSpace(name))
		}
	}
	for name, values := range a.header {
		if !slices.Contains(hopByHop, name) {
			h[name] = values
		}
	}
	if x.ctx.Err() != nil {
		clear(h)
		return context.Cause(x.ctx)
	}
	deadline := func() { x.line.writeBy(time.Now().Add(x.g.StallTimeout)) }
	deadline()
	defer func() { x.line.writeBy(time.Time{}) }() // the connection may serve another request
	// Halts cut what streams.
	defer x.g.during(x.ctx, func() { x.line.writeBy(longAgo) })()
	x.told = true
	x.w.WriteHeader(a.status)
	// To a 204, HTTP/2 refuses even a body of no bytes.
	if len(a.head) > 0 {
		if _, err := x.w.Write(a.head); err != nil {
			return http.ErrAbortHandler
		}
	}
	if a.complete {
		return nil
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := a.rest.Read(*buf)
		if n > 0 {
			deadline()
			if x.ctx.Err() != nil {
				return http.ErrAbortHandler
			}
			if _, werr := x.w.Write((*buf)[:n]); werr != nil {
				return http.ErrAbortHandler
			}
			if a.length < 0 && x.line.control.Flush() != nil {
				return http.ErrAbortHandler
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return http.ErrAbortHandler
		}
	}
}
