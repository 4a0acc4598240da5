-- name: Control :one
SELECT epoch, policy, production FROM control WHERE id = 1;

-- name: Protection :one
SELECT protection FROM control WHERE id = 1;

-- name: SetProtection :exec
UPDATE control SET production = sqlc.arg(production), protection = sqlc.arg(protection) WHERE id = 1 AND protection = sqlc.arg(was);

-- name: RequireEpoch :many
SELECT epoch FROM control WHERE id = 1 AND epoch = $1;

-- name: RaiseEpoch :exec
UPDATE control SET epoch = epoch + 1 WHERE id = 1 AND epoch = $1;

-- name: SetPolicy :exec
UPDATE control SET policy = $1 WHERE id = 1;

-- name: AddSession :exec
INSERT INTO session (id, actor_kind, actor_name, actor_for, author, author_epoch, purpose, gates, started, expires, ended, epoch, wait)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: EndSession :exec
UPDATE session SET ended = sqlc.arg(ended) WHERE id = sqlc.arg(id) AND ended = 0;

-- name: Session :one
SELECT * FROM session WHERE id = $1;

-- name: Sessions :many
SELECT * FROM session ORDER BY started DESC, id DESC;

-- name: LiveSessions :many
SELECT s.* FROM session s JOIN person p ON p.name = s.author AND p.epoch = s.author_epoch
WHERE s.ended = 0 AND s.expires > sqlc.arg(now) ORDER BY s.started DESC, s.id DESC;

-- name: OpenSessionsOf :many
SELECT * FROM session WHERE author = sqlc.arg(author) AND ended = 0 AND expires > sqlc.arg(now)
ORDER BY started DESC, id DESC LIMIT sqlc.arg(most)::bigint;

-- name: RequireSession :many
SELECT s.id FROM session s JOIN person p ON p.name = s.author AND p.epoch = s.author_epoch
WHERE s.id = sqlc.arg(id) AND s.ended = 0 AND s.expires > sqlc.arg(now);

-- name: PutPerson :exec
INSERT INTO person (name, groups, admin, epoch, added) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET groups = excluded.groups, admin = excluded.admin, epoch = excluded.epoch, added = excluded.added;

-- name: RemovePerson :exec
DELETE FROM person WHERE name = $1;

-- name: Person :one
SELECT * FROM person WHERE name = $1;

-- name: RequirePerson :many
SELECT name FROM person WHERE name = sqlc.arg(name) AND epoch = sqlc.arg(epoch);

-- name: RequireAdmin :many
SELECT name FROM person WHERE name = sqlc.arg(name) AND epoch = sqlc.arg(epoch) AND admin = TRUE;

-- name: People :many
SELECT * FROM person ORDER BY name;

-- name: LiveHoldsOfKey :many
SELECT id FROM hold WHERE retry_key = $1 AND status IN ('open', 'approved');

-- name: AddHold :exec
INSERT INTO hold (id, retry_key, owner, status, opened, expires, confirmed, confirmed_epoch, intent, why, body, hidden, salt, context)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: RequireOpenHold :many
SELECT id FROM hold WHERE id = $1 AND status = 'open';

-- name: RequireLiveHold :many
SELECT id FROM hold WHERE id = sqlc.arg(id) AND status = sqlc.arg(status) AND expires > sqlc.arg(now);

-- name: AnswersBy :many
SELECT hold FROM answer WHERE hold = $1 AND author = $2 AND author_epoch = $3;

-- name: AddAnswer :exec
INSERT INTO answer (hold, author, author_epoch, yes, comment, made) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (hold, author) DO UPDATE SET
    author_epoch = excluded.author_epoch, yes = excluded.yes, comment = excluded.comment, made = excluded.made;

-- name: ConfirmHold :exec
UPDATE hold SET confirmed = TRUE, confirmed_epoch = sqlc.arg(epoch) WHERE id = sqlc.arg(id) AND status = 'open';

-- name: MoveHold :exec
UPDATE hold SET
    status  = sqlc.arg(status),
    expires = CASE WHEN sqlc.arg(expires)::bigint = 0 THEN expires ELSE sqlc.arg(expires)::bigint END,
    intent  = CASE WHEN sqlc.arg(intent)::text = '' THEN intent ELSE sqlc.arg(intent)::text END,
    why     = CASE WHEN sqlc.arg(why)::text = '' THEN why ELSE sqlc.arg(why)::text END
WHERE id = sqlc.arg(id) AND status = sqlc.arg(was);

-- name: EraseHold :exec
UPDATE hold SET hidden = '', salt = '', context = '' WHERE id = $1;

-- name: Hold :one
SELECT * FROM hold WHERE id = $1;

-- name: HoldByRetryKey :one
SELECT * FROM hold WHERE retry_key = $1 ORDER BY opened DESC, id DESC LIMIT 1;

-- name: Holds :many
SELECT * FROM hold ORDER BY opened DESC, id DESC LIMIT sqlc.arg(most)::bigint;

-- name: HoldsOfStatus :many
SELECT * FROM hold WHERE status = sqlc.arg(status) ORDER BY opened DESC, id DESC LIMIT sqlc.arg(most)::bigint;

-- name: LiveHoldsOf :many
SELECT * FROM hold WHERE owner = $1 AND status IN ('open', 'approved') ORDER BY opened DESC, id DESC;

-- name: Answers :many
SELECT author, author_epoch, yes, comment, made FROM answer WHERE hold = $1 ORDER BY made, author;

-- name: OpenHolds :one
SELECT COUNT(*) FROM hold WHERE owner = $1 AND status = 'open';

-- name: AddIntent :exec
INSERT INTO intent (id, session, subject, gate, target, replica, hold, retry_key, status, opened, settled, actions, touched)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: SettleIntent :exec
UPDATE intent SET status = sqlc.arg(status), settled = sqlc.arg(settled), touched = sqlc.arg(touched)
WHERE id = sqlc.arg(id) AND status = sqlc.arg(was);

-- name: Intent :one
SELECT * FROM intent WHERE id = $1;

-- name: LastIntent :one
SELECT * FROM intent WHERE retry_key = $1 ORDER BY opened DESC, id DESC LIMIT 1;

-- name: Orphans :many
SELECT i.* FROM intent i LEFT JOIN lease l ON l.replica = i.replica
WHERE i.status = 'open' AND (l.expires IS NULL OR l.expires < sqlc.arg(now))
ORDER BY i.opened, i.id LIMIT sqlc.arg(most)::bigint;

-- name: IntentsSince :many
SELECT * FROM intent WHERE subject = sqlc.arg(subject) AND opened >= sqlc.arg(since) ORDER BY opened, id;

-- name: SessionIntentsSince :many
SELECT * FROM intent WHERE session = sqlc.arg(session) AND opened >= sqlc.arg(since) ORDER BY opened, id;

-- name: Memory :one
SELECT version, made, data FROM memory WHERE subject = $1;

-- name: MemoriesOf :many
SELECT subject FROM memory WHERE subject = $1;

-- name: AddMemory :exec
INSERT INTO memory (subject, version, made, data) VALUES ($1, 1, $2, $3);

-- name: PutMemory :exec
UPDATE memory SET version = version + 1, made = sqlc.arg(made), data = sqlc.arg(data)
WHERE subject = sqlc.arg(subject) AND version = sqlc.arg(seen);

-- name: AddPolicySet :exec
INSERT INTO policy_set (version, files, status, author, made) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (version) DO UPDATE SET files = excluded.files, status = excluded.status, author = excluded.author, made = excluded.made;

-- name: RetirePolicySets :exec
UPDATE policy_set SET status = 'past' WHERE status = 'active';

-- name: MovePolicySet :exec
UPDATE policy_set SET status = sqlc.arg(status) WHERE version = sqlc.arg(version);

-- name: PolicySet :one
SELECT * FROM policy_set WHERE version = $1;

-- name: PolicySets :many
SELECT * FROM policy_set ORDER BY made DESC, version;

-- name: AddHalt :exec
INSERT INTO halt (scope, name, author, reason, made) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope, name) DO UPDATE SET author = excluded.author, reason = excluded.reason, made = excluded.made;

-- name: RemoveHalt :exec
DELETE FROM halt WHERE scope = $1 AND name = $2;

-- name: Halts :many
SELECT * FROM halt ORDER BY made, scope, name;

-- name: AddFreeze :exec
INSERT INTO freeze_window (id, environments, gates, starts, ends, author, reason, ended)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: EndFreeze :exec
UPDATE freeze_window SET ended = sqlc.arg(ended) WHERE id = sqlc.arg(id) AND ended = 0;

-- name: Freezes :many
SELECT * FROM freeze_window WHERE ended = 0 ORDER BY starts, id;

-- name: AddBreakGlass :exec
INSERT INTO break_glass (id, author, gates, verbs, reason, starts, expires, ended)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: EndBreakGlass :exec
UPDATE break_glass SET ended = sqlc.arg(ended) WHERE id = sqlc.arg(id) AND ended = 0;

-- name: BreakGlasses :many
SELECT * FROM break_glass WHERE ended = 0 ORDER BY starts, id;

-- name: Lease :exec
INSERT INTO lease (replica, expires) VALUES ($1, $2)
ON CONFLICT (replica) DO UPDATE SET expires = excluded.expires;

-- name: Register :exec
INSERT INTO lease (replica, expires, settings) VALUES ($1, $2, $3)
ON CONFLICT (replica) DO UPDATE SET expires = excluded.expires, settings = excluded.settings;

-- name: LiveReplicas :many
SELECT replica, expires, settings FROM lease WHERE replica <> sqlc.arg(self) AND expires > sqlc.arg(now) ORDER BY replica;

-- name: OtherReplicas :many
SELECT replica FROM lease WHERE replica <> sqlc.arg(self) AND expires > sqlc.arg(now);

-- name: OtherSettings :many
SELECT replica FROM lease
WHERE replica <> sqlc.arg(self) AND expires > sqlc.arg(now) AND settings <> '' AND settings <> sqlc.arg(settings);

-- name: AddConsole :exec
INSERT INTO console_session (hash, person, epoch, made, seen, expires) VALUES ($1, $2, $3, $4, $5, $6);

-- name: SeeConsole :exec
UPDATE console_session SET seen = sqlc.arg(seen) WHERE hash = sqlc.arg(hash);

-- name: EndConsole :exec
DELETE FROM console_session WHERE hash = $1;

-- name: TidyConsole :exec
DELETE FROM console_session WHERE expires <= sqlc.arg(now);

-- name: Console :one
SELECT * FROM console_session WHERE hash = $1;

-- name: KeepMaster :exec
INSERT INTO master (id, value) VALUES (1, $1) ON CONFLICT (id) DO NOTHING;

-- name: ReplaceMaster :exec
UPDATE master SET value = sqlc.arg(value) WHERE id = 1 AND value = sqlc.arg(was);

-- name: Master :one
SELECT value FROM master WHERE id = 1;
