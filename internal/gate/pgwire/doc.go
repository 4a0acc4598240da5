// Package pgwire is the gate in front of a PostgreSQL server: it speaks
// PostgreSQL's protocol 3.0 to clients on one side and to the server on the
// other, and lets nothing through that interlock did not admit.
//
// The one thing to know: one goroutine per client connection owns both of its
// sockets and works in lockstep. It reads what the client sends up to the next
// Sync, Flush or Query (a unit), has it judged as one request, forwards the
// bytes as they came, and pumps the server's answer back until the server is
// ready again. Nothing else touches the sockets, except the watcher that stands
// in while the connection is idle (watch.go) and whoever cuts it.
//
// The files follow a connection's life: startup.go and scram.go let it in,
// conn.go is the loop, simple.go and extended.go make requests of units,
// transaction.go settles them, upstream.go and pump.go talk to the server,
// execute.go makes effects final, ceiling.go and probe.go measure what is touched, reads.go accounts for what
// was read. See the protocol's chapter in PostgreSQL's manual, "Frontend/Backend
// Protocol", for the messages.
package pgwire
