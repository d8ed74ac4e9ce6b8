# Two commands: `make repro` runs the pipeline, `make test` the tests; both install what they need.
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
STUDIES := calm_study rssm_sweep rssm_slow engram_study

.PHONY: install repro quick studies readme test nightly lint lock audit

install: .venv/installed

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v in ((3, 11), (3, 12)) or sys.exit("mimi-dynamics needs Python 3.11 or 3.12, this is %d.%d; try: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	touch $@

repro: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

# A first look, in a clone of the last commit: one language, the stages up to predict at their default
# settings, and the controls, which DVC leaves out while their committed result is that of code and settings.
# Results of all other stages are removed first, so that none of the whole run passes for one of this.
quick: install
	rm -rf runs/quick
	git clone -q . runs/quick
	mkdir -p runs/downloads runs/quick/runs
	ln -s "$(CURDIR)/runs/downloads" runs/quick/runs/downloads
	cd runs/quick && git ls-files metrics plots | grep -Ev '/(codec|codec_training|controls)\.' | xargs rm
	cd runs/quick && PATH="$(CURDIR)/$(BIN):$$PATH" dvc exp run --name quick -S 'ingest.asterisk.languages=[it]' -S 'ingest.test_voices=[]' controls predict
	cd runs/quick && "$(CURDIR)/$(BIN)/python" src/figures.py && "$(CURDIR)/$(BIN)/python" src/bets.py
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

# All tests, slow ones too, and again those that train models, as other processors would run them.
nightly: install
	$(BIN)/python tools/nightly.py

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
