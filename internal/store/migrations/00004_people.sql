-- +goose Up
-- Who opened a session, answered or confirmed is bound to the epoch that he had
-- then: raised, he did none of it. What was there before has epoch 0, which
-- nobody has.
ALTER TABLE session ADD COLUMN author_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE answer ADD COLUMN author_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hold ADD COLUMN confirmed_epoch BIGINT NOT NULL DEFAULT 0;

-- Whether a gate stands, or stood, before production, and the settings that
-- protect it: JSON, empty before they were first recorded.
ALTER TABLE control ADD COLUMN production BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE control ADD COLUMN protection TEXT NOT NULL DEFAULT '';

-- By which settings a replica works: JSON, empty for an older program.
ALTER TABLE lease ADD COLUMN settings TEXT NOT NULL DEFAULT '';

-- Log-ins at the console. The secret itself is in the browser alone.
CREATE TABLE console_session (
    hash    TEXT PRIMARY KEY, -- SHA-256 of the secret, in hexadecimal
    person  TEXT   NOT NULL,
    epoch   BIGINT NOT NULL,
    made    BIGINT NOT NULL,
    seen    BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
