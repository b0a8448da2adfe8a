// node-postgres against pgkeel: simple, parameterised and named queries, transactions, and a pool of clients.
//
// PROXY_URL and DIRECT_URL name the same database, through pgkeel and around it. NODE_DRIVERS holds the driver.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const pg = createRequire(`${process.env.NODE_DRIVERS}/`)('pg')
const { PROXY_URL, DIRECT_URL } = process.env

async function connect(url) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}

const proxied = await connect(PROXY_URL)
const other = await connect(PROXY_URL)
const direct = await connect(DIRECT_URL)

await proxied.query(`
  CREATE TABLE kinds (id int PRIMARY KEY, name text, amount numeric, moment timestamptz, document jsonb, tags text[], bytes bytea);
  INSERT INTO kinds SELECT n, 'näme ' || n, n / 8.0, '2024-02-03 04:05:06+00', '{"a": [1, null]}', '{x,y}', '\\x00ff'
  FROM generate_series(1, 30) AS n;
  INSERT INTO kinds (id) VALUES (99);
  CREATE TABLE counter (id int PRIMARY KEY, v int);
  INSERT INTO counter VALUES (1, 0)`)

// Simple, unnamed, named; rows as objects and as arrays.
const all = 'SELECT * FROM kinds ORDER BY id'
const one = 'SELECT * FROM kinds WHERE id = $1'
for (const query of [
  { text: all },
  { text: all, rowMode: 'array' },
  { text: one, values: [7] },
  { text: one, values: ['99'], binary: true },
  { name: 'one', text: one, values: [8] },
  { name: 'one', text: one, values: [9] },
  { name: 'none', text: 'SELECT id FROM kinds WHERE name = $1', values: ['nobody'] },
]) {
  const expected = await direct.query({ ...query })
  for (let round = 0; round < 4; round++) {
    const { rows, fields, command, rowCount } = await proxied.query({ ...query })
    assert.deepEqual(rows, expected.rows)
    assert.deepEqual(fields, expected.fields)
    assert.deepEqual([command, rowCount], [expected.command, expected.rowCount])
  }
}

// Several statements in one string are several results.
const results = await proxied.query('SELECT 1 AS a; SELECT v FROM counter; SELECT 2 AS b')
assert.deepEqual(results.map((result) => result.rows.length), [1, 1, 1])

// Errors are PostgreSQL's, and the connection goes on.
for (const [query, code] of [
  [{ text: 'SELECT 1 / 0' }, '22012'],
  [{ text: 'SELECT $1::int', values: ['x'] }, '22P02'],
  [{ name: 'bad', text: 'SELECT nothing FROM kinds', values: [] }, '42703'],
  [{ text: 'INSERT INTO kinds (id) VALUES ($1)', values: [1] }, '23505'],
]) {
  const told = []
  for (const client of [proxied, direct]) {
    await assert.rejects(client.query({ ...query }), (error) => {
      told.push([error.code, error.message, error.detail, error.position])
      return error.code === code
    })
  }
  assert.deepEqual(told[0], told[1])
}

// Transactions.
const read = { name: 'counter', text: 'SELECT v FROM counter WHERE id = $1', values: [1] }
const value = async (client) => (await client.query({ ...read })).rows[0].v
const start = await value(other)
await proxied.query('BEGIN')
await proxied.query('UPDATE counter SET v = v + 1')
assert.equal(await value(proxied), start + 1)
assert.equal(await value(other), start)
await proxied.query('COMMIT')
assert.equal(await value(other), start + 1)
await proxied.query('BEGIN')
await proxied.query('UPDATE counter SET v = v + 1')
await proxied.query('ROLLBACK')
assert.equal(await value(other), start + 1)

// Queries queued on one client, and clients queued on a pool: each write is seen by the reads behind it.
const pool = new pg.Pool({ connectionString: PROXY_URL, max: 10 })
for (let round = 0; round < 40; round++) {
  const { rows: [{ v: written }] } = await pool.query('UPDATE counter SET v = v + 1 WHERE id = $1 RETURNING v', [1])
  const seen = await Promise.all(Array.from({ length: 30 }, () => pool.query({ ...read })))
  assert.deepEqual(new Set(seen.map((result) => result.rows[0].v)), new Set([written]))
}
const queued = [value(other), other.query('UPDATE counter SET v = v + 1'), value(other)]
const [before, , after] = await Promise.all(queued)
assert.equal(after, before + 1)

// Notifications reach the one who listens.
const heard = new Promise((resolve) => other.on('notification', resolve))
await other.query('LISTEN news')
await proxied.query("NOTIFY news, 'hello'")
assert.equal((await heard).payload, 'hello')

await pool.end()
await Promise.all([proxied, other, direct].map((client) => client.end()))
