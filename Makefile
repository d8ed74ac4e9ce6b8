# Two commands: `make repro` runs the pipeline, `make test` the tests; both install what they need.
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
STUDIES := calm_study rssm_sweep rssm_slow engram_study

# A first look: one voice, small models, short training. Too rough for verdicts, and the page says so.
QUICK := ingest.asterisk.languages=[it] ingest.test_voices=[] ingest.max_seconds=3 latents.dim=8 \
	horizons=[1,2] predict.heads=[gaussian] predict.width=16 predict.pretrain_epochs=1 predict.epochs=1 \
	predict.min_steps=20 predict.bootstrap_samples=100 controls.frames=4000 controls.dim=4 \
	structure.contexts=[1] structure.widths=[8] structure.listen_clips=2 \
	rollout.samples=4 rollout.starts=20 rollout.listen_clips=2 recurrence.epochs=1 \
	rssm.state_dims=[4] rssm.rec_dim=8 rssm.budgets=[4.0] rssm.epochs=1 rssm.width=32 \
	rssm.estimator_width=16 encoders.width=8 reconstruct.clips=2 reconstruct.english_clips=2 \
	reconstruct.fit_clips=20 reconstruct.listen_clips=2 \
	engram.epochs=1 engram.seeds=1 engram.width=16 engram.rows=128 \
	calm.layers=1 calm.context_frames=16 calm.head_depth=1 calm.head_batch=2 calm.epochs=1 \
	calm.dynamics_width=32 calm.temperatures=[1.0]

.PHONY: install repro quick studies readme test lint lock audit

install: .venv/installed

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v in ((3, 11), (3, 12)) or sys.exit("mimi-dynamics needs Python 3.11 or 3.12, this is %d.%d; try: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	touch $@

repro: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

quick: install
	rm -rf runs/quick
	git clone -q . runs/quick
	mkdir -p runs/downloads runs/quick/runs
	ln -s "$(CURDIR)/runs/downloads" runs/quick/runs/downloads
	cd runs/quick && PATH="$(CURDIR)/$(BIN):$$PATH" dvc exp run --name quick $(foreach setting,$(QUICK),-S '$(setting)')
	@echo "Look at $(CURDIR)/runs/quick/report/index.html"

# Trainings that take longer than the pipeline: their stages are frozen, and DVC never runs them.
studies: install
	set -e; for study in $(STUDIES); do \
		$(BIN)/python src/$$study.py; PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc commit -f $$study; done

# The numbers of README.md, from metrics/.
readme: install
	$(BIN)/python tools/write_readme.py

test: install
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/ruff format --check src tests benchmarks tools

# Writes exact versions with hashes and no download address.
lock: install
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade --output-file requirements.lock

# Needs a network. Without --strict what cannot be looked up counts as harmless.
audit:
	$(PYTHON) -m venv runs/audit
	runs/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	runs/audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.lock
