# Two commands: `make repro` runs the pipeline, `make test` the tests; both install what they need.
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
STUDIES := calm_study bet4_study bet4_other rssm_sweep rssm_slow bet1_study bet2_study bet3_study ranking_study
ROWS := untrained log_mel lyra steps_400 steps_1600 leg_1 leg_2 read_codec read_lyra

# Two environments in one folder: what the pipeline needs, and what tests and lint need on top of it. The second
# lock holds all of the first at the same versions, so that installing one never takes from the other.
# With TORCH=cpu, torch comes without CUDA from PyTorch's own index; the locks then give versions, but no hashes.
TORCH ?= $(if $(wildcard .venv/torch-cpu),cpu,cuda)
$(if $(filter cpu cuda,$(TORCH)),,$(error TORCH=$(TORCH) is unknown; it may be cpu or cuda))
UV_PIP = $(BIN)/uv pip $(1) --quiet --compile-bytecode --python $(BIN)/python
SYNC_cuda = $(call UV_PIP,sync) --require-hashes $(1)
SYNC_cpu = $(call UV_PIP,install) --torch-backend cpu --no-verify-hashes --constraint $(1) --extra pipeline $(2) -r pyproject.toml
SYNC = $(call SYNC_$(TORCH),$(1),$(2))
SYNC_DEV = $(call SYNC,requirements-dev.lock,--group dev)
COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade

# A clone of the last commit in runs/<name>, which uses the downloads of this one.
CLONE = rm -rf runs/$(1) && git clone -q . runs/$(1) && mkdir -p runs/downloads runs/$(1)/runs && \
	ln -s "$(CURDIR)/runs/downloads" runs/$(1)/runs/downloads

.PHONY: install install-dev repro compare quick mimi row studies readme site screenshots test nightly lint types lock audit

install: .venv/torch-$(TORCH)

install-dev: .venv/installed-dev

# Where development tools are installed, they stay and follow their own lock. The other build of torch starts anew.
.venv/torch-$(TORCH): requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v in ((3, 11), (3, 12)) or sys.exit("mimi-dynamics needs Python 3.11 or 3.12, this is %d.%d; try: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(if $(wildcard $@),,--clear) .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(if $(wildcard .venv/installed-dev),$(SYNC_DEV),$(call SYNC,$<))
	touch $@

.venv/installed-dev: requirements-dev.lock .venv/torch-$(TORCH)
	$(SYNC_DEV)
	touch $@

# Ends with the closing screen, whether or not anything had to run; `bets` leaves it to that.
repro: install
	CLOSING_SCREEN=later PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro
	@$(BIN)/python tools/compare.py

# The results here beside those of the last commit; fails only if the verdict on a bet flips.
compare: install
	@$(BIN)/python tools/compare.py

# A first look, in a clone of the last commit: one language, one frame ahead by two trainings, all else at default
# settings, and the controls, which DVC leaves out while their committed result is that of code and settings.
# Results of all other stages are removed first, so that none of the whole run passes for one of this.
quick: install
	$(call CLONE,quick)
	cd runs/quick && git ls-files metrics plots | grep -Ev '/(codec|codec_training|controls)\.' | xargs rm
	cd runs/quick && PATH="$(CURDIR)/$(BIN):$$PATH" dvc exp run --name quick -S 'ingest.asterisk.languages=[it]' -S 'ingest.test_voices=[]' -S 'horizons=[1]' -S trainings=2 controls horizons
	cd runs/quick && "$(CURDIR)/$(BIN)/python" src/figures.py && "$(CURDIR)/$(BIN)/python" src/bets.py

# A row of results for Kyutai's Mimi (docs/tutorials/mimi.md), in a clone of the last commit that is kept while there is no
# newer one, so that a run which was stopped goes on. WEIGHTS=/path/to/file.safetensors takes the place of the hub.
mimi: install
	test "$$(git --git-dir=runs/mimi/.git rev-parse HEAD 2>/dev/null)" = "$$(git rev-parse HEAD)" || { $(call CLONE,mimi); }
	$(BIN)/python tools/measure_codec.py runs/mimi mimi $(if $(WEIGHTS),--weights '$(WEIGHTS)')

# Rows of results for the codec of the committed metrics, and for published ones beside it.
row: install
	@$(BIN)/python tools/record_row.py

# Trainings that take longer than the pipeline: their stages are frozen, and DVC never runs them.
studies: install
	set -e; for study in $(STUDIES); do \
		$(BIN)/python src/$$study.py; PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc commit -f $$study; done
	set -e; for row in $(ROWS); do \
		$(BIN)/python src/codec_row.py $$row; PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc commit -f codec_row_frozen@$$row; done

# README.md and the pages of docs/ that have a template, from metrics/ and from the code.
readme: install
	$(BIN)/python tools/write_readme.py

# README.md and docs/ as a site, build/site/index.html; a link that leads nowhere fails. In an environment of its own,
# whose two packages are pinned in pyproject.toml and not in the locks.
site:
	$(PYTHON) -m venv runs/site
	runs/site/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	runs/site/bin/uv pip install --quiet --python runs/site/bin/python --group docs
	$(PYTHON) tools/site_pages.py
	NO_MKDOCS_2_WARNING=1 runs/site/bin/mkdocs build --quiet --strict

# The pictures of docs/img/, by a headless browser; after changes of the README, the page or the closing screen.
screenshots: install site
	$(BIN)/python tools/screenshots.py

test: install-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# All tests, slow ones too; again those that train models, as other processors would run them; the quick ones with the
# share of lines that they run, by a tool beside the environment and not in the locks; and the site.
nightly: install-dev
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target runs/coverage --no-deps --upgrade --group coverage
	$(BIN)/python tools/nightly.py

lint: install-dev
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/ruff format --check src tests benchmarks tools

# mypy on src and tools, in an environment of its own that looks at the packages of this one.
types: install
	$(PYTHON) -m venv runs/types
	runs/types/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	runs/types/bin/uv pip install --quiet --python runs/types/bin/python --group types
	runs/types/bin/mypy --python-executable $(BIN)/python --cache-dir runs/types/cache

# Writes exact versions with hashes and no download address; the second command takes over those of the first.
lock: install
	$(COMPILE) --extra pipeline --group dev --output-file requirements-dev.lock
	$(COMPILE) --extra pipeline --constraint requirements-dev.lock --output-file requirements.lock

# Needs a network. Without --strict what cannot be looked up counts as harmless.
audit:
	$(PYTHON) -m venv runs/audit
	runs/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	runs/audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements-dev.lock
