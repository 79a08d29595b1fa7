CARGO ?= cargo

# Real nodes take root on Debian or a relative of it, with the right to make namespaces.
REAL_NODES := $(shell [ -e /etc/debian_version ] && [ "$$(id -u)" = 0 ] && unshare --mount --net --pid --fork true 2>/dev/null && echo yes)

.DEFAULT_GOAL := help
# What driving the fuzz targets takes beside a stable compiler.
FUZZ_LACKS := $(shell cargo +nightly --version >/dev/null 2>&1 || echo "a nightly compiler (rustup toolchain install nightly)") \
	$(shell cargo fuzz --version >/dev/null 2>&1 || echo "cargo-fuzz (cargo install cargo-fuzz)")
FUZZ_SECONDS ?= 60
FUZZ_TARGETS = $(or $(ONLY),$(patsubst tests/fuzz/libfuzzer/fuzz_targets/%.rs,%,$(wildcard tests/fuzz/libfuzzer/fuzz_targets/*.rs)))

.PHONY: help test lint fuzz e2e testbed testbed-real generate crds demo demo-down

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: lint testbed ## Check formatting and lints, and run all tests but those on real nodes
	@echo "e2e: skipped here: tests on real nodes are run with make e2e"
	$(CARGO) test --workspace --all-targets --no-fail-fast

lint: ## Check formatting and lints only
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

e2e: export TESTBED_REAL = 1
e2e: testbed-real ## Run the tests on real nodes only; ONLY=failover a part of them, UPDATE=1 writes docs/e2e.md
	@[ "$(REAL_NODES)" = yes ] || { echo "real nodes take root on Debian or a relative of it, with the right to make namespaces" >&2; exit 1; }
	[ -n "$(ONLY)" ] || $(CARGO) test --package testbed --test node
	$(CARGO) test --package multigres-operator --test e2e -- $(ONLY)

# Without a sanitizer, as no code of the workspace is unsafe; and with the versions that the product is built of.
fuzz: ## Have libFuzzer look for inputs that fail; ONLY=handler one target, FUZZ_SECONDS=600 each for longer
ifneq ($(strip $(FUZZ_LACKS)),)
	@echo "fuzz: skipped here, for want of $(strip $(FUZZ_LACKS)); make test replays the corpus"
else
	cp Cargo.lock tests/fuzz/libfuzzer/Cargo.lock
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p tests/fuzz/libfuzzer/corpus/$$target && \
		cargo +nightly fuzz run --fuzz-dir tests/fuzz/libfuzzer --sanitizer none $(FUZZ_ARGS) $$target \
			tests/fuzz/libfuzzer/corpus/$$target tests/fuzz/corpus/$$target \
			-- -max_total_time=$(FUZZ_SECONDS) -max_len=65536 || exit; \
	done
endif

# Tests would build what is missing themselves, but in silence, and it takes ten minutes the first time.
testbed: ## Build the programs of the control planes that the tests run on
	$(CARGO) run --package testbed -- build

testbed-real: ## The same, and what real nodes run
	$(CARGO) run --package testbed -- build --real

demo: ## Show the operator at work on a control plane, with REAL=1 on a node with databases; DEMO_EXIT=1 leaves nothing
	@REAL=$(REAL) tests/demo/demo.sh

demo-down: ## End what the demo left running
	@tests/demo/demo.sh down

generate: ## Write the committed generated files anew: the chart's templates and CRDs, the list of rules, the fuzz corpus
	UPDATE=1 $(CARGO) test --package multigres-operator --test chart generated_files
	UPDATE=1 $(CARGO) test --package multigres-operator --test integration documentation
	UPDATE=1 $(CARGO) test --package fuzz --test replay generated_entries

crds: generate ## The same
