const { Client, Pool } = require('pg');

(async () => {
  const pool = new Pool({ max: 2 });
  console.log((await pool.query('INSERT INTO customers (email) VALUES ($1) RETURNING id', ['nodepg@example.com'])).rows);
  await pool.query('INSERT INTO customers (email) VALUES ($1)', ['nodepg@example.com']).catch((e) => console.log(e.code));
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query('SAVEPOINT a');
  await client.query({ name: 'ins', text: 'INSERT INTO customers (email) VALUES ($1)', values: ['nodepg@example.com'] })
    .catch((e) => console.log(e.code));
  await client.query('ROLLBACK TO SAVEPOINT a');
  const named = { name: 'upd', text: 'UPDATE customers SET name = $1 WHERE email = $2', values: ['N', 'nodepg@example.com'] };
  console.log((await client.query(named)).rowCount);
  console.log((await client.query(named)).rowCount);
  await client.query('COMMIT');
  console.log((await client.query('')).command, (await client.query({ text: '', values: [] })).rows);
  console.log((await client.query('SELECT count(*) FROM orders WHERE id < $1', [10])).rows);
  client.release();
  await pool.end();
  const c = new Client();
  await c.connect();
  const heard = new Promise((resolve) => c.on('notification', (m) => resolve([m.payload, m.processId === c.processID])));
  await c.query('LISTEN news');
  await c.query("NOTIFY news, 'hello'");
  console.log(await heard);
  await c.end();
})().catch((e) => { console.error(e); process.exit(1); });
