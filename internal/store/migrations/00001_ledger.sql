-- +goose Up
CREATE TABLE head (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    size       BIGINT NOT NULL,
    edge       BYTEA  NOT NULL, -- hashes of 32 bytes, one after another
    checkpoint BYTEA  NOT NULL,
    time       BIGINT NOT NULL
);
INSERT INTO head (id, size, edge, checkpoint, time) VALUES (1, 0, '', '', 0);

CREATE TABLE entry (
    idx  BIGINT PRIMARY KEY,
    id   TEXT   NOT NULL,
    leaf BYTEA  NOT NULL
);
CREATE UNIQUE INDEX entry_id ON entry (id);

-- What opens an entry's hidden fields. Erasing is deleting a row here.
CREATE TABLE secret (
    idx     BIGINT PRIMARY KEY,
    key     BYTEA NOT NULL,
    payload BYTEA NOT NULL
);

CREATE TABLE published (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    size       BIGINT NOT NULL,
    checkpoint BYTEA  NOT NULL
);
INSERT INTO published (id, size, checkpoint) VALUES (1, 0, '');
