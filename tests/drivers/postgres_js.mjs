// postgres.js against pgkeel: pipelined prepared statements, cursors, COPY streams, transactions.
//
// PROXY_URL and DIRECT_URL name the same database, through pgkeel and around it. NODE_DRIVERS holds the driver.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'

const postgres = createRequire(`${process.env.NODE_DRIVERS}/`)('postgres')
const { PROXY_URL, DIRECT_URL } = process.env
const quiet = { onnotice: () => {} }

const sql = postgres(PROXY_URL, { max: 6, ...quiet })
const other = postgres(PROXY_URL, { max: 2, prepare: false, ...quiet })
const direct = postgres(DIRECT_URL, { max: 1, ...quiet })

await sql.unsafe(`
  CREATE TABLE kinds (id int PRIMARY KEY, name text, amount numeric, moment timestamptz, document jsonb, tags text[]);
  INSERT INTO kinds SELECT n, 'näme ' || n, n / 8.0, '2024-02-03 04:05:06+00', '{"a": [1, null]}', '{x,y}'
  FROM generate_series(1, 30) AS n;
  CREATE TABLE counter (id int PRIMARY KEY, v int);
  INSERT INTO counter VALUES (1, 0);
  CREATE TABLE bulk (id int, name text)`)

// The same answers, with and without prepared statements.
const queries = [
  (s) => s`SELECT * FROM kinds ORDER BY id`,
  (s) => s`SELECT * FROM kinds WHERE id = ${7}`,
  (s) => s`SELECT * FROM kinds WHERE id IN ${s([1, 2, 3])} ORDER BY id`,
  (s) => s`SELECT ${'text'}::text AS t, count(*) FROM kinds WHERE name = ${'nobody'}`,
  (s) => s`SELECT id, name FROM kinds WHERE tags @> ${['x']} ORDER BY id`.values(),
  (s) => s.unsafe('SELECT id FROM kinds ORDER BY id'),
]
for (const query of queries) {
  const expected = await query(direct)
  for (let round = 0; round < 4; round++) {
    assert.deepEqual([...(await query(sql))], [...expected])
    assert.deepEqual([...(await query(other))], [...expected])
  }
}

// Many at once: they are pipelined on few connections.
const many = await Promise.all(Array.from({ length: 200 }, (_, n) => sql`SELECT id FROM kinds WHERE id = ${(n % 30) + 1}`))
many.forEach((rows, n) => assert.equal(rows[0].id, (n % 30) + 1))

// Each write is seen by every read that begins after it.
const value = async (s) => (await s`SELECT v FROM counter WHERE id = ${1}`)[0].v
for (let round = 0; round < 40; round++) {
  const [{ v: written }] = await sql`UPDATE counter SET v = v + 1 WHERE id = ${1} RETURNING v`
  const seen = await Promise.all([...Array.from({ length: 20 }, () => value(sql)), value(other)])
  assert.deepEqual(new Set(seen), new Set([written]))
}

// Transactions, savepoints, rollback.
const start = await value(other)
await sql.begin(async (transaction) => {
  assert.equal(await value(transaction), start)
  await transaction`UPDATE counter SET v = v + 1`
  await transaction.savepoint(async (point) => {
    await point`UPDATE counter SET v = v + 100`
    throw new Error('take it back')
  }).catch(() => {})
  assert.equal(await value(transaction), start + 1)
  assert.equal(await value(other), start)
})
assert.equal(await value(other), start + 1)
await assert.rejects(sql.begin(async (transaction) => {
  await transaction`UPDATE counter SET v = v + 1`
  await transaction`SELECT 1 / 0`
}), { code: '22012' })
assert.equal(await value(other), start + 1)

// A cursor fetches in portions, by row-limited Executes.
const portions = []
await sql`SELECT id FROM kinds ORDER BY id`.cursor(7, (rows) => { portions.push(rows.length) })
assert.deepEqual(portions, [7, 7, 7, 7, 2])

// COPY in both directions.
const lines = Array.from({ length: 1000 }, (_, n) => `${n}\tname ${n}\n`)
const into = await sql`COPY bulk FROM STDIN`.writable()
await pipeline(Readable.from(lines), into)
assert.equal((await other`SELECT count(*)::int AS n FROM bulk`)[0].n, 1000)
let copied = ''
for await (const chunk of await sql`COPY bulk TO STDOUT`.readable()) copied += chunk
assert.equal(copied, lines.join(''))

// Errors are PostgreSQL's.
await assert.rejects(sql`SELECT nothing FROM kinds`, { code: '42703' })
await assert.rejects(sql`INSERT INTO kinds (id) VALUES (${1})`, { code: '23505', constraint_name: 'kinds_pkey' })

// A running query is cancelled.
const sleeping = sql`SELECT pg_sleep(30)`
setTimeout(() => sleeping.cancel(), 300)
await assert.rejects(sleeping, { code: '57014' })

// Notifications.
const heard = new Promise((resolve) => { sql.listen('news', resolve).then(() => other.notify('news', 'hello')) })
assert.equal(await heard, 'hello')

await Promise.all([sql, other, direct].map((s) => s.end()))
