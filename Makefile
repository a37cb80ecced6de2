# The commands of the README. Each does its own set-up and says so.

.PHONY: demo test check bench sim torture fuzz setup peers deny

export CARGO_TERM_PROGRESS_WHEN ?= never
FUZZ_SECONDS ?= 30
SIM_SEEDS ?= 100000
TORTURE_SECONDS ?= 60

# What is missing of redis-server and redis-tools is installed with apt, as root or with sudo.
setup:
	@./scripts/need.sh redis-server redis-server
	@./scripts/need.sh redis-benchmark redis-tools

demo: setup
	cargo run --quiet --release -p interlay -- demo $(DEMO)

test: setup
	cargo build -p interlay
	cargo test --workspace

check: deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# Advisories need a database from outside; licences, sources and duplicates do not.
deny:
	@command -v cargo-deny >/dev/null || { echo "installing cargo-deny with cargo"; cargo install --locked --quiet cargo-deny; }
	cargo deny --log-level error check bans licenses sources

bench: setup
	cargo build --release -p interlay
	./benches/install-peers.sh
	ulimit -n 16384 2>/dev/null || true; cargo run -q -p interlay-benches --bin peers -- $(BENCH)
	ulimit -n 16384 2>/dev/null || true; cargo run -q -p interlay-benches --bin memory
	@./scripts/need.sh valgrind valgrind
	cargo run -q --release -p interlay-benches --bin instructions

# The simulator for longer than `make test` runs it.
sim:
	INTERLAY_SIM_SEEDS=$(SIM_SEEDS) cargo test --release -p interlay-routing --test sim -- --nocapture

# The torture tests for longer than `make test` runs them: TORTURE_SECONDS for each scenario, the choices of TORTURE_SEED.
torture: setup
	cargo build -p interlay
	INTERLAY_TORTURE_SECONDS=$(TORTURE_SECONDS) $(if $(TORTURE_SEED),INTERLAY_SEED=$(TORTURE_SEED)) \
	    cargo test -p interlay-tests --test torture -- --nocapture --test-threads 1 $(TORTURE)

# Needs a nightly toolchain, for the sanitizer.
fuzz:
	./scripts/fuzz.sh $(FUZZ_SECONDS)
