# The two commands are `make run` and `make test`.

CARGO ?= cargo
BINARIES := vdom

.PHONY: run test test-chaos test-fuzz format-fixture check bench bootstrap web test-integration fmt

## Builds and starts the gateway on the embedded store plus a sidecar.
run:
	$(CARGO) run --release --package vdom -- up

## Installs what the tests need, then passes every test.
test: bootstrap
	$(CARGO) build --workspace --all-targets
	./scripts/with-environment $(CARGO) test --workspace --lib --bins --quiet
	./scripts/with-environment $(CARGO) test --package vdom-tests --test integration
	cd web && npm run check --silent && npm test --silent

## The integration tests alone, on what `make bootstrap` installed.
test-integration:
	$(CARGO) build --workspace --bins
	./scripts/with-environment $(CARGO) test --package vdom-tests --test integration

## The store against power cuts, flipped bits and `kill -9`, at length: VDOM_CHAOS_SEED
## chooses others.
test-chaos: bootstrap
	$(CARGO) build --workspace --bins
	VDOM_CHAOS_CUTS=1000 VDOM_CHAOS_FLIPS=10000 VDOM_CHAOS_KILLS=200 ./scripts/with-environment \
		$(CARGO) test --package vdom-tests --test integration -- --nocapture \
		storage::power_loss storage::bit_rot journeys::crashes

## Writes the store of the present format that later releases must open; once per format.
format-fixture:
	$(CARGO) build --workspace --bins
	./scripts/with-environment $(CARGO) test --package vdom-tests --test integration -- \
		--ignored --exact storage::stored_format::write_the_store_of_a_format

## Fuzzes each parser for VDOM_FUZZ_SECONDS (60), with the stable toolchain.
test-fuzz:
	./scripts/fuzz

## What a reviewer would reject.
check:
	$(CARGO) fmt --all -- --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	./scripts/deny

## vdom and its peers, in one run.
bench: bootstrap
	$(CARGO) build --profile dist --package vdom --package vdom-bench
	./scripts/with-environment $(CARGO) run --profile dist --package vdom-bench -- all

## The console, where Node is at hand; the gateway serves it once it is built.
web:
	cd web && npm ci --no-audit --no-fund --silent && npm run build --silent

## What the tests and benchmarks need: Debian, Python and npm packages.
bootstrap:
	./scripts/bootstrap

fmt:
	$(CARGO) fmt --all
