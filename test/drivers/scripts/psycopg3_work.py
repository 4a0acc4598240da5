import io

import psycopg

with psycopg.connect("", autocommit=True) as conn:
    print(conn.execute("SELECT count(*) FROM customers WHERE id < %s", (10,)).fetchone())
    with conn.transaction():
        conn.execute("INSERT INTO customers (email) VALUES (%s)", ("psycopg3@example.com",))
        try:
            with conn.transaction():
                conn.execute("INSERT INTO customers (email) VALUES (%s)", ("psycopg3@example.com",))
        except psycopg.errors.UniqueViolation as e:
            print(e.sqlstate)
        conn.execute("UPDATE customers SET name = 'Q' WHERE email = %s", ("psycopg3@example.com",))
    for i in range(8):  # prepared by the driver at the sixth
        print(conn.execute("INSERT INTO orders (customer_id, note) VALUES (%s, %s)", (i + 1, "n")).rowcount)
    with conn.cursor() as cur:
        cur.executemany("INSERT INTO jobs (payload) VALUES (%s)", [('{"e": %d}' % i,) for i in range(20)])
        print(cur.rowcount)
        cur.execute("CREATE TEMP TABLE incoming (payload jsonb)")
        with cur.copy("COPY incoming (payload) FROM STDIN") as copy:
            for i in range(20):
                copy.write_row(('{"c": %d}' % i,))
        print(cur.rowcount)
        out = io.BytesIO()
        with cur.copy("COPY (SELECT id FROM customers ORDER BY id LIMIT 3) TO STDOUT") as copy:
            for data in copy:
                out.write(data)
        print(out.getvalue())
    with conn.pipeline():
        for i in range(5):
            conn.execute("INSERT INTO orders (customer_id, total) VALUES (%s, %s)", (1, i))
    print(conn.execute("SELECT").description, conn.execute("").statusmessage)
    with conn.transaction(), conn.cursor(name="c") as cur:
        cur.execute("SELECT id FROM orders ORDER BY id")
        print(cur.fetchmany(3))
