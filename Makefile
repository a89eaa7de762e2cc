# Each target sets up what it needs: `make report` and `make test` work in a fresh clone.

# the first Python of a version that labkit runs on; choose another with `make PYTHON=…`
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $$p && break; done)
BIN = .venv/bin
READY = .venv/.ready

BENCH = .venv/bench

.PHONY: report test lab notebooks site bench bench-spelling bench-accuracy clean

report: $(READY)
	@$(BIN)/labkit report $(ARGS)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# a process per core, each with one thread; a file's tests share what they set up
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile $(ARGS)

lab: $(READY)
	@$(BIN)/labkit lab $(ARGS)

notebooks: $(READY)
	@$(BIN)/labkit notebooks $(ARGS)

# the hand calculation as a page that needs no installation
site: $(READY)
	@$(BIN)/labkit site $(ARGS)

# `ARGS=--quick` for a first look
bench: $(BENCH)/.ready
	$(BENCH)/bin/python benchmarks/check_speed.py
	$(BENCH)/bin/python benchmarks/training_speed.py $(ARGS)
	$(BENCH)/bin/python benchmarks/step_speed.py $(ARGS)
	$(BENCH)/bin/python benchmarks/switches.py $(ARGS)
	$(BENCH)/bin/python benchmarks/engine_speed.py $(ARGS)
	$(BENCH)/bin/python benchmarks/spelling_speed.py $(ARGS)

# that part of it alone, which needs no peers
bench-spelling: $(READY)
	$(BIN)/python benchmarks/spelling_speed.py $(ARGS)

# takes up where it was interrupted
bench-accuracy: $(BENCH)/.ready
	$(BENCH)/bin/python benchmarks/accuracy.py $(ARGS)

# keeps what took long: run records (reports/runs) and the data cache
clean:
	rm -rf .venv reports/build *.egg-info .pytest_cache .ruff_cache .hypothesis

# made anew only when the dependencies changed; the stamp comes last, so a set-up that was
# interrupted is taken up again
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "labkit needs Python 3.11 or 3.12: install one, or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Setting up .venv (once; torch and JupyterLab are large)"
	@$(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)"; rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $(READY)

# What labkit is measured against, in an environment of its own: what the tests and notebooks run
# with stays as constraints.txt has it. The .pth file lends it all of .venv, so that torch is the
# same and is not installed twice.
$(BENCH)/.ready: $(READY) benchmarks/constraints.txt
	@echo "Setting up $(BENCH) (once; TensorFlow is large)"
	@$(BIN)/python -m venv --clear $(BENCH)
	@for packages in $(BENCH)/lib/python*/site-packages; do \
		$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >$$packages/base.pth; done
	$(BENCH)/bin/python -m pip install --disable-pip-version-check --constraint constraints.txt --constraint benchmarks/constraints.txt --editable '.[bench]'
	@touch $@
