"""asyncpg against pgkeel: binary formats, named statements and a pool, as its users have them.

PROXY_URL and DIRECT_URL name the same database, through pgkeel and around it.
"""

import asyncio
import datetime
import decimal
import os
import uuid

import asyncpg

PROXY = os.environ["PROXY_URL"]
DIRECT = os.environ["DIRECT_URL"]

QUERIES = [
    ("SELECT * FROM things ORDER BY id", ()),
    ("SELECT * FROM things WHERE id = $1", (3,)),
    ("SELECT id FROM things WHERE id = ANY($1::int[]) ORDER BY id", ([1, 3, 5],)),
    ("SELECT sum(amount), count(*) FROM things WHERE day < $1", (datetime.date(2024, 1, 9),)),
    ("SELECT mood, pair FROM things WHERE name = $1", ("thing 2",)),
    ("SELECT array_agg(id ORDER BY id), $1::text FROM things", ("é",)),
]


async def setup():
    connection = await asyncpg.connect(PROXY)
    await connection.execute(
        """
        CREATE TYPE mood AS ENUM ('sad', 'glad');
        CREATE TYPE pair AS (a int, b text);
        CREATE TABLE things (id int PRIMARY KEY, name text, amount numeric, day date, moment timestamptz,
            key uuid, tags text[], document jsonb, bytes bytea, mood mood, pair pair, net inet);
        CREATE TABLE counter (id int PRIMARY KEY, v int);
        INSERT INTO counter VALUES (1, 0)
        """
    )
    await connection.copy_records_to_table(
        "things",
        records=[
            (
                n,
                f"thing {n}",
                decimal.Decimal(n) / 4,
                datetime.date(2024, 1, n),
                datetime.datetime(2024, 1, n, tzinfo=datetime.timezone.utc),
                uuid.UUID(int=n),
                ["x", None, "y"],
                '{"n": %d}' % n,
                bytes([0, n]),
                "glad",
                (n, "b"),
                "10.0.0.1",
            )
            for n in range(1, 20)
        ],
    )
    await connection.close()


async def answers_are_the_same():
    proxied, direct = await asyncpg.connect(PROXY), await asyncpg.connect(DIRECT)
    for query, arguments in QUERIES:
        expected = await direct.fetch(query, *arguments)
        for _ in range(4):
            assert await proxied.fetch(query, *arguments) == expected, query
        statement = await proxied.prepare(query)
        assert await statement.fetch(*arguments) == expected
    await proxied.close()
    await direct.close()


async def transactions():
    one, other = await asyncpg.connect(PROXY), await asyncpg.connect(PROXY)
    read = "SELECT v FROM counter WHERE id = 1"
    start = await other.fetchval(read)
    async with one.transaction():
        assert await one.fetchval(read) == start
        await one.execute("UPDATE counter SET v = v + 1")
        assert await one.fetchval(read) == start + 1
        assert await other.fetchval(read) == start
    assert await other.fetchval(read) == start + 1
    try:
        async with one.transaction():
            await one.execute("UPDATE counter SET v = v + 1")
            async with one.transaction():
                await one.execute("UPDATE counter SET v = v + 1")
            raise KeyError
    except KeyError:
        pass
    assert await other.fetchval(read) == start + 1
    async with one.transaction(isolation="repeatable_read"):
        seen = await one.fetchval(read)
        await other.execute("UPDATE counter SET v = v + 1")
        assert await one.fetchval(read) == seen
    assert await one.fetchval(read) == seen + 1
    async with one.transaction():
        ids = [row["id"] async for row in one.cursor("SELECT id FROM things ORDER BY id", prefetch=4)]
    assert ids == list(range(1, 20))
    await one.close()
    await other.close()


async def failures():
    connection = await asyncpg.connect(PROXY)
    for query, kind in [
        ("SELECT 1 / 0", asyncpg.DivisionByZeroError),
        ("SELECT nothing", asyncpg.UndefinedColumnError),
        ("INSERT INTO things (id) VALUES (1)", asyncpg.UniqueViolationError),
    ]:
        try:
            await connection.fetch(query)
            raise AssertionError(query)
        except kind:
            pass
    try:
        await asyncio.wait_for(connection.execute("SELECT pg_sleep(30)"), timeout=0.3)
        raise AssertionError("it is cancelled")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def a_changed_table():
    """asyncpg prepares anew, by itself, when a plan is no longer valid."""
    one, other = await asyncpg.connect(PROXY), await asyncpg.connect(PROXY)
    await one.execute("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
    for _ in range(3):
        assert len((await one.fetch("SELECT * FROM changing"))[0]) == 1
    await other.execute("ALTER TABLE changing ADD COLUMN b int DEFAULT 2")
    row = (await one.fetch("SELECT * FROM changing"))[0]
    assert tuple(row) == (1, 2)
    await one.close()
    await other.close()


async def a_pool():
    """More tasks than connections; every write is seen by the next read, on whatever connection."""
    async with asyncpg.create_pool(PROXY, min_size=4, max_size=6) as pool:

        async def read():
            async with pool.acquire() as connection:
                # fetchval asks for one row at most, which is not for the cache; fetch asks for all.
                rows = await connection.fetch("SELECT v FROM counter WHERE id = $1", 1)
                assert await connection.fetchval("SELECT v FROM counter WHERE id = $1", 1) >= rows[0]["v"]
                return rows[0]["v"]

        for _ in range(40):
            written = await pool.fetchval("UPDATE counter SET v = v + 1 WHERE id = $1 RETURNING v", 1)
            seen = await asyncio.gather(*(read() for _ in range(12)))
            assert set(seen) == {written}, (written, seen)


async def notifications():
    one, other = await asyncpg.connect(PROXY), await asyncpg.connect(PROXY)
    heard = asyncio.get_running_loop().create_future()
    await one.add_listener("news", lambda *told: heard.done() or heard.set_result(told[3]))
    await other.execute("NOTIFY news, 'hello'")
    assert await asyncio.wait_for(heard, 10) == "hello"
    await one.close()
    await other.close()


async def main():
    await setup()
    await answers_are_the_same()
    await transactions()
    await failures()
    await a_changed_table()
    await a_pool()
    await notifications()


asyncio.run(main())
