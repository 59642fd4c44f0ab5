# The few commands. Each sets up what it needs, outside the tree, and can be run in a fresh clone.
.DEFAULT_GOAL := help
.PHONY: help build release test demo bench lint setup

help: ## This list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: ## Install what the others need (outside the tree, once)
	@scripts/setup.sh all

build: ## The release binary, target/release/creel
	@scripts/setup.sh rust
	cargo build --locked --release -p creel

release: ## The same, trained by its own load: target/trained/creel (two builds)
	@scripts/release.sh

test: ## All tests: what CI runs
	@scripts/test.sh

demo: ## One real agent, end to end, on this machine (DEMO_ONCE=1: stop afterwards)
	@scripts/demo.sh

bench: ## The figures of bench/README.md
	@scripts/bench.sh

lint: ## Format and lints only
	@scripts/setup.sh rust
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
