# Every task of the project, by name. `make help` lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# make demo ONCE=1 SCALE=0.2 SECONDS=10 CONNECTIONS=16
DEMO_FLAGS := $(if $(ONCE),--once) $(if $(SCALE),--scale $(SCALE)) \
	$(if $(SECONDS),--seconds $(SECONDS)) $(if $(CONNECTIONS),--connections $(CONNECTIONS))

.PHONY: help demo build bench check test compat setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup build ## pgkeel on a sample application and a private PostgreSQL (ONCE=1: then exit)
	@exec target/release/pgkeel-demo $(DEMO_FLAGS)

build: ## the release build
	cargo build --release --locked --workspace

# make bench QUICK=1 ONLY=lead_page,application TARGETS=direct,pgkeel-warm
BENCH_FLAGS := $(if $(QUICK),--rounds 2 --slice-ms 120 --warm-up-ms 120 --scale 1) $(if $(ONLY),--only $(ONLY)) \
	$(if $(TARGETS),--targets $(TARGETS))

bench: setup build ## the standard load test, into bench/report (QUICK=1: in two minutes, ONLY=scenario,...)
	scripts/setup bench
	@[ -e bench/scenarios/day.trace.gz ] || target/release/pgkeel-bench day
	@exec target/release/pgkeel-bench run $(BENCH_FLAGS)

check: ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: setup ## everything that must hold before a change is merged
	scripts/setup drivers
	scripts/setup bench
	$(MAKE) check
	cargo test --workspace --locked

compat: setup build ## other people's test suites, directly and through pgkeel (SUITE=psycopg: one)
	@python3 compat/run.py $(SUITE)

setup: ## installs what is missing on Debian or Ubuntu
	@scripts/setup
