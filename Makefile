# Python 3.11 and make are enough: everything else is installed from the lock into .venv.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
OUT ?= runs/demo

.PHONY: demo test test-slow ui compile lock
demo: $(VENV)/.installed
	$(RUN) -m pipelines local pipelines/experiments/demo.yaml --out $(OUT)

test: $(VENV)/.installed
	$(RUN) -m pytest -q

test-slow: $(VENV)/.installed
	$(RUN) -m pytest -q -m slow

ui: $(VENV)/.installed
	@echo "open http://127.0.0.1:5000 and choose the experiment; stop with Ctrl-C"
	$(VENV)/bin/mlflow server --backend-store-uri sqlite:///$(abspath $(OUT))/mlflow.db --host 127.0.0.1 --port 5000 --workers 1

compile: $(VENV)/.installed
	$(RUN) -m pipelines compile

lock: # needs uv; hashes for every file, no index addresses
	uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
	  pyproject.toml --extra kfp --extra server --extra cluster-server --extra s3 --extra test -o requirements.lock

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --require-hashes -r requirements.lock
	$(RUN) -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
