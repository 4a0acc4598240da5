// Package sql says what a text of PostgreSQL's SQL does, without running it.
//
// The one thing to know: it fails towards the worst. A text that PostgreSQL's
// own parser does not accept, a kind of node that is not listed here, a function
// that PostgreSQL did not ship, a selection that leaves nothing out: each is
// taken for the worst that it could be, and a new version of the grammar changes
// nothing about that. What is harmless stands on a list that somebody read.
//
// # How a text is judged
//
// [Classify] parses the text and walks every node of every statement, since the
// kind of a statement alone says little: a SELECT may delete in a WITH, call a
// function, or fill a table. A [Statement] has one [signalbox.Action] that names
// it, the gravest, and the others beside it.
//
//   - Functions. functions.txt holds every volatile function of pg_catalog and what
//     it does, reviewed by hand; builtins.txt those that only compute; extensions.txt
//     those of well-known extensions that only compute. Any other is code of unknown
//     effect. A name is trusted only if nothing outside pg_catalog bears it, as far
//     as the [Catalog] tells; the same holds for operators.
//   - Selections. A WHERE is weighed: rows named by a key, a bounded selection, one
//     that is open on a side (a range, a pattern, a negation), or everything. Equality
//     with constants on a unique key is a key; without a catalog a column's name has
//     to tell. A condition that says nothing of the rows counts for everything, and so
//     does one that is always true. Columns of other relations count only as far as an
//     equality links them to the target.
//   - Loss. DROP, TRUNCATE and DELETE delete; so do DROP COLUMN and DETACH PARTITION.
//     A change of type that may cut values has [signalbox.TraitDataLoss].
//   - Safeguards. Constraints, triggers, row security, audit tables, replication,
//     evidence, and the settings that switch protections off.
//   - Code that acts later: functions, triggers, rules, operators, casts.
//   - Settings of the session are reads, but those that change who acts, what names
//     mean, how statements are read, or what is protected.
//
// # Several statements, and sessions
//
// The statements of one text are judged in order: a PREPARE gives its EXECUTE a
// meaning, a CREATE TEMP TABLE its DROP, a SET search_path the names after it. A
// [Session] carries prepared statements from text to text. Whatever cannot be
// followed makes names mean the worse of what they could.
//
// # What may be shown
//
// [Result.Shape] comes from our own lexer, which the tests hold against
// PostgreSQL's: it has no literal, no comment, no body of code, and no value of a
// SET. A text that did not parse shows nothing, for it may be a pasted secret.
//
// # What is not seen
//
// What a trigger does, what a user's function does, which columns a relation has,
// casts that the server adds by itself, and how many rows there are. Against the
// last, the gate puts a ceiling.
package sql
