// Package pgwire is the gate in front of a PostgreSQL server: it speaks
// PostgreSQL's protocol 3.0 to clients on one side and to the server on the
// other, and lets nothing through that interlock did not admit.
//
// The one thing to know: one goroutine per client connection owns both of its
// sockets and works in lockstep. It reads what the client sends up to the next
// Sync, Flush or Query (a unit), has it decided, forwards the bytes as they came,
// and passes the server's answer back until the server is ready again. A unit of
// the extended protocol is decided and forwarded a group at a time (extended.go):
// a group ends where something has run that may change what the rest means. Nothing
// else touches the sockets, except the watcher that stands in while the connection
// is idle (watch.go) and whoever cuts it.
//
// A connection is four objects:
//
//   - [frontend] is the client: messages in and out. It knows no server.
//   - [backend] is the server: what it is asked, what it reported, and what its
//     names mean. It knows no client and no interlock.
//   - [txn] is what is provisional on the server: its phase, what was admitted in
//     it, and what its end may change back.
//   - [conn] joins the three with the interlock.
//
// # What may be sent
//
// All that is sent to the server passes [backend.write]. The phase of the
// transaction says what may be. Of an agent's:
//
//	phase           what is forwarded, by whom             what is refused
//	none            reads, READ ONLY by the connection's   a cursor WITH HOLD, unless it is
//	                default: forward                       declared by itself (0A000)
//	                one admitted request, whose end is
//	                final: runBlock, in a block of the
//	                gate's; runLone, if it cannot run in one
//	                one whose end is not final: provisional,
//	                which opens a block first (ours)
//	                a BEGIN, made READ WRITE: forwardControl
//	implicit        reads alone: forward                   a write (0A000): it could not be measured
//	ours            admitted requests: provisional;        a cursor WITH HOLD (0A000)
//	                at the Sync COMMIT, behind their
//	                intent: runBlock, commitOwn; or
//	                ROLLBACK, when something has failed
//	ours, reading   reads: forward                         -
//	block           admitted requests: provisional;        a cursor WITH HOLD (0A000)
//	                what cannot be undone, under an intent
//	                of its own: executeAtOnce
//	block, reading  reads: forward                         -
//	failed          what the client sends: the server      all but its end, by the server (25P02)
//	                refuses all but the end
//	committing      COMMIT, behind its intent: commit      the whole transaction, which is rolled back
//
// In each, what the interlock denies (42501), holds (SB001) or cannot decide or
// record (SB002) is refused as well.
//
// For other clients there is no READ ONLY default, and the phases that read do not
// occur. Their implicit transactions are forwarded as they come (runPlain), unless
// rows must be measured or something was approved, and writes may follow in an
// implicit one: they are provisional, and their intent comes before the Sync.
//
// What is refused is told as an error of the gate's with its SQLSTATE (errors.go),
// and the transaction fails at the server as the client now believes: see
// conn.refuse. When the connection to the server is lost, the client is told 08006
// if everything is rolled back by that, and 08007 if effects may have become final.
//
// Statements of the gate's own must succeed ([backend.ask]), or nothing goes on as
// if they had. [backend.try] leaves failures to its caller.
//
// What is only parsed, described or closed is forwarded with a Sync of ours where
// nothing of the unit has run: a driver that describes first finds no transaction
// begun when it binds. It is also forwarded when the client pauses before a Sync or
// Flush, since the server tells errors of Parse at once.
//
// # Five rules
//
// Attacks that succeeded made them. Each has one place that enforces it.
//
//  1. What a client sends is judged in the state in which it runs. A unit is cut
//     behind whatever may change what names, prepared statements or settings mean
//     (group, openForChanges); what runs something else is judged as what it runs
//     (checkExecutes); a Bind is judged as if it were executed, for planning runs
//     functions (runGroup); nothing waits for COMMIT to run (unsafeHere,
//     beforeCommit). TestNothingRunsUnderAnotherName.
//  2. An agent's backend is read-only unless something was admitted: by the
//     connection's default, and behind a savepoint within a transaction
//     (queueReading). What READ ONLY lets pass is a list, TestWhatReadOnlyLetsPass.
//     Before COMMIT the locks and row counts of the transaction are held against what
//     was admitted (audit): what nothing explains is undone, held, and told as an
//     alarm. TestWhatNothingAdmittedExplainsIsUndone, TestWhatIsAdmittedIsExplained.
//  3. Only execute makes effects final. A failed statement of the gate's own stops
//     what it was for (ask); a transaction that ended without us is unknown, with an
//     alarm (strayError); a COMMIT that was not answered is asked for on another
//     connection (settled). TestLostAtCommit, TestTerminatedCommitIsNeverFailed.
//  4. An approval binds all that the text reads: role, path, settings, what functions,
//     views, triggers and rules are made of (Probe, difference).
//  5. Everything is bounded, and each limit names itself (limits.go).
//
// # Where to read
//
// The files follow a connection's life: startup.go and scram.go let it in, conn.go
// is the loop, simple.go and extended.go make requests of units (steps.go says what
// their names mean, classified.go what their texts are), perform.go has a request
// decided, transaction.go begins and ends transactions, forward.go and copy.go send
// what was admitted, execute.go makes effects final, pump.go passes answers back,
// and end.go ends it. measure.go and probe.go measure what is touched, recheck.go
// looks at it again under locks, reads.go accounts for what was read. See the
// protocol's chapter in PostgreSQL's manual, "Frontend/Backend Protocol", for the
// messages.
package pgwire
