package pgwire

import (
	"io"
	"net"
	"time"
)

// A frontend is the client's side of a connection: its messages in and out. It
// knows nothing of the server or of the interlock. The goroutine of the client's
// connection owns it, and lends it to the watcher while idle; others may set the
// deadlines of conn.
type frontend struct {
	conn    net.Conn
	in      frames // reads by Read
	out     outbox
	params  map[string]string // as the client was told
	status  byte              // transaction status as of the last ReadyForQuery told
	skips   bool              // an error was told: what comes is skipped to a Sync
	copying bool              // a COPY runs: the server is listened to while the client is
	notices []byte            // notifications that came while the client was served: see ready

	// Called before the client is waited for, and when it has spoken.
	idle, busy func()
}

// Read is the source of in: the client's socket. Before waiting for the client it
// sends what the client waits for.
func (f *frontend) Read(p []byte) (int, error) {
	if err := f.out.flush(); err != nil {
		return 0, err
	}
	if f.copying {
		return f.conn.Read(p) // not idle: a watcher would take the COPY's answer
	}
	f.idle()
	n, err := f.conn.Read(p)
	f.busy()
	return n, err
}

// write gives the client whole messages, with what goes out next.
func (f *frontend) write(messages []byte) { f.out.write(messages) }

// flush sends what was written.
func (f *frontend) flush() error { return f.out.flush() }

// refuse tells the client an error.
func (f *frontend) refuse(r *refusal) { f.out.write(r.encode()) }

// parameter tells the client a parameter of the server.
func (f *frontend) parameter(name, value string) {
	f.params[name] = value
	f.out.write(appendParameterStatus(nil, name, value))
}

// notify keeps a notification until the client is told that it may go on, as the
// server does: those of its own come behind the answer to NOTIFY or COMMIT.
func (f *frontend) notify(raw []byte) { f.notices = append(f.notices, raw...) }

// ready tells the client that the next query may come.
func (f *frontend) ready(status byte) {
	if len(f.notices) > 0 {
		f.out.write(f.notices)
		f.notices = nil
	}
	f.status = status
	f.skips = false
	f.out.write(readyForQuery(status))
}

// wake has a read of the client end at once. It may be called by others.
func (f *frontend) wake() { f.conn.SetReadDeadline(past) }

// past is a deadline that makes whoever waits return.
var past = time.Unix(1, 0)

// hangUpDelay is how long a client that waited for people is listened to before its
// request is forwarded: for the news that it has hung up to arrive.
const hangUpDelay = 50 * time.Millisecond

// present looks whether the client has hung up. What it has sent meanwhile stays in
// the buffer. The caller sets the deadline for reads again.
func (f *frontend) present() bool {
	f.conn.SetReadDeadline(time.Now().Add(hangUpDelay))
	err := f.in.fill(f.in.buffered() + 1)
	return err == nil || timedOut(err)
}

// pauseDelay is how long an unfinished unit is waited for before what it has parsed
// is forwarded: the server tells errors of Parse at once, and drivers wait for them.
const pauseDelay = 5 * time.Millisecond

// pauses reports whether the client sends nothing for a moment. The caller sets the
// deadline for reads again.
func (f *frontend) pauses() (bool, error) {
	f.conn.SetReadDeadline(time.Now().Add(pauseDelay))
	err := f.in.fill(f.in.buffered() + 1)
	if timedOut(err) {
		return true, nil
	}
	return false, err
}

// hangUp closes the client's connection in a way that lets what was said last
// arrive. TCP throws it away when the client has sent what nobody read, as one
// has that is turned away in the middle of a message.
func (f *frontend) hangUp() {
	if w, ok := f.conn.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		f.conn.SetReadDeadline(time.Now().Add(time.Second))
		io.CopyN(io.Discard, f.conn, 256<<10) // the client's end, or an error that is one
	}
	f.conn.Close()
}
