import asyncio
import os

import asyncpg


async def main():
    pool = await asyncpg.create_pool(host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), ssl=False,
                                     min_size=1, max_size=3)
    async with pool.acquire() as conn:
        print(await conn.execute("INSERT INTO customers (email) VALUES ($1)", "asyncpg@example.com"))
        print(await conn.fetchval("SELECT count(*) FROM customers WHERE id < $1", 10))
        async with conn.transaction():
            try:
                async with conn.transaction():
                    await conn.execute("INSERT INTO customers (email) VALUES ($1)", "asyncpg@example.com")
            except asyncpg.UniqueViolationError as e:
                print(e.sqlstate)
            print(await conn.execute("UPDATE customers SET name = $1 WHERE email = $2", "A", "asyncpg@example.com"))
        st = await conn.prepare("INSERT INTO orders (customer_id, total) VALUES ($1, $2) RETURNING id")
        print([await st.fetchval(1, n) for n in range(3)])
        await conn.executemany("INSERT INTO jobs (payload) VALUES ($1)", [('{"m": %d}' % n,) for n in range(20)])
        await conn.execute("CREATE TEMP TABLE incoming (payload jsonb)")
        print(await conn.copy_records_to_table("incoming", records=[('{"r": 1}',)] * 5, columns=["payload"]))
        async with conn.transaction():
            print([r["id"] async for r in conn.cursor("SELECT id FROM orders ORDER BY id LIMIT 120", prefetch=50)][-1])
        print(await conn.fetch(""), await conn.fetch("-- ping"))
        print(await conn.fetch("SELECT * FROM (VALUES (1, 'x')) AS v (a, b)"))
        got = asyncio.Queue()
        await conn.add_listener("news", lambda c, pid, channel, payload: got.put_nowait((pid == c.get_server_pid(), payload)))
        await conn.execute("NOTIFY news, 'hello'")
        print(await asyncio.wait_for(got.get(), 10))
        await conn.remove_listener("news", lambda *a: None)
    await pool.close()

asyncio.run(main())
