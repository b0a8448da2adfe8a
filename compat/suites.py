"""Other people's tests. Each suite runs in one way in, and returns the outcome of every test by name."""

import filecmp
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request

from node import NodePostgres
from servers import newest_postgres

HERE = pathlib.Path(__file__).resolve().parent
POSTGRES_SOURCE = "https://deb.debian.org/debian/pool/main/p/postgresql-15/postgresql-15_15.18.orig.tar.bz2"
POSTGRES_SHA256 = "11df0df97fe3ea4ba9a791faaf39cee1d2fe571e78885b5b55d8517d27c323b4"
SQLALCHEMY = "sqlalchemy==2.0.44"
ASYNCPG = "asyncpg==0.30.0"
PYTEST = ["pytest==8.4.2", "pytest-timeout==2.4.0"]
TRIES = 3


def install(place, *requirements):
    """A Python environment with these packages, made once."""
    python = place / "bin/python"
    note, wanted = place / "requirements", "\n".join(map(str, requirements))
    if not note.exists() or note.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        note.write_text(wanted)
    return python


def sdist(place, requirement):
    """The source distribution of a package, unpacked once."""
    directory = place / requirement.replace("==", "-")
    if not directory.exists():
        download = ["pip", "download", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"]
        # pip prepares what it downloads; its metadata need no build tools beyond these.
        python = install(place / "download", "setuptools", "cython<4", "wheel")
        subprocess.run([python, "-m", *download, "-d", place, requirement], check=True)
        (archive,) = place.glob(f"{requirement.split('==')[0]}-*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(place, filter="data")
    return directory


def pytest(python, directory, environment, arguments):
    """Runs pytest, and returns the outcomes."""
    notes = directory / ".outcomes"
    notes.unlink(missing_ok=True)
    environment = {**environment, "OUTCOMES": str(notes), "PYTHONPATH": f"{HERE}:{directory}"}
    command = [python, "-m", "pytest", "-q", "-p", "outcomes", "--timeout", "60", *arguments]
    with open(directory / ".log", "w") as log:
        subprocess.run(command, cwd=directory, env=environment, stdout=log, stderr=log, check=False)
    if not notes.exists():
        raise SystemExit(f"compat: pytest did not run; see {directory / '.log'}")
    lines = (line.split("\t", 1) for line in notes.read_text().splitlines())
    return {test: outcome for outcome, test in lines}


class Pytest:
    """A suite of pytest's."""

    can_repeat = True

    def __init__(self, place):
        self.place = place

    def run(self, servers, way, only=()):
        python, directory = self.prepare()
        self.arrange(servers)
        port = servers.ports[way]
        arguments = [*self.options(port), *(only or self.tests)]
        return pytest(python, directory, servers.environment(way), arguments)

    def arrange(self, servers):
        servers.fresh("app")


class Sqlalchemy(Pytest):
    """The PostgreSQL tests of SQLAlchemy, and its suite for dialects, over psycopg 3."""

    tests = ["test/dialect/postgresql", "test/dialect/test_suite.py"]

    def prepare(self):
        source = sdist(self.place, SQLALCHEMY)
        return install(self.place / "sqlalchemy", SQLALCHEMY, "psycopg[binary]==3.2.10", *PYTEST), source

    def arrange(self, servers):
        servers.fresh(
            "app",
            "CREATE SCHEMA test_schema",
            "CREATE SCHEMA test_schema_2",
            "CREATE EXTENSION hstore",
            "CREATE EXTENSION citext",
            "ALTER DATABASE app SET default_text_search_config = 'pg_catalog.english'",
        )

    def options(self, port):
        return ["-p", "no:cacheprovider", "--dburi", f"postgresql+psycopg://keel@127.0.0.1:{port}/app"]


class Asyncpg(Pytest):
    """asyncpg's own tests."""

    tests = ["tests"]

    def prepare(self):
        source = sdist(self.place, ASYNCPG)
        # The tests are to import the built package, not the source beside them.
        shutil.rmtree(source / "asyncpg", ignore_errors=True)
        return install(self.place / "asyncpg", ASYNCPG, "distro", *PYTEST), source

    def options(self, _port):
        return []


class Psycopg(Pytest):
    """psycopg 3's own tests. No registry carries them: they run where $PSYCOPG_SOURCE names a checkout."""

    tests = ["tests"]

    @staticmethod
    def is_available():
        return "PSYCOPG_SOURCE" in os.environ

    def prepare(self):
        source = pathlib.Path(os.environ["PSYCOPG_SOURCE"]).resolve()
        requirements = [source / "psycopg", "anyio", "dnspython", *PYTEST]
        return install(self.place / "psycopg", *requirements), source

    def options(self, port):
        chosen = ["-m", "not slow and not mypy and not timing", "--ignore", "tests/pool"]
        return [*chosen, "--test-dsn", f"host=127.0.0.1 port={port} user=keel dbname=app"]


class Regression:
    """PostgreSQL's regression scripts, one after the other, by psql. A script passes if it prints what it prints
    directly."""

    def __init__(self, place):
        self.place = place

    def source(self):
        directory = self.place / "postgresql-15.18/src/test/regress"
        if not directory.exists():
            archive = self.place / "postgresql.tar.bz2"
            urllib.request.urlretrieve(POSTGRES_SOURCE, archive)
            if hashlib.sha256(archive.read_bytes()).hexdigest() != POSTGRES_SHA256:
                raise SystemExit(f"compat: {POSTGRES_SOURCE} is not the file it was")
            with tarfile.open(archive) as tar:
                tar.extractall(self.place, filter="data")
        return directory

    def run(self, servers, way, only=()):
        source, output = self.source(), self.place / "regress"
        shutil.rmtree(output, ignore_errors=True)
        (output / "results").mkdir(parents=True)
        for directory in (output, output / "results"):
            directory.chmod(0o777)
        settings = "ALTER DATABASE regression SET timezone_abbreviations TO 'Default'"
        servers.fresh("regression", settings)
        roles = "SELECT 'DROP ROLE ' || quote_ident(rolname) FROM pg_roles WHERE rolname LIKE 'regress%'"
        for statement in servers.psql(roles).splitlines():
            servers.psql(statement)
        environment = servers.environment(
            way,
            "regression",
            PGTZ="PST8PDT",
            PGDATESTYLE="Postgres, MDY",
            PGOPTIONS="-c intervalstyle=postgres_verbose",
            PG_ABS_SRCDIR=str(source),
            PG_ABS_BUILDDIR=str(output),
            PG_LIBDIR=str(newest_postgres().parent / "lib"),
            PG_DLSUFFIX=".so",
        )
        schedule = (source / "parallel_schedule").read_text()
        # `tablespace` needs a directory that only pg_regress makes.
        scripts = [name for line in re.findall(r"^test: (.*)$", schedule, re.M) for name in line.split()]
        command = ["psql", "-Xaq", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]
        for name in scripts:
            with open(source / f"sql/{name}.sql") as script, open(output / f"{name}.out", "w") as out:
                subprocess.run(command, env=environment, stdin=script, stdout=out, stderr=out, timeout=300, check=False)
        kept = self.place / f"regress-{way}"
        shutil.rmtree(kept, ignore_errors=True)
        output.rename(kept)
        expected = self.place / "regress-direct"
        same = lambda name: filecmp.cmp(expected / f"{name}.out", kept / f"{name}.out", shallow=False)
        return {name: "passed" if same(name) else "failed" for name in scripts}


class Pgbench:
    """pgbench: initialisation and its three protocol modes. The sums of a TPC-B run agree whatever is run."""

    def __init__(self, _place):
        pass

    def run(self, servers, way, only=()):
        servers.fresh("bench")
        environment = servers.environment(way, "bench")
        outcomes = {}

        def note(name, *arguments):
            done = subprocess.run(["pgbench", *arguments], env=environment, capture_output=True, text=True, check=False)
            failed = done.returncode != 0 or "aborted" in done.stderr
            outcomes[name] = "failed" if failed else "passed"

        note("initialise", "-i", "-q", "-s", "2", "--foreign-keys")
        for mode in ("simple", "extended", "prepared"):
            for script in ("tpcb-like", "simple-update", "select-only"):
                arguments = ["-n", "-c", "12", "-j", "2", "-t", "100", "-M", mode, "-b", script]
                note(f"{mode}, {script}", *arguments)
        sums = "SELECT (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)"
        outcomes["sums"] = "passed" if servers.psql(sums, way=way, database="bench") == "t\n" else "failed"
        return outcomes


class Dump:
    """pg_dump in three formats, and restoring: what comes out is what comes out directly."""

    def __init__(self, place):
        self.place = place

    def run(self, servers, way, only=()):
        place = self.place / f"dump-{way}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        servers.fresh("bench")
        subprocess.run(["pgbench", "-i", "-q", "-I", "dtgvpf"], env=servers.environment("direct", "bench"), check=True,
                       capture_output=True)
        servers.psql(
            "CREATE VIEW richest AS SELECT * FROM pgbench_accounts WHERE abalance > 0",
            "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'",
            "CREATE TABLE odd (a serial, b text DEFAULT 'it''s', c bytea, d jsonb, e numeric[])",
            "INSERT INTO odd (c, d, e) VALUES ('\\x00ff', '{\"a\": [1, null]}', '{1.5,NULL}')",
            database="bench",
        )
        come_in, direct = servers.environment(way, "bench"), servers.environment("direct", "restored")
        restore_here = servers.environment(way, "restored")

        def text(environment, *command):
            done = subprocess.run(command, env=environment, capture_output=True, check=False)
            output = done.stdout if done.returncode == 0 else done.stderr
            # Every dump has a key of its own in these lines.
            return [line for line in output.splitlines() if not line.startswith((b"\\restrict", b"\\unrestrict"))]

        expected = text(servers.environment("direct", "bench"), "pg_dump")
        outcomes = {"plain": text(come_in, "pg_dump") == expected}
        text(come_in, "pg_dump", "-Fc", "-f", place / "custom")
        text(come_in, "pg_dump", "-Fd", "-j", "4", "-f", place / "directory")
        for name, jobs in (("custom", "1"), ("directory", "4")):
            outcomes[name] = text(come_in, "pg_restore", "-f", "-", place / name) == expected
            servers.fresh("restored")
            text(restore_here, "pg_restore", "-j", jobs, "-d", "restored", place / name)
            outcomes[f"restored from {name}"] = text(direct, "pg_dump") == expected
        return {name: "passed" if same else "failed" for name, same in outcomes.items()}


SUITES = {
    "regression": Regression,
    "pg_dump": Dump,
    "pgbench": Pgbench,
    "sqlalchemy": Sqlalchemy,
    "asyncpg": Asyncpg,
    "psycopg": Psycopg,
    "node-postgres": NodePostgres,
}
