"""The words after `submit` and `doctor`: an experiment or a pipeline, then its arguments as key=value.

The stock client takes compiled YAML alone and reads every value as JSON, so that a text that looks like a
number needs quotes inside quotes; here a .py is compiled on the way, and a value is of its parameter's kind.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from pipelines import pods
from pipelines.backend import driver, nodes
from unpromptable.planning import reading

from .options import COMPILED, HOTFIX

OPTIONS = {  # a parameter of the pipeline -> the option that says the same
    **{
        name: name
        for name in (
            "world",
            "store",
            "image",
            "light_image",
            "cpu",
            "memory",
            "gpu_type",
            "volume",
            "config",
        )
    },
    **{
        name: name
        for name in (
            "tracking_secret",
            "store_secret",
            "hub_secret",
            "gpus",
            "single_gpu",
            "images_per_shard",
        )
    },
    "experiment": "experiment",
    "overrides": "set",
    "node_selector": "node_selector",
    "tolerations": "toleration",
}
KFP = "from kfp.cli.__main__ import main; main()"
LEAST_MEMORY = 64 << 20  # bytes; less is a number without its unit


def understand(a: argparse.Namespace) -> None:
    """Lay `a.words` over the options. Raises ValueError or FileNotFoundError that names the word."""
    subjects = [word for word in a.words if "=" not in word]
    if len(subjects) > 1:
        raise ValueError(f"{subjects[1]}: expected key=value, after {subjects[0]}, such as gpus=1")
    _subject(a, subjects[0] if subjects else "")
    known = driver.read(a.package)[0]["root"].get("inputDefinitions", {}).get("parameters", {})
    if "experiment" not in known:
        raise ValueError(f"{a.package}: takes no `experiment`, so it is no pipeline of this project")
    for word in (word for word in a.words if "=" in word):
        key, _, value = word.partition("=")
        if key not in known or key not in OPTIONS:
            raise ValueError(
                f"{word}: the pipeline takes no {key}; "
                f"choose from {', '.join(sorted(set(known) & set(OPTIONS)))}"
            )
        if key == "experiment" and a.experiment:
            raise ValueError(f"{word}: {a.experiment} is given already; one run is of one experiment")
        setattr(a, OPTIONS[key], _read(word, key, value, getattr(a, OPTIONS[key])))
    a.experiment = a.experiment or "demo"
    _check(a)


def _subject(a: argparse.Namespace, word: str) -> None:
    """Whether the first word is a pipeline, compiled or not, or an experiment."""
    a.experiment, a.request = "", False
    if word.endswith(".py"):
        a.keep = tempfile.TemporaryDirectory()  # removed with the arguments
        a.package = str(_compiled(word, Path(a.keep.name) / f"{Path(word).stem}.yaml"))
    elif (
        word.endswith((".yaml", ".yml"))
        and Path(word).is_file()
        and "\npipelineInfo:" in "\n" + Path(word).read_text()
    ):
        a.package = word
    else:
        a.experiment, a.request = word, _asks(word)
        if a.request:
            _of_request(a)


def _asks(word: str) -> bool:
    """Whether a file is a request to forget, and no experiment."""
    if not word.endswith((".yaml", ".yml")) or not Path(word).is_file():
        return False
    value = reading.value(reading.file(Path(word)), word)
    return isinstance(value, dict) and "keep" in value and "cells" not in value


def _of_request(a: argparse.Namespace) -> None:
    """Take the pipeline that answers requests. Raises ValueError for options that a request says itself."""
    if a.world or a.set or a.images_per_shard:
        raise ValueError(
            f"{a.experiment}: a request says its own `world` and `settings`; leave out --world, --set and"
            " --images-per-shard"
        )
    if a.package == str(COMPILED):
        a.package = str(HOTFIX)


def _compiled(source: str, to: Path) -> Path:
    """Compile a pipeline's file as `kfp dsl compile` does, in a process of its own: it is somebody's code."""
    if not Path(source).is_file():
        raise FileNotFoundError(f"{source}: no such file; give a pipeline's .py or .yaml, or an experiment")
    command = [sys.executable, "-c", KFP, "dsl", "compile", "--py", source, "--output", str(to)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode or not to.is_file():
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise ValueError(f"{source}: cannot be compiled: {said[-1] if said else 'kfp said nothing'}")
    return to


def put_into_queue(a: argparse.Namespace) -> None:
    """Have the pods of `a.package` wait in Kueue's queue `a.queue`, as `compile --queue` does it."""
    if not a.queue:
        return
    parts = driver.read(a.package)
    pods.check_queue(a.queue)
    executors = parts[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for one in executors.values():
        one.setdefault("podMetadata", {}).setdefault("labels", {})[pods.QUEUE_LABEL] = a.queue
    a.kept_queue = tempfile.TemporaryDirectory()  # removed with the arguments
    a.package = str(Path(a.kept_queue.name) / Path(a.package).with_suffix(".yaml").name)
    Path(a.package).write_text(yaml.safe_dump_all(parts, sort_keys=False))


def _read(word: str, key: str, value: str, before: Any) -> Any:
    """A value as its option holds it: a number, a list of words, or the text as it is."""
    if key in ("gpus", "single_gpu", "images_per_shard"):
        if not value.strip('"').isdigit():
            raise ValueError(f"{word}: expected a whole number")
        return int(value.strip('"'))
    if key == "overrides":
        return [*before, *(f"{k}={json.dumps(v)}" for k, v in _json(word, value, dict).items())]
    if key == "node_selector":
        return [*before, *(f"{k}={v}" for k, v in _json(word, value, dict).items())]
    if key == "tolerations":
        return [*before, *_json(word, value, list)]
    return _unquoted(value)


def _unquoted(value: str) -> str:
    """Without the inner quotes that the stock client needs, so that its command lines work here too."""
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return str(json.loads(value)) if quoted else value


def _json(word: str, value: str, kind: type) -> Any:
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"{word}: not valid JSON") from error
    if not isinstance(found, kind):
        raise ValueError(
            f"{word}: expected a JSON {'object' if kind is dict else 'list'}, found {type(found).__name__}"
        )
    return found


def _check(a: argparse.Namespace) -> None:
    """What Kubernetes would refuse only in the run, and an account in an address, which logs would show."""
    for name in ("endpoint", "store"):
        if "@" in getattr(a, name).partition("://")[2].partition("/")[0]:
            account = "KFP_TOKEN" if name == "endpoint" else "the Secret that --store-secret names"
            raise ValueError(
                f"--{name}: give the address without user:password@; an account belongs in {account}"
            )
    for name in ("cpu", "memory"):
        try:
            value = nodes.amount(getattr(a, name))
        except ValueError as error:
            like = {"cpu": "2 or 500m", "memory": "8Gi"}[name]
            raise ValueError(
                f"--{name} {getattr(a, name)}: not a quantity of Kubernetes, such as {like}"
            ) from error
        if value <= 0:
            raise ValueError(f"--{name} {getattr(a, name)}: must be above 0")
    if nodes.amount(a.memory) < LEAST_MEMORY:
        raise ValueError(
            f"--memory {a.memory}: that is {nodes.amount(a.memory)} bytes; add its unit, as {a.memory}Gi"
        )
    if a.gpus < 0 or a.images_per_shard < 0:
        raise ValueError(f"--gpus {a.gpus}, --images-per-shard {a.images_per_shard}: neither can be below 0")


def pair(word: str) -> tuple[str, str]:
    """KEY=VALUE of --node-selector."""
    key, found, value = word.partition("=")
    if not found or not key:
        raise ValueError(f"--node-selector {word}: expected key=value")
    return key, value


def toleration(word: str | dict[str, str]) -> dict[str, str]:
    """key[=value][:Effect], as kubectl writes taints, or what Kubernetes itself calls a toleration."""
    if isinstance(word, dict):
        return word
    rest, _, effect = word.partition(":")
    key, found, value = rest.partition("=")
    if not key or effect not in ("", "NoSchedule", "NoExecute", "PreferNoSchedule"):
        raise ValueError(f"--toleration {word}: expected key[=value][:NoSchedule]")
    one = {"key": key, "operator": "Equal" if found else "Exists"}
    return {**one, **({"value": value} if found else {}), **({"effect": effect} if effect else {})}
