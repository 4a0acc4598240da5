\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO customers (email) VALUES ('psql@example.com') RETURNING id;
INSERT INTO customers (email) VALUES ('psql@example.com');
UPDATE customers SET name = 'X' WHERE email = 'psql@example.com';
COMMIT;
CREATE TEMP TABLE incoming (payload jsonb);
\copy incoming (payload) FROM STDIN
{"p": 1}
{"p": 2}
\.
\d orders
\dt
\df
\set FETCH_COUNT 100
SELECT id FROM orders ORDER BY id LIMIT 5;
ALTER TABLE orders ADD COLUMN source text;
CREATE INDEX CONCURRENTLY orders_source ON orders (source);
SELECT id FROM jobs WHERE state = 'ready' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1;
EXPLAIN (COSTS off) SELECT * FROM orders WHERE id = 1;
