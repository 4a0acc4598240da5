-- name: Head :one
SELECT size, edge, checkpoint, time FROM head WHERE id = 1;

-- name: LockHead :one
SELECT size, edge, checkpoint, time FROM head WHERE id = 1 FOR UPDATE;

-- name: SetHead :execrows
UPDATE head SET size = $1, edge = $2, checkpoint = $3, time = $4 WHERE id = 1;

-- name: AddEntry :exec
INSERT INTO entry (idx, id, leaf) VALUES ($1, $2, $3);

-- name: AddSecret :exec
INSERT INTO secret (idx, key, payload) VALUES ($1, $2, $3);

-- name: FindEntry :one
SELECT idx FROM entry WHERE id = $1;

-- name: Entries :many
SELECT idx, id, leaf FROM entry WHERE idx >= sqlc.arg(low) AND idx < sqlc.arg(high) ORDER BY idx;

-- name: Secret :one
SELECT key, payload FROM secret WHERE idx = $1;

-- name: Published :one
SELECT size, checkpoint FROM published WHERE id = 1;

-- name: Publish :execrows
UPDATE published SET size = sqlc.arg(size), checkpoint = sqlc.arg(checkpoint) WHERE id = 1 AND size = sqlc.arg(old);

-- name: EraseSecret :exec
DELETE FROM secret WHERE idx = $1;
