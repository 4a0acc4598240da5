// Package postgres is the public bypass suite of the gate for PostgreSQL: attempts
// to have an effect on the database that the gate did not admit.
//
// The one thing to know: the database is the oracle. Each attack is played by an
// agent's session through a whole Signalbox with the default policies, at a gate of
// production, in front of a real server. A superuser looks at the server before and
// after: rows, catalogs, sequences, large objects, roles and their settings, files,
// locks, other backends, notifications, the log of changes. Whatever differs must
// be named by an intent, and must be among what the attack says that policy lets
// pass. Nothing else counts, whatever the client was told.
//
// # The files
//
// attacks/KIND.txt holds attacks, one behind the other:
//
//	-- ID: what it tries
//	as superuser                     the gate's role at the server is one
//	who human                        instead of an agent
//	may content of table public.log  what policy lets pass; "… by 6": up to 6 rows more or fewer
//	harmless WHY                     why it has no effect straight to a server
//	P c COMMIT                       steps follow, a line each
//	S
//	Q BEGIN
//
// A line that begins with two blanks continues the step before it. "2 Q SELECT 1"
// is done on the second connection, "x40 Q …" forty times, with {n} counting. "-" is
// the empty name. The steps:
//
//	open [k=v …]       a new connection, with parameters of the start packet
//	Q, q SQL           a simple query, waited for or not
//	P name SQL         Parse
//	B portal name [p…] Bind, parameters as text
//	E portal [rows]    Execute
//	X SQL              Parse, Bind and Execute of the unnamed
//	D, C S|P name      Describe, Close
//	S, s, H            Sync, waited for or not; Flush
//	W                  wait for the answers that are due
//	d text, c, f       CopyData, CopyDone, CopyFail
//	F oid [p…]         the fast-path call of a function
//	raw hex            bytes
//	hangup, terminate  close the socket; say good-bye first
//	cancel             a cancel request for the connection
//	kill               the server ends what it has of the gate
//	approve            bob and carol approve the last hold
//	halt               root halts the session
//	aside SQL          a superuser, behind the gate's back; what it does counts as there before
//	until SQL          wait until a superuser gets true for it
//
// {pad:N} is N times the letter x, {dir} a folder in which the server may write,
// {dsn} leads straight to the database as a superuser, by {name}, {port}, {password}.
// {cr} is a carriage return.
package postgres
