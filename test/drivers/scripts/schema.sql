-- What is there before the work begins.
CREATE TABLE customers (id bigserial PRIMARY KEY, email text UNIQUE NOT NULL, name text NOT NULL DEFAULT '');
CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
	state text NOT NULL DEFAULT 'new', total numeric(10,2) NOT NULL DEFAULT 0, note text);
CREATE TABLE jobs (id bigserial PRIMARY KEY, state text NOT NULL DEFAULT 'ready', attempts int NOT NULL DEFAULT 0,
	payload jsonb NOT NULL DEFAULT '{}');
INSERT INTO customers (email, name) SELECT 'c' || g || '@example.com', 'Customer ' || g FROM generate_series(1, 200) g;
INSERT INTO orders (customer_id, total) SELECT 1 + g % 200, g FROM generate_series(1, 1000) g;
INSERT INTO jobs (payload) SELECT jsonb_build_object('n', g) FROM generate_series(1, 50) g;
ANALYZE;
