-- +goose Up
-- Whether what a session has held waits in the gate for its approvals.
ALTER TABLE session ADD COLUMN wait BOOLEAN NOT NULL DEFAULT FALSE;
