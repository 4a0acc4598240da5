const postgres = require('postgres');

(async () => {
  const sql = postgres({ host: process.env.PGHOST, port: +process.env.PGPORT, max: 1, onnotice: () => {}, ssl: false });
  console.log(await sql`INSERT INTO customers (email) VALUES (${'postgresjs@example.com'}) RETURNING id`);
  await sql`INSERT INTO customers (email) VALUES (${'postgresjs@example.com'})`.catch((e) => console.log(e.code));
  await sql.begin(async (tx) => {
    await tx.savepoint((s) => s`INSERT INTO customers (email) VALUES (${'postgresjs@example.com'})`)
      .catch((e) => console.log(e.code));
    console.log((await tx`UPDATE customers SET name = ${'J'} WHERE email = ${'postgresjs@example.com'}`).count);
  });
  console.log((await sql`INSERT INTO orders ${sql([{ customer_id: 1, total: 1 }, { customer_id: 1, total: 2 }])}`).count);
  let n = 0;
  await sql`SELECT id FROM orders ORDER BY id`.cursor(100, (rows) => { n += rows.length; });
  console.log(n);
  console.log(await sql`SELECT count(*)::int FROM orders WHERE id < ${10}`);
  await sql.end();
})().catch((e) => { console.error(e); process.exit(1); });
