// Package store keeps the state and the log in one database: SQLite in a
// folder, or PostgreSQL where one machine is not enough.
//
// The one thing to know: SQL is written once. Queries in queries/ are
// generated for pgx by sqlc into package db and run on SQLite through package
// litepgx; the same migrations run on both; one conformance suite, storetest,
// runs on both. Rules that keep it so: identifiers are TEXT, times BIGINT
// milliseconds written by the application (0 is no time), JSON stands in TEXT,
// bytes in BYTEA, no column is NULL, no functions of one database, no arrays.
// The exception is the sequencer's own transaction, which is tuned to each
// database (sqlite.go, postgres.go).
//
// Reads go straight to the database. Changes are prepared as
// [ledger.Statement] values, by recording what the generated code would have
// executed (record.go), and carried out by the ledger's sequencer.
package store

//go:generate ../../.cache/bin/sqlc generate
