// Package pgwire is the gate in front of a PostgreSQL server: it speaks
// PostgreSQL's protocol 3.0 to clients on one side and to the server on the
// other, and lets nothing through that interlock did not admit.
//
// The one thing to know: one goroutine per client connection owns both of its
// sockets and works in lockstep. It reads what the client sends up to the next
// Sync, Flush or Query (a unit), has it judged, forwards the bytes as they came,
// and pumps the server's answer back until the server is ready again. A unit of
// the extended protocol is judged and forwarded a group at a time (extended.go):
// a group ends where something has run that may change what the rest means. Nothing else touches the sockets, except the watcher that stands
// in while the connection is idle (watch.go) and whoever cuts it.
//
// What the server is in, as far as an agent is concerned, and what may be sent:
//
//	idle             reads: they run READ ONLY by the connection's default
//	idle             writes: in a block of ours, opened for one admitted request
//	implicit, begun  part of a unit has run, its Sync is due: reads alone
//	opened           a block of ours around the client's implicit transaction
//	block            the client's own: admitted writes, provisional to its COMMIT
//	block, shielded  reads: READ ONLY behind a savepoint of ours
//	failed           what ends or rolls back; the server refuses the rest
//
// Statements of the gate's own (ask, in upstream.go) must succeed, or nothing
// goes on as if they had. Only send, in transaction.go, forwards what clients sent.
//
// The files follow a connection's life: startup.go and scram.go let it in,
// conn.go is the loop, simple.go and extended.go make requests of units,
// transaction.go settles them, upstream.go and pump.go talk to the server,
// execute.go makes effects final, ceiling.go and probe.go measure what is touched, reads.go accounts for what
// was read. See the protocol's chapter in PostgreSQL's manual, "Frontend/Backend
// Protocol", for the messages.
package pgwire
