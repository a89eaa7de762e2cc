# Each target sets up what it needs: `make report` and `make test` work in a fresh clone.

# the first Python of a version that labkit runs on; choose another with `make PYTHON=…`
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $$p && break; done)
BIN = .venv/bin
READY = .venv/.ready

.PHONY: report test lab bench clean

report: $(READY)
	@$(BIN)/labkit report $(ARGS)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest $(ARGS)

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=notebooks

bench: $(READY)
	$(BIN)/python benchmarks/check_speed.py
	$(BIN)/python benchmarks/training_speed.py $(ARGS)

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
	@# a double click on a py:percent file opens the notebook
	@mkdir -p .venv/etc/jupyter/labconfig
	@$(BIN)/jupytext-config --settings-file .venv/etc/jupyter/labconfig/default_setting_overrides.json set-default-viewer python
	@touch $(READY)
