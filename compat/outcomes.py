"""A pytest plugin that notes the outcome of every test in the file $OUTCOMES, one `outcome<TAB>test` a line."""

import os

OUTCOMES = {}


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        OUTCOMES[report.nodeid] = "failed" if OUTCOMES.get(report.nodeid) == "failed" else report.outcome


def pytest_sessionfinish():
    with open(os.environ["OUTCOMES"], "w") as out:
        out.writelines(f"{outcome}\t{test}\n" for test, outcome in OUTCOMES.items())
