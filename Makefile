# Every task of the project, by name. `make help` lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# make demo ONCE=1 SCALE=0.2 SECONDS=10 CONNECTIONS=16
DEMO_FLAGS := $(if $(ONCE),--once) $(if $(SCALE),--scale $(SCALE)) \
	$(if $(SECONDS),--seconds $(SECONDS)) $(if $(CONNECTIONS),--connections $(CONNECTIONS))

.PHONY: help demo build check test compat matrix setup

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

compat: setup build ## other people's test suites, directly and through pgkeel (SUITE=psycopg: one)
	@python3 compat/run.py $(SUITE)

matrix: setup ## the tests against PostgreSQL 13 to 18 (VERSIONS="13 18" TESTS=hits: some)
	@TESTS="$(TESTS)" scripts/matrix $(VERSIONS)

setup: ## installs what is missing on Debian or Ubuntu
	@scripts/setup
