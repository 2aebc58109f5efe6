# Needs python3.11 with venv and pip, and a network for the first run. Everything is installed into .venv.

PYTHON ?= python3.11
HOST ?= 0.0.0.0
PORT ?= 7860
# Test processes; more than two cores have, as many tests wait for a clock or another process.
WORKERS ?= 4
# More arguments for the program of a target, e.g. make test ARGS="-k easy".
ARGS ?=
# The container engine with its options; by default docker or podman, whichever is installed.
CONTAINER_TOOL ?=

# All policies but look_only, which plays without a budget.
SUITE_POLICIES := expert do_nothing cautious escalate_all asker guesser thorough patient batch \
  orderly ritual ritual_bow always_asks never_asks blunt naive reckless random

BIN := .venv/bin
STAMP := .venv/.installed

# Jupyter's libraries, which nbmake imports, are for `make notebooks` alone.
PYTEST = $(BIN)/pytest -p no:nbmake -n $(WORKERS) --dist worksteal

# uv trusts the certificates of the system, like pip and curl, and uses only the Python of .venv.
export UV_SYSTEM_CERTS := true
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
# Some machines forbid bytecode; then each of the many processes of a target compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## Create .venv, or update it after a change of the locked dependencies

$(STAMP): pyproject.toml uv.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv sync --frozen --extra dev --python $(BIN)/python
	@touch $@

serve: $(STAMP) ## Start the server (HOST=0.0.0.0 PORT=7860)
	$(BIN)/safeact serve --host $(HOST) --port $(PORT) $(ARGS)

test: $(STAMP) ## Run the tests (WORKERS=4)
	$(PYTEST) $(ARGS)

coverage: $(STAMP) ## Run the tests with branch coverage; fails under 95%
	$(PYTEST) --cov --cov-report=term $(ARGS)

lint: $(STAMP) ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

crowd: $(STAMP) ## Play 1,024 WebSocket sessions at once (SESSIONS=1024)
	SESSIONS=$(or $(SESSIONS),1024) $(BIN)/pytest tests/server/websocket/test_crowd.py --durations=1 $(ARGS)

bench: $(STAMP) ## Measure speed, and the size of answers by door and view
	$(BIN)/python -m benchmarks.speed $(ARGS)
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.views

chaos: $(STAMP) ## Inject faults, and check that no acknowledged step is lost (ARGS=--quick)
	$(BIN)/python -m tools.chaos.faults $(ARGS)

replicas-check: $(STAMP) ## Play on two replicas behind nginx with Redis, as in compose.yaml
	$(BIN)/python -m tools.servers.replicas

audit: $(STAMP) ## Check the invariants of the environment
	$(BIN)/safeact audit $(ARGS)

# A run that was stopped goes on with the first task and level that is missing.
AUDIT_LEVELS ?= 1 2 3 4 5
AUDIT_TASKS ?= easy medium hard medical cloud_infra

audit-variants: $(STAMP) ## Record every audit on every level and framing, 200 seeds (hours; AUDIT_LEVELS=4)
	mkdir -p results/audit
	set -e; for level in $(AUDIT_LEVELS); do for task in $(AUDIT_TASKS); do \
	  file=results/audit/$$task-level-$$level.json; \
	  [ -e $$file ] || { \
	    $(BIN)/safeact audit --seeds 200 --task $$task --level $$level --framing all --json $$file.part $(ARGS); \
	    mv $$file.part $$file; \
	  }; \
	done; done

# Version 2's episodes of language models: the table of results says how each set was recorded.
RECORDS = $(wildcard results/models/*.jsonl.gz results/lm/*/chats.jsonl.gz results/lm/*/reward.jsonl.gz)

verify: $(STAMP) ## Verify every recorded report of the suite, and replay the episodes of language models
	ls -d results/suite_v2/*/ | xargs -n 1 -P $(WORKERS) $(BIN)/safeact verify
	set -e; for file in $(RECORDS); do \
	  found=$$(gzip -dc $$file | $(BIN)/safeact replay --all /dev/stdin) || { echo "$$found"; exit 1; }; \
	  echo "$$file: $$(echo "$$found" | wc -l) episodes, each as it is recorded"; \
	done

redteam: $(STAMP) ## Search an hour for harmful final states with a high grade (ARGS="--minutes 10")
	$(BIN)/python -m tools.redteam --json results/redteam.json $(ARGS)

compat: $(STAMP) ## Play through every OpenEnv client and run OpenEnv's validators
	$(BIN)/python tools/compat/clients.py $(ARGS)

integrations: $(STAMP) ## Test the integrations with the real libraries, each in its own environment
	$(BIN)/python -m tools.compat.integrations $(ARGS)

notebooks: $(STAMP) ## Run the notebooks of examples/, all but the one that trains
	$(BIN)/pytest --nbmake examples/play_and_look.ipynb examples/evaluate.ipynb $(ARGS)

# Torch is installed into its own environments.
TRAIN := .integrations/train
TRL := .integrations/train-trl
LM := .integrations/train-lm

train train-ppo: | $(TRAIN)
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[gymnasium]' torch==2.13.0
	$(TRAIN)/bin/python -m scripts.$(LEARNER) $(ARGS)

train: LEARNER = train_q
train: ## Train small policies by Q-learning on every task, log them in results/training (hours)
train-ppo: LEARNER = train_ppo
train-ppo: ## Train them by PPO instead

TRAINED ?= 0 1 2

play-trained: | $(TRAIN) ## Play the official suite with the networks of these seeds (TRAINED="0 1 2"), and report it
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[gymnasium]' torch==2.13.0
	set -e; for seed in $(TRAINED); do \
	  name=q_learning_$$seed; $(TRAIN)/bin/python -m scripts.play_trained --seed $$seed; \
	  mkdir -p results/suite_v2/$$name; cp runs/suite_v2/$$name/report.json results/suite_v2/$$name/; \
	  gzip -9nc runs/suite_v2/$$name/trajectories.jsonl > results/suite_v2/$$name/trajectories.jsonl.gz; \
	done

$(TRAIN) $(TRL) $(LM):
	$(PYTHON) -m venv $@

# What a CPU can do in an hour. On a GPU leave out --cpu and raise the numbers.
GRPO := --model local --task easy --cpu --sft runs/grpo/data/sft.jsonl --sft-steps 12 --sft-tokens 3072 \
  --sft-learning-rate 2e-4 --steps 1 --generations 2 --completion-tokens 512 --evaluate 0 --attempts 2 \
  --answer-tokens 72

train-grpo: $(STAMP) | $(TRL) ## Train a language model a little, and measure it before and after (an hour)
	$(TRL)/bin/python -m pip install --quiet --disable-pip-version-check -e . gguf==0.19.0 \
	  -r tests/integrations/requirements/trl.txt
	rm -rf runs/grpo
	$(BIN)/safeact export runs/grpo/data --task easy --seeds 0-19 --form sft
	$(TRL)/bin/python scripts/train_grpo.py $(GRPO) --out runs/grpo/run $(ARGS)
	mkdir -p results/grpo
	cp runs/grpo/run/training.json results/grpo/
	for when in before after; do gzip -9nc runs/grpo/run/$$when/episodes.jsonl > results/grpo/$$when.jsonl.gz; done

# One run of a seed, most of an hour on a core; started again, it goes on from its last checkpoint.
LM_SEED ?= 0

train-lm: $(STAMP) | $(LM) ## Train a small language model from nothing, measure it, keep its log (LM_SEED=0, an hour)
	$(LM)/bin/python -m pip install --quiet --disable-pip-version-check -e . \
	  -r tests/integrations/requirements/language_model.txt
	$(LM)/bin/python -m scripts.train_lm --seed $(LM_SEED) --out runs/lm/$(LM_SEED) $(ARGS)
	mkdir -p results/lm/$(LM_SEED)
	set -e; for file in runs/lm/$(LM_SEED)/*.jsonl; do \
	  gzip -9nc $$file > results/lm/$(LM_SEED)/$$(basename $$file).gz; \
	done

# 2,000 whole chats, once each, then groups of eight. GPU="--model tiny --cpu ..." tries the way.
GPU ?= --model local --sft-steps 2000 --sft-tokens 8192 --steps 100 --generations 8 --scenarios 2 \
  --completion-tokens 4096 --evaluate 0-19 --suite --temperature 0
GPU_CHATS ?= 0-999

train-lm-gpu: $(STAMP) | $(TRL) ## Train a pretrained language model on a GPU: chats, then GRPO, measured before and after
	$(TRL)/bin/python -m pip install --quiet --disable-pip-version-check -e . gguf==0.19.0 \
	  -r tests/integrations/requirements/trl.txt
	rm -rf runs/lm-gpu
	$(BIN)/safeact export runs/lm-gpu/data --task easy --level 1 --level 2 --seeds $(GPU_CHATS) --form sft
	$(TRL)/bin/python scripts/train_grpo.py --task easy --level 1 --level 2 --sft runs/lm-gpu/data/sft.jsonl \
	  $(GPU) --out runs/lm-gpu/run $(ARGS)

notebook-grpo: | $(TRL) ## Run the notebook that trains with GRPO, two steps
	$(TRL)/bin/python -m pip install --quiet --disable-pip-version-check -e . ipykernel nbclient \
	  -r tests/integrations/requirements/trl.txt
	$(TRL)/bin/jupyter execute examples/grpo_with_trl.ipynb

golden: $(STAMP) ## Rewrite the golden traces and print the difference
	$(BIN)/python tools/golden.py $(ARGS)

results: $(STAMP) ## Record policies, suite, audit, benchmark, load and soak again (over an hour)
	$(BIN)/safeact eval --seeds 0-199 --split both --json results/reference_policies.json
	set -e; for policy in $(SUITE_POLICIES); do \
	  folder=results/suite_v2/$$policy; \
	  $(BIN)/safeact eval --suite v2 --policy $$policy --no-resume --out $$folder; \
	  gzip -9nf $$folder/trajectories.jsonl; \
	done
	$(BIN)/safeact audit --seeds 1000 --json results/audit.json
	$(BIN)/python tools/compat/clients.py --json results/compat.json
	$(BIN)/python -m benchmarks.speed --json results/bench.json
	$(BIN)/python -m benchmarks.scaling --json results/scaling.json
	$(BIN)/python -m benchmarks.sessions --json results/sessions.json
	$(BIN)/python -m tools.chaos.faults --json results/chaos.json
	$(BIN)/python -m tools.servers.fuzz_api --json results/api.json
	$(BIN)/python -m benchmarks.overload --json results/load.json
	$(BIN)/python -m benchmarks.soak --json results/soak.json
	$(BIN)/python tools/documents/plots.py

# Ten scenarios per level and framing, two of each task: some hours on two processors. A run that was stopped goes
# on where it was. More, or less: SEEDS=0-9, LEVELS=1, ARGS="--task easy".
LOCAL_MODELS ?= SmolLM2-135M-Instruct gemma-3-270m
LEVELS ?= 1 2
FRAMINGS ?= rules goal
SEEDS ?= 0-1
MODEL_RESULTS ?= results/models
MODEL_RUNS ?= runs/local

results-local: $(STAMP) ## Record the local models with the prompt small (LEVELS="1 2" FRAMINGS="rules goal" SEEDS=0-1)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[local-llm]'
	mkdir -p $(MODEL_RESULTS)
	set -e; for model in $(LOCAL_MODELS); do \
	  $(BIN)/python inference.py --agent local --local-model $$model --prompt small --predict --answer-tokens 128 \
	    $(LEVELS:%=--level %) $(FRAMINGS:%=--framing %) --seeds $(SEEDS) --lines \
	    --out $(MODEL_RUNS)/$$model --resume --json $(MODEL_RESULTS)/$$model.json $(ARGS); \
	  gzip -9nc $(MODEL_RUNS)/$$model/episodes.jsonl > $(MODEL_RESULTS)/$$model.jsonl.gz; \
	done

plots: $(STAMP) ## Draw the recorded results again
	$(BIN)/python tools/documents/plots.py $(ARGS)

docs: $(STAMP) ## Rewrite the generated tables of the documents and of the page
	$(BIN)/python tools/documents/tables.py $(ARGS)
	$(BIN)/python -m tools.documents.page $(ARGS)

site: $(STAMP) ## Build the site of docs/ in build/site, and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

schemathesis: $(STAMP) ## Fuzz the API against its OpenAPI document with all checks of schemathesis
	$(BIN)/python -m tools.servers.fuzz_api $(ARGS)

load: $(STAMP) ## Hold 10,000 episodes over HTTP, then overload the server
	$(BIN)/python -m benchmarks.overload $(ARGS)

soak: $(STAMP) ## Play for 30 minutes and report the slope of memory (ARGS="--minutes 10")
	$(BIN)/python -m benchmarks.soak $(ARGS)

# The dependencies of the package with its extras for servers.
build/runtime.txt: $(STAMP)
	@mkdir -p $(@D)
	$(BIN)/uv export --quiet --frozen --no-emit-project --no-annotate --extra redis --extra otel --output-file $@

pip-audit: build/runtime.txt ## Check the locked dependencies for known vulnerabilities; needs the network
	$(BIN)/uv tool run pip-audit --requirement $< --require-hashes --disable-pip --strict \
	  --progress-spinner off $(ARGS)

sbom: $(STAMP) ## Write build/sbom.cdx.json, the CycloneDX bill of materials of a server
	UV_PROJECT_ENVIRONMENT=build/runtime $(BIN)/uv sync --quiet --frozen --no-editable --extra redis --extra otel \
	  --python $(BIN)/python
	$(BIN)/uv tool run --from cyclonedx-bom cyclonedx-py environment build/runtime/bin/python \
	  --pyproject pyproject.toml --mc-type application --output-reproducible --validate \
	  --output-format JSON --output-file build/sbom.cdx.json

container-check: $(STAMP) ## Build the image, run it hardened, play in it (CONTAINER_TOOL=podman)
	$(BIN)/python -m tools.servers.container_check $(if $(CONTAINER_TOOL),--tool "$(CONTAINER_TOOL)") $(ARGS)

distributions: $(STAMP) ## Build dist/: the wheel and the source distribution, and check their metadata
	rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist
	$(BIN)/uv tool run twine check --strict dist/*

clean: ## Delete .venv, caches and build output
	rm -rf .venv .integrations build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
