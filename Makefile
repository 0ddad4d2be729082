# Every target sets itself up: Python 3.11 or later, make and pip are all it needs. `make` alone lists them.
SHELL := /bin/bash

# Where things are, and what one may choose: make demo PEOPLE=20000 PORT=4600
VENV ?= .venv
PORT ?=
PEOPLE ?=
KEEP ?=
PY := $(VENV)/bin/python
READY := $(VENV)/.dsr-ready
CLOUD = $(if $(PORT),--port $(PORT)) $(if $(PEOPLE),--people $(PEOPLE))

# Tools neither phone home nor leave their files outside build/.
export SAM_CLI_TELEMETRY := 0
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/build/hypothesis

.DEFAULT_GOAL := help
.PHONY: help demo up down test lint bench deploy docs lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

# The environment follows the lock: made at first use, brought up to date when the lock or the project file changes.
$(READY): requirements/dev.lock requirements/install pyproject.toml
	@requirements/install $(VENV)
	@touch $@

demo: $(READY) ## a person of the sample community gets their data, start to end, then it checks itself (PEOPLE=2000 PORT=4566 KEEP=1)
	@$(PY) -m infra.local demo $(CLOUD) $(if $(KEEP),--keep)

up: $(READY) ## start the local cloud with everything deployed and leave it running (PEOPLE=2000 PORT=4566)
	@$(PY) -m infra.local up $(CLOUD)

down: $(READY) ## stop it; what it holds is kept for the next `make up`
	@$(PY) -m infra.local down

# The local cloud mostly waits, so its tests run beside all others, which leave it the processors when it wants them.
# What it said is shown whole at the end. It packs functions/ as it stands: nobody may write compiled files there.
CLOUD_SAID := build/test-cloud.log
test: export PYTHONDONTWRITEBYTECODE := 1
test: lint ## lint, and every test (TESTS=tests/unit for a part, PYTEST="-k name" for options)
ifneq ($(TESTS)$(PYTEST),)
	$(PY) -m pytest $(PYTEST) $(TESTS)
else
	@echo '$(PY) -m pytest -q -m cloud, beside the others'
	@$(PY) -m pytest -q -m cloud >$(CLOUD_SAID) 2>&1 & cloud=$$!; \
	trap 'kill $$cloud; wait $$cloud; cat $(CLOUD_SAID); exit 130' INT TERM; \
	(set -x; nice -n 5 $(PY) -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder -m "not cloud"); others=$$?; \
	wait $$cloud; deployed=$$?; \
	echo '--- -m cloud'; cat $(CLOUD_SAID); \
	exit $$((others ? others : deployed))
endif

# The region and keys are placeholders: validation asks AWS nothing.
lint: $(READY) ## style, types and templates
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m infra.build --local --set account=000000000000 --set region=us-east-1 --set user_pool=us-east-1_lint \
		--set mailing=https://hooks.letterbird.example/dsr --set revocation=https://accounts.example/revoke
	$(VENV)/bin/cfn-lint $(wildcard template.yaml infra/craftzone/template.yaml infra/stacks/*.yaml build/plan/roles.template.json)
	AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none $(VENV)/bin/sam validate --lint

bench: $(READY) ## measure, print a table, write build/bench.json (PORT=4566)
	@$(PY) -m benchmarks $(if $(PORT),--port $(PORT))

# MAP is the company's data map, SET what its ${...} stand for. The first run asks for the stack's parameters
# (each explains itself) and keeps the answers in samconfig.toml; later runs use them.
#   make deploy MAP=datamap.yaml SET="account=123456789012 region=eu-west-1"
# Roles for the stores go out separately, by the stores' owners: build/plan/roles.template.json.
MAP ?= infra/craftzone/datamap.yaml
deploy: $(READY) ## build for AWS and deploy template.yaml (MAP=datamap.yaml SET="account=... region=...")
	$(PY) -m infra.build --aws --map $(MAP) $(foreach value,$(SET),--set $(value))
	$(VENV)/bin/sam deploy $(if $(wildcard samconfig.toml),,--guided) --template-file template.yaml \
		--capabilities CAPABILITY_NAMED_IAM --no-fail-on-empty-changeset \
		$(if $(wildcard samconfig.toml),--resolve-s3)

docs: $(READY) ## write anew what the documentation takes from the code
	$(PY) docs/draw.py

# Hashes, and no index address: whoever installs uses the index their pip is configured for. Versions stay as they
# are where they still fit; UPGRADE=1 takes the newest. What ships to AWS takes its versions from what was tested.
COMPILE = $(VENV)/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
SHIPPED = $(COMPILE) --constraints requirements/dev.lock --python-version 3.13 --python-platform aarch64-manylinux_2_28
lock: $(READY) ## write requirements/*.lock anew (UPGRADE=1 for newer versions)
	$(COMPILE) pyproject.toml --group dev --universal --python-version 3.11 --output-file requirements/dev.lock
	$(SHIPPED) --group pyproject.toml:runtime --output-file requirements/runtime.lock
	$(SHIPPED) --group pyproject.toml:sql --output-file requirements/sql.lock
	$(SHIPPED) --group pyproject.toml:lake --output-file requirements/lake.lock

clean: ## stop the local cloud and delete all that was built, its data included (the environment stays)
	@if [ -e build/local ] && [ -x $(PY) ]; then $(PY) -m infra.local down; fi
	rm -rf build .ruff_cache .hypothesis .pytest_cache .mypy_cache
