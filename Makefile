CARGO ?= cargo

# Real nodes take root on Debian or a relative of it, with the right to make namespaces.
REAL_NODES := $(shell [ -e /etc/debian_version ] && [ "$$(id -u)" = 0 ] && unshare --mount --net --pid --fork true 2>/dev/null && echo yes)

NO_REAL_NODES := real nodes take root on Debian or a relative of it, with the right to make namespaces

# What the operator did in the tests, against what it may do and how it is to speak of it.
CONDUCT := $(CARGO) test --package multigres-operator --test conduct -- --ignored
# Without real nodes some of its rights are not used.
OF_A_WHOLE_RUN := everything_that_is_granted_is_used

.DEFAULT_GOAL := help
.PHONY: help test lint fuzz e2e soak soak-anything soak-node testbed testbed-real generate crds demo demo-down

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: export TESTBED_REAL = $(REAL_NODES)
test: lint testbed$(if $(REAL_NODES),-real) ## Check formatting and lints, and run all tests, on real nodes where there can be some
	@echo "fuzz: the corpus is replayed here: libFuzzer is run with make fuzz"
	@[ -n "$(REAL_NODES)" ] || echo "e2e: skipped here: $(NO_REAL_NODES)"
	rm -rf "$${CARGO_TARGET_DIR:-target}/tmp/evidence"
	$(CARGO) test --workspace --all-targets --no-fail-fast
	$(CONDUCT) $(if $(REAL_NODES),,--skip $(OF_A_WHOLE_RUN))

lint: ## Check formatting and lints only
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	! gofmt -l tests/testbed/gomod | grep .

e2e: export TESTBED_REAL = 1
e2e: testbed-real ## Run the tests on real nodes only; ONLY=failover a part of them, UPDATE=1 writes docs/e2e.md
	@[ "$(REAL_NODES)" = yes ] || { echo "$(NO_REAL_NODES)" >&2; exit 1; }
	[ -n "$(ONLY)" ] || $(CARGO) test --package testbed --test node
	$(CARGO) test --package multigres-operator --test e2e -- $(ONLY)

soak: ## Repeat for long the scenarios that make test runs briefly: ONLY=anything, or a scenario on a node, such as ONLY=bringup
	$(MAKE) $(if $(filter anything,$(ONLY)),soak-anything,soak-node)

soak-anything: ## Run SEQUENCES=200 random sequences of edits and faults on an API server
	ANYTHING_SEQUENCES=$(or $(SEQUENCES),200) $(CARGO) test --package multigres-operator --test integration -- --nocapture anything_in_any_order

soak-node: export TESTBED_REAL = 1
soak-node: export SOAK = 1
soak-node: export REPEATS ?= 30
soak-node: testbed-real ## Repeat scenarios REPEATS=30 times on a busy real node, and write docs/soak.md
	@[ "$(REAL_NODES)" = yes ] || { echo "$(NO_REAL_NODES)" >&2; exit 1; }
	$(CARGO) test --package multigres-operator --test e2e -- $(ONLY)

fuzz: ## Have libFuzzer look for inputs that fail; ONLY=handler one target, FUZZ_SECONDS=600 each for longer
	@tests/fuzz/fuzz.sh $(ONLY)

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
