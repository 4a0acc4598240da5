import psycopg2
import psycopg2.extras

conn = psycopg2.connect("")
with conn, conn.cursor() as cur:
    cur.execute("SELECT count(*) FROM customers WHERE id <= %s", (10,))
    print(cur.fetchone())
    cur.execute("INSERT INTO customers (email) VALUES (%s) RETURNING id", ("psycopg2@example.com",))
    print(cur.fetchone())
try:
    with conn, conn.cursor() as cur:
        cur.execute("INSERT INTO customers (email) VALUES (%s)", ("psycopg2@example.com",))
except psycopg2.errors.UniqueViolation as e:
    print(e.pgcode)
with conn, conn.cursor() as cur:
    cur.execute("SAVEPOINT a")
    try:
        cur.execute("INSERT INTO customers (email) VALUES (%s)", ("psycopg2@example.com",))
    except psycopg2.errors.UniqueViolation:
        cur.execute("ROLLBACK TO SAVEPOINT a")
    cur.execute("UPDATE customers SET name = %s WHERE email = %s", ("P", "psycopg2@example.com"))
    print(cur.rowcount)
with conn, conn.cursor("named") as cur:
    cur.itersize = 20
    cur.execute("SELECT id FROM orders ORDER BY id LIMIT 50")
    print(sum(r[0] for r in cur))
with conn, conn.cursor() as cur:
    psycopg2.extras.execute_values(cur, "INSERT INTO jobs (payload) VALUES %s",
                                   [(psycopg2.extras.Json({"v": i}),) for i in range(20)])
    print(cur.rowcount)
conn.autocommit = True
with conn.cursor() as cur:
    # A job queue: one is taken, worked on and put away.
    for _ in range(3):
        cur.execute("""UPDATE jobs SET state = 'running', attempts = attempts + 1 WHERE id = (
            SELECT id FROM jobs WHERE state = 'ready' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1)
            RETURNING id, payload""")
        job = cur.fetchone()
        print(job)
        cur.execute("UPDATE jobs SET state = 'done' WHERE id = %s", (job[0],))
    cur.execute("LISTEN done")
    cur.execute("SELECT 1")
    print(cur.fetchone(), conn.get_dsn_parameters()["dbname"] != "", conn.info.backend_pid > 0)
conn.close()
