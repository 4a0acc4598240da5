// Package ledger keeps the log: it puts state changes and log entries into one
// transaction with the Merkle tree head and the signed checkpoint, and
// publishes the log in the C2SP tlog-tiles form that outsiders verify.
//
// The one thing to know before using it: a [Batch] is prepared beforehand and
// carried out later, by the one goroutine that sequences. Read first, decide,
// then give [Log.Commit] conditional statements that hold only if what was
// read still stands; when it does not, the batch is undone alone with
// [ErrStale] and its caller decides again. When Commit returns without an
// error, the changes are durable and the entries stand under a signed
// checkpoint.
//
// The order of durable steps. Commit is one database transaction: head row
// locked, changes, entries, new head with its checkpoint. The publisher
// follows behind: it hashes the committed rows again, writes entry bundles and
// hash tiles, advances the published row if nobody else did, and writes the
// file "checkpoint" last. What it writes is a function of the rows alone, so a
// crash anywhere leaves nothing to repair but the next step.
package ledger
