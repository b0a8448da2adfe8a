# Every task of the project, by name. `make help` lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# make demo ONCE=1 SCALE=0.2 SECONDS=10 CONNECTIONS=16
DEMO_FLAGS := $(if $(ONCE),--once) $(if $(SCALE),--scale $(SCALE)) \
	$(if $(SECONDS),--seconds $(SECONDS)) $(if $(CONNECTIONS),--connections $(CONNECTIONS))

.PHONY: help demo build check test soak plant compat matrix setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup build ## pgkeel on a sample application and a private PostgreSQL (ONCE=1: then exit)
	@exec target/release/pgkeel-demo $(DEMO_FLAGS)

build: ## the release build
	cargo build --release --locked --workspace

check: ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: setup ## everything that must hold before a change is merged
	scripts/setup drivers
	$(MAKE) check
	cargo test --workspace --locked

soak: setup ## the checker, long (SECONDS=600 for each of its runs, SEED=1)
	PGKEEL_CHECKER_SECONDS=$(or $(SECONDS),600) PGKEEL_CHECKER_WRITES=$(or $(WRITES),100000) \
	PGKEEL_CHECKER_ROUNDS=$(or $(ROUNDS),20) $(if $(SEED),PGKEEL_CHECKER_SEED=$(SEED)) \
	cargo test --locked --test it checker:: -- --nocapture --test-threads 2

plant: setup ## plants bugs in a copy of the tree, one at a time, and demands that the checker finds them (BUG=one)
	tests/planted/run $(BUG)

compat: setup build ## other people's test suites, directly and through pgkeel (SUITE=psycopg: one)
	@python3 compat/run.py $(SUITE)

matrix: setup ## the tests against PostgreSQL 13 to 18 (VERSIONS="13 18" TESTS=hits: some)
	@TESTS="$(TESTS)" scripts/matrix $(VERSIONS)

setup: ## installs what is missing on Debian or Ubuntu
	@scripts/setup
