"""A private PostgreSQL, and pgkeel in front of it."""

import os
import pathlib
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETTINGS = """
fsync = off
max_connections = 200
max_prepared_transactions = 20
wal_level = logical
lc_messages = 'C'
"""


def newest_postgres():
    """The directory of PostgreSQL's programs: $PGKEEL_PG_BIN, or the newest that Debian has installed."""
    given = os.environ.get("PGKEEL_PG_BIN")
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(found, key=lambda path: int(path.parts[4]), default=None)
    if not given and not newest:
        raise SystemExit("compat: PostgreSQL is missing; run scripts/setup")
    return pathlib.Path(given) if given else newest.parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_server(command):
    """PostgreSQL refuses to run as root."""
    drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
    return drop + command if os.geteuid() == 0 else command


def wait_for(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"compat: nothing listens on port {port}")


class Servers:
    """Both, for as long as the `with` lasts. `ports` says where each way in is."""

    def __init__(self, directory):
        self.directory = directory
        self.ports = {"direct": free_port(), "pgkeel": free_port()}
        self.processes = []

    def __enter__(self):
        data, programs = self.directory / "data", newest_postgres()
        data.mkdir(parents=True)
        if os.geteuid() == 0:
            self.directory.chmod(0o755)
            subprocess.run(["chown", "nobody:nogroup", data], check=True)
        initdb = [programs / "initdb", "-D", data, "-U", "keel", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run(as_server(initdb), check=True, stdout=subprocess.DEVNULL)
        with open(data / "postgresql.conf", "a") as settings:
            settings.write(SETTINGS)
        place = ["-k", "", "-h", "127.0.0.1", "-p", str(self.ports["direct"])]
        self.start(as_server([programs / "postgres", "-D", data, *place]), "postgres.log")
        wait_for(self.ports["direct"])
        self.psql("CREATE DATABASE app")
        url = f"postgres://keel@127.0.0.1:{self.ports['direct']}/app"
        here = ["--listen", f"127.0.0.1:{self.ports['pgkeel']}", "--admin", "off"]
        # Fewer connections than clients, so that they are shared.
        config = self.directory / "proxy.toml"
        config.write_text("[pool]\nmax = 8\nmin = 1\n")
        binary = os.environ.get("PGKEEL", ROOT / "target/release/pgkeel")
        self.start([binary, "--config", config, "--upstream", url, *here], "pgkeel.log")
        wait_for(self.ports["pgkeel"])
        return self

    def start(self, command, log):
        with open(self.directory / log, "w") as out:
            self.processes.append(subprocess.Popen(command, stdout=out, stderr=out))

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def environment(self, way, database="app", **more):
        """What a client of libpq needs to come in this way."""
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(self.ports[way]), "PGUSER": "keel", "PGDATABASE": database}
        return {**os.environ, **place, **more}

    def psql(self, *statements, way="direct", database="postgres"):
        """Runs SQL, and returns what it prints."""
        command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            command += ["-c", statement]
        environment = self.environment(way, database)
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def fresh(self, database, *statements):
        """An empty database of this name."""
        drop = f"DROP DATABASE IF EXISTS {database} WITH (FORCE)"
        self.psql(drop, f"CREATE DATABASE {database} TEMPLATE template0")
        if statements:
            self.psql(*statements, database=database)
