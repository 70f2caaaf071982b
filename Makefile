# Two commands on a fresh machine: `make verify` and `make test`. Both set up .venv first where needed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# One process for each core, and one thread in each; claims that read the same rows are tested in one process.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

.PHONY: verify test test-slow lint mutants mutate catalogue report studies clean docs test-browser release

verify: $(READY)
	$(BIN)/kdtheory verify $(ARGS)

test: lint
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(READY)
	$(PYTEST) -m slow $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

mutants: $(READY)
	$(BIN)/kdtheory verify --mutants $(ARGS)

# One-line wrong versions of the library, and the tests and claims that notice them; the table is tests/mutants.csv.
mutate: $(READY)
	$(BIN)/python tests/mutate.py --check $(ARGS)

# What the claims say of themselves, which `list`, `show` and `cite` read.
catalogue: $(READY)
	$(BIN)/python -m kdtheory.catalogue

report: $(READY)
	$(BIN)/kdtheory report $(ARGS)

# Every figure and table under figures/, from its script: some two hours on two cores; run.json has the seconds of each.
studies: $(READY)
	for script in studies/[a-z]*.py; do $(BIN)/kdtheory study $$(basename $$script .py) || exit 1; done

# The documentation in build/site, strictly: a warning is an error. Errata are executed for it; RUN=runs/NAME has
# the verdicts of another run, of all claims.
RUN ?= build/errata
DOCS := .venv/.ready-docs
docs: $(DOCS)
	$(BIN)/kdtheory verify $$($(BIN)/python docs/generate/errata.py) --out build/errata --resume
	KDTHEORY_RUN=$(RUN) $(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going docs build/site

# The report and the site in headless Chromium, which is installed where it is missing.
CHROMIUM ?= chromium
BROWSER := .venv/.ready-browser
test-browser: docs $(BROWSER)
	command -v $(CHROMIUM) > /dev/null || { apt-get update --quiet && apt-get install --yes --quiet chromium; }
	$(BIN)/kdtheory report --run build/errata --out build/report.html
	CHROMIUM=$$(command -v $(CHROMIUM)) $(BIN)/python -m pytest --numprocesses 0 \
		--override-ini python_files='check_*.py' tests/browser $(ARGS)

# Sdist and wheel in dist/: metadata checked, and a claim executed from each in an environment of its own.
RELEASE := .venv/.ready-release
release: $(RELEASE)
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	KDTHEORY_DIST=dist $(BIN)/python -m pytest --numprocesses 0 tests/test_wheel.py $(ARGS)

.venv/.ready-%: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$*]"
	touch $@

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
