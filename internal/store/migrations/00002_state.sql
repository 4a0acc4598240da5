-- +goose Up
CREATE TABLE control (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    epoch  BIGINT NOT NULL,
    policy TEXT   NOT NULL
);
INSERT INTO control (id, epoch, policy) VALUES (1, 1, '');

CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    actor_kind TEXT   NOT NULL,
    actor_name TEXT   NOT NULL,
    actor_for  TEXT   NOT NULL,
    author     TEXT   NOT NULL, -- the human who opened it
    purpose    TEXT   NOT NULL,
    gates      TEXT   NOT NULL, -- JSON
    started    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    ended      BIGINT NOT NULL, -- 0 while it lives
    epoch      BIGINT NOT NULL
);
CREATE INDEX session_live ON session (ended, expires);

CREATE TABLE person (
    name    TEXT PRIMARY KEY,
    groups  TEXT    NOT NULL, -- JSON
    admin   BOOLEAN NOT NULL,
    epoch   BIGINT  NOT NULL,
    added   BIGINT  NOT NULL
);

CREATE TABLE hold (
    id        TEXT PRIMARY KEY,
    retry_key TEXT    NOT NULL,
    owner     TEXT    NOT NULL,
    status    TEXT    NOT NULL,
    opened    BIGINT  NOT NULL,
    expires   BIGINT  NOT NULL,
    confirmed BOOLEAN NOT NULL,
    intent    TEXT    NOT NULL,
    why       TEXT    NOT NULL,
    body      TEXT    NOT NULL, -- JSON of what never changes and hides nothing
    hidden    TEXT    NOT NULL, -- JSON; empty once erased
    salt      BYTEA   NOT NULL,
    context   BYTEA   NOT NULL
);
CREATE INDEX hold_retry_key ON hold (retry_key, opened);
CREATE INDEX hold_status ON hold (status, opened);
CREATE INDEX hold_owner ON hold (owner, status);

CREATE TABLE answer (
    hold    TEXT    NOT NULL,
    author  TEXT    NOT NULL,
    yes     BOOLEAN NOT NULL,
    comment TEXT    NOT NULL,
    made    BIGINT  NOT NULL,
    PRIMARY KEY (hold, author)
);

CREATE TABLE intent (
    id        TEXT PRIMARY KEY,
    session   TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    gate      TEXT   NOT NULL,
    target    TEXT   NOT NULL,
    replica   TEXT   NOT NULL,
    hold      TEXT   NOT NULL,
    retry_key TEXT   NOT NULL,
    status    TEXT   NOT NULL,
    opened    BIGINT NOT NULL,
    settled   BIGINT NOT NULL, -- 0 while open
    actions   TEXT   NOT NULL, -- JSON
    touched   TEXT   NOT NULL  -- JSON
);
CREATE INDEX intent_retry_key ON intent (retry_key, opened);
CREATE INDEX intent_subject ON intent (subject, opened);
CREATE INDEX intent_session ON intent (session, opened);
CREATE INDEX intent_open ON intent (opened) WHERE status = 'open';

CREATE TABLE memory (
    subject TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    made    BIGINT NOT NULL,
    data    BYTEA  NOT NULL
);

CREATE TABLE policy_set (
    version TEXT PRIMARY KEY,
    files   BYTEA  NOT NULL,
    status  TEXT   NOT NULL,
    author  TEXT   NOT NULL,
    made    BIGINT NOT NULL
);

CREATE TABLE halt (
    scope  TEXT   NOT NULL,
    name   TEXT   NOT NULL,
    author TEXT   NOT NULL,
    reason TEXT   NOT NULL,
    made   BIGINT NOT NULL,
    PRIMARY KEY (scope, name)
);

CREATE TABLE freeze_window (
    id           TEXT PRIMARY KEY,
    environments TEXT   NOT NULL, -- JSON
    gates        TEXT   NOT NULL, -- JSON
    starts       BIGINT NOT NULL,
    ends         BIGINT NOT NULL,
    author       TEXT   NOT NULL,
    reason       TEXT   NOT NULL,
    ended        BIGINT NOT NULL -- 0 unless ended early
);

CREATE TABLE break_glass (
    id      TEXT PRIMARY KEY,
    author  TEXT   NOT NULL,
    gates   TEXT   NOT NULL, -- JSON
    verbs   TEXT   NOT NULL, -- JSON
    reason  TEXT   NOT NULL,
    starts  BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    ended   BIGINT NOT NULL -- 0 unless ended early
);

CREATE TABLE lease (
    replica TEXT PRIMARY KEY,
    expires BIGINT NOT NULL
);
