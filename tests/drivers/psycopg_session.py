"""psycopg 3 against pgkeel: what an application does with it, and what it must not notice.

PROXY_URL and DIRECT_URL name the same database, through pgkeel and around it.
"""

import asyncio
import datetime
import decimal
import os
import threading
import time
import uuid

import psycopg
from psycopg import errors, sql
from psycopg.types.json import Jsonb

PROXY = os.environ["PROXY_URL"]
DIRECT = os.environ["DIRECT_URL"]

QUERIES = [
    ("SELECT * FROM kinds ORDER BY id", ()),
    ("SELECT * FROM kinds WHERE id = %s", (2,)),
    ("SELECT count(*), sum(amount), max(day) FROM kinds", ()),
    ("SELECT id FROM kinds WHERE tags && %s ORDER BY id", (["b", "c"],)),
    ("SELECT id, document->>'k' FROM kinds WHERE document @> %s ORDER BY id", (Jsonb({"k": 1}),)),
    ("SELECT %s::text, %s::int8, id FROM kinds ORDER BY id LIMIT 1", ("x", 7)),
]


def setup():
    with psycopg.connect(PROXY, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS kinds, counter, bulk")
        connection.execute(
            "CREATE TABLE kinds (id int PRIMARY KEY, name text, amount numeric, ratio float8, day date,"
            " moment timestamptz, span interval, flag bool, key uuid, tags text[], document jsonb, bytes bytea)"
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO kinds VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        n,
                        f"näme {n}",
                        decimal.Decimal(n) / 8,
                        n / 3,
                        datetime.date(2024, 2, n),
                        datetime.datetime(2024, 2, n, 3, 4, 5, tzinfo=datetime.timezone.utc),
                        datetime.timedelta(days=n, seconds=5),
                        n % 2 == 0,
                        uuid.UUID(int=n),
                        ["a", "b"][: n % 3],
                        Jsonb({"k": n % 2, "l": [1, None]}),
                        bytes([0, n, 255]),
                    )
                    for n in range(1, 20)
                ]
                + [(99,) + (None,) * 11],
            )
        connection.execute("CREATE TABLE counter (id int PRIMARY KEY, v int)")
        connection.execute("INSERT INTO counter VALUES (1, 0)")
        connection.execute("CREATE TABLE bulk (id int, name text)")


def described(cursor):
    return [(tuple(column), column.type_code) for column in cursor.description]


def answers_are_the_same():
    """Text and binary, below and above the threshold at which psycopg prepares (5)."""
    with psycopg.connect(PROXY) as proxied, psycopg.connect(DIRECT) as direct:
        for binary in (False, True):
            for query, parameters in QUERIES:
                expected = direct.execute(query, parameters, binary=binary)
                rows, description = expected.fetchall(), described(expected)
                for _ in range(8):
                    got = proxied.execute(query, parameters, binary=binary)
                    assert got.fetchall() == rows, query
                    assert described(got) == description, query
                proxied.commit()


def transactions():
    with psycopg.connect(PROXY) as connection, psycopg.connect(PROXY, autocommit=True) as other:
        value = lambda c: c.execute("SELECT v FROM counter WHERE id = 1").fetchone()[0]
        start = value(other)
        connection.execute("UPDATE counter SET v = v + 1")
        assert value(connection) == start + 1
        assert value(other) == start
        connection.rollback()
        assert value(connection) == value(other) == start
        connection.rollback()
        with connection.transaction():
            connection.execute("UPDATE counter SET v = v + 10")
            try:
                with connection.transaction():
                    connection.execute("UPDATE counter SET v = v + 100")
                    raise psycopg.Rollback()
            except psycopg.Rollback:
                pass
        connection.commit()
        assert value(other) == start + 10

        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        seen = value(connection)
        other.execute("UPDATE counter SET v = v + 1")
        assert value(other) == seen + 1
        assert value(connection) == seen, "one snapshot"
        connection.commit()
        assert value(connection) == seen + 1
        connection.commit()


def failures():
    with psycopg.connect(PROXY) as proxied, psycopg.connect(DIRECT) as direct:
        for query, kind in [
            ("SELECT 1 / 0", errors.DivisionByZero),
            ("SELECT nothing FROM kinds", errors.UndefinedColumn),
            ("INSERT INTO kinds (id) VALUES (1)", errors.UniqueViolation),
            ("SELEC 1", errors.SyntaxError),
        ]:
            told = []
            for connection in (proxied, direct):
                try:
                    connection.execute(query)
                    raise AssertionError(query)
                except kind as error:
                    d = error.diag
                    told.append((d.sqlstate, d.message_primary, d.constraint_name, d.statement_position))
                assert connection.info.transaction_status.name == "INERROR"
                try:
                    connection.execute("SELECT 1")
                    raise AssertionError("the transaction has failed")
                except errors.InFailedSqlTransaction:
                    pass
                connection.rollback()
            assert told[0] == told[1]
        assert proxied.execute("SELECT 1").fetchone() == (1,)


def pipelines():
    with psycopg.connect(PROXY, autocommit=True) as connection, psycopg.connect(PROXY, autocommit=True) as other:
        read = "SELECT v FROM counter WHERE id = 1"
        for _ in range(30):
            before = other.execute(read).fetchone()[0]
            with connection.pipeline() as pipeline:
                first = connection.execute(read)
                connection.execute("UPDATE counter SET v = v + 1")
                second = connection.execute(read)
                assert first.fetchone()[0] == before
                # A Flush: the answer comes before the Sync that commits.
                assert second.fetchone()[0] == before + 1
                pipeline.sync()
                assert other.execute(read).fetchone()[0] == before + 1
                connection.execute("UPDATE counter SET v = v + 1 WHERE id = %s", (1,))
            assert other.execute(read).fetchone()[0] == before + 2

        before = other.execute(read).fetchone()[0]
        try:
            with connection.pipeline():
                connection.execute("UPDATE counter SET v = v + 1")
                connection.execute("SELECT 1 / 0")
                connection.execute("UPDATE counter SET v = v + 1")
            raise AssertionError("the pipeline fails")
        except (errors.DivisionByZero, psycopg.errors.PipelineAborted):
            pass
        assert other.execute(read).fetchone()[0] == before
        with connection.pipeline():
            with connection.transaction():
                cursors = [connection.execute("SELECT %s::int + v - v FROM counter", (n,)) for n in range(50)]
            assert [cursor.fetchone()[0] for cursor in cursors] == list(range(50))


def prepared_statements():
    with psycopg.connect(PROXY, autocommit=True) as connection, psycopg.connect(PROXY, autocommit=True) as other:
        connection.prepare_threshold = 0
        connection.prepared_max = 3
        # More statements than it keeps: it deallocates, also inside pipelines.
        for _ in range(3):
            for n in range(8):
                query = sql.SQL("SELECT id + {} FROM kinds WHERE id = %s").format(sql.Literal(n))
                assert connection.execute(query, (1,)).fetchone()[0] == 1 + n
                assert other.execute(query, (2,), prepare=True).fetchone()[0] == 2 + n
        with connection.pipeline():
            cursors = [
                connection.execute(f"SELECT id * {n} FROM kinds WHERE id = %s", (2,)) for n in range(12)
            ]
        assert [cursor.fetchone()[0] for cursor in cursors] == [2 * n for n in range(12)]
        # The type of a column changes below a prepared statement.
        connection.execute("CREATE TABLE IF NOT EXISTS shape AS SELECT 1 AS a")
        assert connection.execute("SELECT * FROM shape", prepare=True).fetchone() == (1,)
        assert connection.execute("SELECT * FROM shape", prepare=True).fetchone() == (1,)
        other.execute("DROP TABLE shape")
        other.execute("CREATE TABLE shape AS SELECT 1 AS a, 2 AS b")
        with psycopg.connect(PROXY, autocommit=True) as fresh:
            assert fresh.execute("SELECT * FROM shape", prepare=True).fetchone() == (1, 2)
        connection.execute("DROP TABLE shape")


def copies():
    with psycopg.connect(PROXY) as connection, psycopg.connect(PROXY, autocommit=True) as other:
        count = lambda: other.execute("SELECT count(*) FROM bulk").fetchone()[0]
        assert count() == 0
        with connection.cursor() as cursor:
            with cursor.copy("COPY bulk FROM STDIN") as copy:
                for n in range(2000):
                    copy.write_row((n, f"row {n}"))
            assert count() == 0
            connection.commit()
            assert count() == 2000
            with cursor.copy("COPY bulk (id, name) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int4", "text"])
                for n in range(2000, 3000):
                    copy.write_row((n, None))
            connection.commit()
            assert count() == 3000
            with cursor.copy("COPY (SELECT * FROM bulk ORDER BY id) TO STDOUT") as copy:
                rows = list(copy.rows())
            assert len(rows) == 3000 and rows[7] == ("7", "row 7") and rows[2999][1] is None
            try:
                with cursor.copy("COPY bulk FROM STDIN") as copy:
                    copy.write(b"not a number\tx\n")
                raise AssertionError("the COPY fails")
            except errors.InvalidTextRepresentation:
                connection.rollback()
            try:
                with cursor.copy("COPY bulk FROM STDIN") as copy:
                    copy.write_row((1, "x"))
                    raise ZeroDivisionError
            except ZeroDivisionError:
                connection.rollback()
        assert count() == 3000


def cursors():
    with psycopg.connect(PROXY) as connection:
        with connection.cursor(name="many") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT id FROM bulk ORDER BY id")
            assert [row[0] for row in cursor] == list(range(3000))
        with connection.cursor(name="held", withhold=True, scrollable=True) as cursor:
            cursor.execute("SELECT id FROM bulk ORDER BY id")
            connection.commit()
            assert cursor.fetchone() == (0,)
            cursor.scroll(10, mode="absolute")
            assert cursor.fetchmany(2) == [(10,), (11,)]
        connection.commit()
        with connection.cursor() as cursor:
            assert [row[0] for row in cursor.stream("SELECT id FROM bulk ORDER BY id LIMIT 100")] == list(range(100))


def cancelling():
    with psycopg.connect(PROXY, autocommit=True) as connection:
        for cancel in (connection.cancel, connection.cancel_safe):
            timer = threading.Timer(0.3, cancel)
            start = time.monotonic()
            timer.start()
            try:
                connection.execute("SELECT pg_sleep(30)")
                raise AssertionError("it is cancelled")
            except errors.QueryCanceled:
                pass
            timer.join()
            assert time.monotonic() - start < 10
            assert connection.execute("SELECT v FROM counter").fetchone() is not None


def notifications():
    with psycopg.connect(PROXY, autocommit=True) as connection, psycopg.connect(PROXY, autocommit=True) as other:
        connection.execute("LISTEN news")
        other.execute("SELECT pg_notify('news', 'hello')")
        told = next(connection.notifies(timeout=10))
        assert (told.channel, told.payload) == ("news", "hello")


async def asynchronous():
    connections = await asyncio.gather(
        *(psycopg.AsyncConnection.connect(PROXY, autocommit=True) for _ in range(8))
    )

    async def read(connection):
        cursor = await connection.execute("SELECT v FROM counter WHERE id = 1")
        return (await cursor.fetchone())[0]

    for _ in range(50):
        writer = connections[0]
        cursor = await writer.execute("UPDATE counter SET v = v + 1 RETURNING v")
        written = (await cursor.fetchone())[0]
        seen = await asyncio.gather(*(read(connection) for connection in connections[1:]))
        assert all(value == written for value in seen), (written, seen)
    for connection in connections:
        await connection.close()


setup()
answers_are_the_same()
transactions()
failures()
pipelines()
prepared_statements()
copies()
cursors()
cancelling()
notifications()
asyncio.run(asynchronous())
