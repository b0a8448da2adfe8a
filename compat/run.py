"""Runs other people's test suites directly and through pgkeel, and reports every difference.

    compat/run.py [SUITE ...]

Needs a release build of pgkeel. What it installs and makes is below target/compat; the report is
target/compat/report.md. The status is 0 if there is no difference beyond those in known.toml.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

from servers import ROOT, Servers
from suites import SUITES, TRIES

WAYS = ("direct", "pgkeel")
HERE = pathlib.Path(__file__).resolve().parent


def passing(outcomes):
    return {test for test, outcome in outcomes.items() if outcome == "passed"}


def differences(suite, servers, results):
    """The tests that pass in one way only. What differs once may be chance, so it is tried again."""
    differing = passing(results["direct"]) ^ passing(results["pgkeel"])
    for _ in range(TRIES - 1):
        if not differing or not getattr(suite, "can_repeat", False):
            break
        again = {way: suite.run(servers, way, sorted(differing)) for way in WAYS}
        differing &= passing(again["direct"]) ^ passing(again["pgkeel"])
    return sorted(differing)


def run(name, place):
    """One suite in both ways."""
    suite = SUITES[name](place)
    with tempfile.TemporaryDirectory(prefix="pgkeel-compat-") as scratch, Servers(pathlib.Path(scratch)) as servers:
        results, seconds = {}, {}
        for way in WAYS:
            start = time.monotonic()
            results[way] = suite.run(servers, way)
            seconds[way] = round(time.monotonic() - start)
            print(f"{name}, {way}: {len(passing(results[way]))} of {len(results[way])} in {seconds[way]} s", flush=True)
        shutil.copy(pathlib.Path(scratch) / "pgkeel.log", place / f"{name}.pgkeel.log")
        return {
            "suite": name,
            "what": " ".join(SUITES[name].__doc__.split()),
            "tests": len(results["direct"] | results["pgkeel"]),
            "direct": len(passing(results["direct"])),
            "pgkeel": len(passing(results["pgkeel"])),
            "differences": differences(suite, servers, results),
        }


def report(results, known, missing):
    """The report as text."""
    version = subprocess.run(["psql", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    lines = ["# Compatibility", "", f"Directly and through pgkeel, transaction pooling, cache on. {version}.", ""]
    lines += ["| suite | tests | passing directly | passing through pgkeel | differences |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        numbers = [str(result[key]) for key in ("suite", "tests", "direct", "pgkeel")]
        lines.append(f"| {' | '.join(numbers)} | {len(result['differences'])} |")
    for result in results:
        for test in result["differences"]:
            lines.append(f"\n- {result['suite']}: `{test}`: {known.get(test, 'not explained')}")
    lines += [f"\n{name} was not run: {' '.join(SUITES[name].__doc__.split())}" for name in missing]
    return "\n".join(lines) + "\n"


def main():
    place = ROOT / "target/compat"
    place.mkdir(parents=True, exist_ok=True)
    known = tomllib.loads((HERE / "known.toml").read_text())
    chosen = sys.argv[1:] or list(SUITES)
    available = [name for name in chosen if getattr(SUITES[name], "is_available", lambda: True)()]
    results = [run(name, place) for name in available]
    text = report(results, known, [name for name in chosen if name not in available])
    (place / "report.md").write_text(text)
    (place / "report.json").write_text(json.dumps(results, indent=2))
    print(text)
    unknown = [test for result in results for test in result["differences"] if test not in known]
    sys.exit(1 if unknown else 0)


if __name__ == "__main__":
    main()
