# Each line calls one script. `make demo` and `make test` set up everything they need.
.PHONY: demo test check bench up down

demo:   ## an OcrService on a Kubernetes of its own, from nothing to text
	@testbed/venv && .venv/bin/python -m testbed.demo $(if $(CLUSTER),--cluster "$(CLUSTER)") $(if $(IMAGE_REGISTRY),--registry "$(IMAGE_REGISTRY)") $(if $(YES),--yes)

test:   ## every tier but scale and benches
	@testbed/venv && requirements/lock --check && .venv/bin/pytest -n 2 --no-loadscope-reorder tests/e2e tests/integration tests/contract tests/unit --junitxml=build/test-results.xml

check:  ## lint, types, unit and contract tests: under a minute
	@testbed/venv && testbed/check

bench:  ## measurements, results under bench/
	@testbed/venv && .venv/bin/pytest bench -s

up:     ## a Kubernetes on this machine; prints the export KUBECONFIG= line
	@python3 -m testbed up

down:   ## ends it, with everything it made
	@python3 -m testbed down
