CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help test lint e2e testbed generate crds demo demo-down

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: lint testbed ## Check formatting and lints, and run all tests
	$(CARGO) test --workspace --all-targets --no-fail-fast

lint: ## Check formatting and lints only
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

e2e: ## Run the tests that need real nodes, as root on Linux
	$(CARGO) run --package testbed -- build --real
	TESTBED_REAL=1 $(CARGO) test --package testbed --test node
	TESTBED_REAL=1 $(CARGO) test --package multigres-operator --test e2e -- --nocapture

# Tests would build what is missing themselves, but in silence, and it takes ten minutes the first time.
testbed: ## Build the programs of the control planes that the tests run on
	$(CARGO) run --package testbed -- build

demo: ## Show the operator at work on a real control plane; DEMO_EXIT=1 leaves nothing running
	@tests/demo/demo.sh

demo-down: ## End what the demo left running
	@tests/demo/demo.sh down

generate: ## Write the committed generated files anew: the chart's templates and CRDs, the list of rules
	UPDATE=1 $(CARGO) test --package multigres-operator --test chart generated_files
	UPDATE=1 $(CARGO) test --package multigres-operator --test integration documentation

crds: generate ## The same
