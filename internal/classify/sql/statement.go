package sql

import "github.com/signalbox-dev/signalbox"

// A Kind says what a gate has to do with a statement, besides asking policy.
type Kind int

// The kinds of statements.
const (
	KindUnknown    Kind = iota // could not be parsed or recognised: refuse, or forward only under a permit
	KindQuery                  // returns rows and writes nothing
	KindWrite                  // INSERT, UPDATE, DELETE, MERGE, or a query that writes
	KindUtility                // any other command
	KindBegin                  // BEGIN, START TRANSACTION
	KindCommit                 // COMMIT, END (also AND CHAIN)
	KindRollback               // ROLLBACK, ABORT (also AND CHAIN)
	KindSavepoint              // SAVEPOINT name
	KindRelease                // RELEASE SAVEPOINT name
	KindRollbackTo             // ROLLBACK TO SAVEPOINT name
	KindPrepareTx              // PREPARE TRANSACTION: the effects outlive the session
	KindCommitTx               // COMMIT PREPARED: effects prepared elsewhere, unseen
	KindRollbackTx             // ROLLBACK PREPARED
	KindSet                    // SET, RESET, SET TRANSACTION, SET ROLE …
	KindShow                   // SHOW
	KindPrepare                // PREPARE name
	KindExecute                // EXECUTE name
	KindDeallocate             // DEALLOCATE name or ALL
	KindDeclare                // DECLARE cursor
	KindFetch                  // FETCH, MOVE
	KindClose                  // CLOSE cursor or ALL
	KindCopyIn                 // COPY … FROM STDIN: the client sends data
	KindCopyOut                // COPY … TO STDOUT: the server sends data
	KindListen                 // LISTEN
	KindUnlisten               // UNLISTEN
	KindNotify                 // NOTIFY
	KindExplain                // EXPLAIN without ANALYZE
	KindDiscard                // DISCARD ALL, PLANS, SEQUENCES, TEMP
)

// A Statement is one statement of a text, classified.
type Statement struct {
	// Action names the statement: the gravest thing it does. More are the other
	// things it does (the CTEs of a WITH, the subcommands of an ALTER TABLE).
	Action signalbox.Action
	More   []signalbox.Action

	Kind Kind
	// Text is the statement's own piece of the source, without the semicolon.
	// It holds literals: never log it. What PREPARE wraps has its own, too.
	Text string
	// Offset is where Text begins in the source, in bytes.
	Offset int
	// Name is the prepared statement, savepoint, cursor, channel, global
	// transaction or setting that the command names, or empty. A query that
	// calls set_config has the setting's name here too, whatever its Kind.
	Name string
	// Value is what SET assigns, as PostgreSQL would show it; empty for RESET,
	// DEFAULT, and everything that is not a SET. May be secret.
	Value string
	// Local says that a SET lasts until the end of the transaction.
	Local bool
	// Params is the highest $n.
	Params int
	// ReadOnly says that the statement can run in a READ ONLY transaction and
	// does no harm there. False for a SELECT … FOR UPDATE, which only reads but
	// takes row locks that such a transaction refuses.
	ReadOnly bool
	// Lone says that PostgreSQL refuses the statement inside a transaction
	// block (VACUUM, CREATE DATABASE, CREATE INDEX CONCURRENTLY …).
	Lone bool
	// Reads and Writes are the relations read and written, base tables behind
	// views included, as "schema.name" where the schema is known. Sorted.
	Reads  []string
	Writes []string
	// Inner is the statement that a PREPARE, a DECLARE or an EXPLAIN has in its
	// own text, with its Text, whether or not it runs now; what was prepared, for
	// an EXECUTE; nil for others.
	Inner *Statement
	// Runs is the statement that runs when this one does, where that is not (or
	// not only) this one; nil for one that runs nothing but itself. It has Runs
	// of its own: see [Statement.Real]. It is
	//   - for EXECUTE, whatever was prepared under the name, by PREPARE or by a
	//     Parse message; a statement of KindUnknown if nobody knows;
	//   - for EXPLAIN ANALYZE, what it explains (of EXPLAIN ANALYZE DECLARE, the
	//     query); nil for an EXPLAIN that only plans;
	//   - for CREATE TABLE AS EXECUTE, what was prepared;
	//   - for FETCH and MOVE, what the cursor or portal was opened for, if the
	//     text or the [Session] knows it; nil if they do not, which says nothing:
	//     whoever lets unknown portals stand has to look them up;
	//   - for DECLARE, its query: planning may run some of it at once, WITH HOLD
	//     all of it at COMMIT.
	// PREPARE runs nothing: it has Inner alone. The Actions, the Reads, the Writes
	// and ReadOnly of a statement already cover what it runs, and each Action's
	// Native is that of what really runs ("LOCK TABLE", not "EXECUTE").
	Runs *Statement
	// Locks is how many calls of functions that take an advisory lock are written in
	// the statement.
	Locks int
	// Hold says that a DECLARE is WITH HOLD: the query runs to its end at COMMIT.
	Hold bool
}

// Real is what the statement comes down to: itself, or what it runs, at any depth.
// Every question of what a statement is (does it end a transaction, does it set
// something) has to be put to it, and not to s.Kind alone.
func (s *Statement) Real() *Statement {
	for s.Runs != nil {
		s = s.Runs
	}
	return s
}

// Chain lists the statement and everything that it runs, outermost first.
func (s *Statement) Chain() []*Statement {
	all := []*Statement{s}
	for s.Runs != nil {
		s = s.Runs
		all = append(all, s)
	}
	return all
}

// Actions lists everything that the statement does, the gravest first.
func (s Statement) Actions() []signalbox.Action {
	return append([]signalbox.Action{s.Action}, s.More...)
}

// A Result is the classification of one text, which may hold several statements.
type Result struct {
	// Statements has one element for each statement of the text, in order; one
	// of KindUnknown for a text that does not parse; none for an empty text.
	Statements []Statement
	// Shape is the text without comments and with every literal, and every
	// value of a SET, replaced by a placeholder. It may be logged.
	Shape string
	// Fingerprint names the shape: the same for texts that differ in literals,
	// blanks and comments alone.
	Fingerprint string
	// Literals are what was cut out of the shape, as written, in order. Secret.
	Literals []string
	// Err says why the text could not be parsed. PostgreSQL's message may quote
	// the text: secret like Literals.
	Err string
}

// Actions lists everything that the text does, statement by statement. It is
// empty for an empty text only.
func (r Result) Actions() []signalbox.Action {
	var all []signalbox.Action
	for _, s := range r.Statements {
		all = append(all, s.Actions()...)
	}
	return all
}

// ReadOnly reports whether every statement of the text is [Statement.ReadOnly].
func (r Result) ReadOnly() bool {
	for _, s := range r.Statements {
		if !s.ReadOnly {
			return false
		}
	}
	return true
}
