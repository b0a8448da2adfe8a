"""node-postgres's own tests, and those of its pool and its cursors."""

import json
import os
import pathlib
import re
import shutil
import subprocess

PACKAGES = ("pg", "pg-pool", "pg-cursor")
# What the packages and their tests need beside each other, as their package.json say.
REQUIREMENTS = [
    "async@2.6.4",
    "bluebird@3.7.2",
    "co@4.6.0",
    "expect.js@0.3.1",
    "lodash@4.17.21",
    "mocha@11.7.5",
    "pg-connection-string@2",
    "pg-copy-streams@0.3.0",
    "pg-protocol@1",
    "pg-types@2.2.0",
    "pgpass@1.0.5",
]
FILE_SECONDS = 60


class NodePostgres:
    """node-postgres's own tests in text and binary, with those of pg-pool and pg-cursor. No registry carries them: they
    run where $NODE_POSTGRES_SOURCE names a checkout."""

    can_repeat = True

    def __init__(self, place):
        self.place = place / "node-postgres"

    @staticmethod
    def is_available():
        return "NODE_POSTGRES_SOURCE" in os.environ

    def prepare(self):
        """The packages from the checkout, and what they need from the registry."""
        source = pathlib.Path(os.environ["NODE_POSTGRES_SOURCE"]).resolve()
        note, wanted = self.place / "made", f"{source} {REQUIREMENTS}"
        if note.exists() and note.read_text() == wanted:
            return
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        (self.place / "package.json").write_text('{ "private": true }')
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-update-notifier"]
        subprocess.run([*install, *REQUIREMENTS], cwd=self.place, check=True, stdout=subprocess.DEVNULL)
        for package in PACKAGES:
            shutil.copytree(source / "packages" / package, self.place / "packages" / package)
            (self.place / "node_modules" / package).symlink_to(self.place / "packages" / package)
        note.write_text(wanted)

    def run(self, servers, way, only=()):
        """All of it, whatever is asked for: it takes no longer than choosing."""
        self.prepare()
        servers.fresh("app")
        environment = servers.environment(way, PGTESTNOSSL="1", PGPASSWORD="keel")
        url = f"postgres://keel:keel@127.0.0.1:{servers.ports[way]}/app"
        outcomes, directory = {}, self.place / "packages/pg"
        with open(self.place / f"{way}.log", "w") as log:
            for file in sorted((directory / "test/integration").glob("**/*-tests.js")):
                for mode in ("text", "binary"):
                    name = f"{file.relative_to(directory / 'test/integration')} {mode}"
                    outcomes |= self.script(directory, file, name, [url, mode], environment, log)
            for package in PACKAGES[1:]:
                outcomes |= self.mocha(package, environment, log)
        return outcomes

    @staticmethod
    def script(directory, file, name, arguments, environment, log):
        """A file of tests that ends with the first that fails."""
        try:
            command = ["node", file, *arguments]
            done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False,
                                  timeout=FILE_SECONDS)
        except subprocess.TimeoutExpired:
            return {name: "failed"}
        log.write(f"== {name}: {done.returncode}\n{done.stdout}{done.stderr}\n")
        passed = re.findall(r"^  (.*) ✔$", done.stdout, re.M)
        outcomes = {f"{name}: {test}": "passed" for test in passed}
        return {**outcomes, name: "passed" if done.returncode == 0 else "failed"}

    def mocha(self, package, environment, log):
        mocha = self.place / "node_modules/.bin/mocha"
        directory = self.place / "packages" / package
        command = [mocha, "--exit", "--no-config", "--no-opts", "--reporter", "json", "--timeout", "20000"]
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False,
                              timeout=FILE_SECONDS * 10)
        log.write(f"== {package}: {done.returncode}\n{done.stdout}{done.stderr}\n")
        found = json.loads(done.stdout[done.stdout.index("{\n"):])
        outcomes = {f"{package}: {test['fullTitle']}": "failed" for test in found["failures"]}
        return outcomes | {f"{package}: {test['fullTitle']}": "passed" for test in found["passes"]}
