## Variables of `make reproduce`, which is also what a bare `make` does:
##   PROFILE=smoke|cpu|transfer|waste8|paper (or the path of a YAML file)   DATA=folder-zip-or-CSV   OUT=results/name
##   SET='{"epochs": 2, "folds": [0]}' (any keys of the profile)   TORCH_INDEX=index of torch's build, else chosen by itself
##   DRY_RUN=1 (say how many trainings, hours and GB it takes; make no result)

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

# Values reach the recipes through the environment, so that no quote or space in a path can break a command.
export PROFILE DATA OUT SET DRY_RUN
export CALLER := $(PWD)

.PHONY: reproduce help lint test unit notebook-outputs workflow notebooks drawings claims lab bench slides site browser student clean

# exec and PAPER_REPRO_PARENT: a signal to make, or its death, ends the whole run.
reproduce: $(INSTALLED)  ## the environment, then every notebook of a profile and what it makes (docs/reproduce.md)
	@PAPER_REPRO_PARENT=$$PPID exec $(BIN)/python -m paper_repro reproduce \
		--profile "$$PROFILE" --data "$$DATA" --out "$$OUT" --set "$$SET" $${DRY_RUN:+--dry-run}

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

$(INSTALLED): pyproject.toml constraints.txt $(VENV)/torch
	@$(PIP_INSTALL) -e '.[test,transfer]'
	@touch $@

# On Linux x86-64 without an NVIDIA driver torch's build for processors does: 1 GB instead of 6. Others get it from pip.
CPU_INDEX = $(shell test "$$(uname -sm)" = "Linux x86_64" && test ! -e /proc/driver/nvidia && \
	! command -v nvidia-smi >/dev/null && echo https://download.pytorch.org/whl/cpu)
ANSWERS = $(BIN)/python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)'
TORCH_FROM = $(PIP_INSTALL) --no-deps torch torchvision --index-url

$(VENV)/torch: constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed: install it, or name one with" \
		"make PYTHON=/path/to/python3.12"; exit 2; }
	@echo "Installing the environment into $(VENV): some minutes and 1 to 6 GB, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if test -n "$(TORCH_INDEX)"; then $(TORCH_FROM) "$(TORCH_INDEX)"; elif test -n "$(CPU_INDEX)"; then \
		{ $(ANSWERS) "$(CPU_INDEX)/torch/" 2>/dev/null && $(TORCH_FROM) "$(CPU_INDEX)"; } || \
		echo "$(CPU_INDEX) does not answer: torch comes from pip's own index, with 5 GB that only a GPU needs"; fi
	@touch $@

# What only one target needs: the extra of that name.
$(VENV)/installed-%: $(INSTALLED)
	@$(PIP_INSTALL) -e '.[$*]'
	@touch $@

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s%s\n", $$1, $$2} /^## / {print substr($$0, 4)}' Makefile

lint: $(INSTALLED)  ## style and format (ruff), who may import whom (import-linter), types (mypy)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

test: unit notebook-outputs workflow  ## all tests: unit, notebook-outputs, workflow

unit: $(INSTALLED)  ## the tests of the package
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto \
		-m "not trashnet and not workflow and not site and not browser"

nbval = cd "$$copy" && PAPER_REPRO_CACHE="$$copy/cache" OMP_NUM_THREADS=1 $(abspath $(BIN))/python -m pytest --rootdir "$$copy" \
	-c "$$copy/pyproject.toml" -n auto --dist loadscope --nbval-lax --nbval-sanitize-with $(CURDIR)/tests/nbval.cfg \
	--nbval-cell-timeout 1200 --nbval-kernel-startup-timeout 300

# In a copy, so that the notebooks' results do not mix with one's own; first those that train what others show or train.
notebook-outputs: $(INSTALLED)  ## the committed notebooks run again and compared with their outputs
	copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && mkdir "$$copy/data" && \
	cp -R notebooks profiles pyproject.toml conftest.py "$$copy" && \
	cp -R data/splits data/rendered data/rendered_masks "$$copy/data" && \
	mkdir "$$copy/results" && cp -R results/reference "$$copy/results" && \
	( $(nbval) notebooks/0[23]_*.ipynb notebooks/solutions/solutions_02.ipynb && \
	$(nbval) notebooks --ignore-glob "*/0[23]_*" --ignore-glob "*_02.ipynb" )

workflow: $(INSTALLED)  ## whole runs of the workflow (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m workflow

in_place = for notebook in $(1); do \
	$(BIN)/python -m paper_repro.workflow.execute "$$notebook" --output "$$notebook" || exit 1; done

# First the controls that notebook 06 shows where they exist.
notebooks: $(INSTALLED)  ## the committed notebooks executed anew, in place, and README's picture
	$(BIN)/python -m paper_repro.workflow.execute notebooks/02_baseline.ipynb --parameters '{"arm": "none-shuffled"}' \
		--output results/smoke/none-shuffled/fold0/02_baseline.ipynb
	for arm in stage-planted stage-untied; do \
		$(BIN)/python -m paper_repro.workflow.execute notebooks/03_stage_se_training.ipynb \
		--parameters "{\"arm\": \"$$arm\"}" --output results/smoke/$$arm/fold0/03_stage_se_training.ipynb || exit 1; done
	$(call in_place,$(sort $(wildcard notebooks/*.ipynb notebooks/solutions/*.ipynb)))
	$(BIN)/python docs/front_picture.py

drawings: $(INSTALLED)  ## the lessons' drawings, notebooks/drawings/*.svg
	$(BIN)/python notebooks/drawings/draw.py

# All in one go, as tests hold them to one another.
claims: $(INSTALLED)  ## what comes from results/reference: ledger, finding, tables of results, model card, notebook 07, figures
	$(BIN)/python -m paper_repro.evidence.ledger
	$(BIN)/python -m paper_repro.evidence.rules
	$(call in_place,notebooks/07_claims.ipynb notebooks/solutions/solutions_07.ipynb)
	mkdir -p results/reference/figures
	cp results/claims/figures/*.png results/claims/figures/*.csv results/reference/figures

lab: $(INSTALLED)  ## JupyterLab
	$(BIN)/python -m jupyterlab

bench: $(INSTALLED)  ## measure speed and memory
	$(BIN)/python benchmarks/run.py

# reveal.js and MathJax come out of two packages of PyPI, once; after that no network is needed.
slides: $(INSTALLED)  ## results/slides: the lessons' chosen cells as slides, readable without a network
	test -d build/slides/nbclassic || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--target build/slides sphinx-revealjs==3.2.1 nbclassic==1.3.3
	rm -rf results/slides && mkdir -p results/slides
	cp -R build/slides/sphinx_revealjs/_static/revealjs results/slides/reveal.js
	cp -R build/slides/nbclassic/static/components/MathJax results/slides/mathjax
	$(BIN)/python -m nbconvert --log-level WARN --to slides --template slides \
		--TemplateExporter.extra_template_basedirs=. --no-input --HTMLExporter.embed_images=True \
		--SlidesExporter.reveal_url_prefix=reveal.js \
		--HTMLExporter.mathjax_url="mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full" \
		--output-dir results/slides notebooks/0[1-6]_*.ipynb
	@echo "results/slides: open a page in a browser; S shows the notes, F fills the screen"

# All pages anew, so that a warning cannot hide behind a page that did not change.
site: $(VENV)/installed-site  ## build/site: notebooks, pages and API as a web site, readable without a network
	rm -rf build/site
	$(BIN)/python -m sphinx -E -W --keep-going --quiet -c docs -d build/doctrees . build/site
	$(BIN)/python -m pytest -q -m site tests/test_site.py
	@echo "build/site/index.html"

browser: site $(VENV)/installed-browser  ## JupyterLab, the explorer and the site in Chromium (apt-get install chromium)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/test_browser.py

STUDENT ?= build/student.zip

student: $(INSTALLED)  ## build/student.zip (or STUDENT=path): the committed project without solutions and answers
	copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && mkdir -p build && \
	git archive --prefix paper_repro/ HEAD -- . ':(exclude)notebooks/solutions' | tar -x -C "$$copy" && \
	$(BIN)/python -m nbconvert --log-level WARN --to notebook --inplace --TagRemovePreprocessor.enabled=True \
		--TagRemovePreprocessor.remove_cell_tags=answer "$$copy"/paper_repro/notebooks/*.ipynb && \
	$(BIN)/python -m zipfile -c "$(STUDENT)" "$$copy/paper_repro"

clean:  ## remove the environment and what tools left behind; never results
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
