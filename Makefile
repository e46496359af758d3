# The two commands are `make run` and `make test`.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# What builds and tests select. Cargo resolves features for what is selected: with one
# selection everywhere, no dependency is compiled a second time with others.
EVERYTHING := --workspace --all-targets
TEST := ./scripts/with-environment $(CARGO) test --workspace
INTEGRATION := $(TEST) --test integration

# What `make run` leaves out: `make run FEATURES=mongodb` builds the MongoDB store in.
FEATURES ?=
# `make run ARGS=--demo` puts a small repo to look at into an empty store.
ARGS ?=

.PHONY: run test test-integration test-chaos test-fuzz format-fixture check check-web check-fuzz \
	minimum-rust bench bench-counts check-counts release web bootstrap fmt

## Builds and starts the gateway on the embedded store plus a sidecar.
run:
	@./scripts/web console || echo "Going on without it."
	@test -x $(TARGET)/quick/vdom || echo "Building vdom: about four minutes on two cores the \
	first time, seconds after that."
	@$(CARGO) build --profile quick --package vdom --no-default-features --features "$(FEATURES)"
	@$(TARGET)/quick/vdom up $(ARGS)

## Installs what the tests need, then passes every test.
test: bootstrap
	$(CARGO) build $(EVERYTHING)
	$(TEST) --lib --bins --quiet
	$(TEST) --doc --quiet
	$(INTEGRATION)
	./scripts/web test

## The integration tests alone, on what `make bootstrap` installed.
test-integration:
	$(CARGO) build $(EVERYTHING)
	$(INTEGRATION)

## The store against power cuts, flipped bits and `kill -9`, and the document room against its
## model, at length: VDOM_CHAOS_SEED and VDOM_MODEL_SEED choose others.
test-chaos: bootstrap
	$(CARGO) build $(EVERYTHING)
	VDOM_CHAOS_CUTS=1000 VDOM_CHAOS_FLIPS=10000 VDOM_CHAOS_KILLS=200 $(INTEGRATION) -- --nocapture \
		storage::power_loss storage::bit_rot journeys::crashes
	VDOM_MODEL_SEEDS=1000000 $(TEST) --lib -- --nocapture the_room_is_what_the_model_says

## Writes the store of the present format that later releases must open; once per format.
format-fixture:
	$(CARGO) build $(EVERYTHING)
	$(INTEGRATION) -- --ignored --exact storage::stored_format::write_the_store_of_a_format

## Fuzzes each parser for VDOM_FUZZ_SECONDS (60), with the stable toolchain.
test-fuzz:
	./scripts/fuzz

## What a reviewer would reject.
check: check-web check-fuzz
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy $(EVERYTHING) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --lib --bins --examples --no-deps --quiet
	./scripts/deny

check-web:
	./scripts/web check

check-fuzz:
	./scripts/check-fuzz

## Whether the oldest compiler that we promise still builds everything.
minimum-rust:
	./scripts/minimum-rust

## vdom and its peers, in one run.
bench: bootstrap
	$(CARGO) build --profile dist --package vdom --package vdom-bench
	./scripts/with-environment $(TARGET)/dist/vdom-bench all

## What a call costs in instructions, allocations, system calls and bytes, which repeats whatever
## else the machine does: prints it and keeps it in bench/counts.json. PROFILE=dist for the
## build that is shipped.
PROFILE ?= dev
COUNTED := $(TARGET)/$(patsubst dev,debug,$(PROFILE))/vdom-bench
bench-counts: bootstrap
	$(CARGO) build $(EVERYTHING) --profile $(PROFILE) --features vdom/count-allocations
	./scripts/with-environment $(COUNTED) counts --profile $(PROFILE) --write bench/counts.json

## Fails where a call costs more than bench/counts.json says.
check-counts: bootstrap
	$(CARGO) build $(EVERYTHING) --features vdom/count-allocations
	./scripts/with-environment $(TARGET)/debug/vdom-bench counts --check bench/counts.json

## What is shipped, in dist/: docs/releasing.md says how a release is made.
release:
	./scripts/release

## The console, which needs Node; the next build of the gateway embeds it.
web:
	./scripts/web console

## What the tests and benchmarks need: Debian, Python and npm packages.
bootstrap:
	./scripts/bootstrap

fmt:
	$(CARGO) fmt --all
