-- +goose Up
-- What tells whether a server has the master key that this database was begun
-- with: a derivation, of no use for anything else. No row before the first start.
CREATE TABLE master (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    value BYTEA NOT NULL
);
