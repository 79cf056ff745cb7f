"""What submit and doctor take, and the pipeline's arguments and the pods that come of it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.backend import driver
from pipelines.backend.request import Request
from unpromptable import steps
from unpromptable.planning import memory, reading
from unpromptable.storage import fingerprints

from . import words
from .options import COMPILED, overrides

WORDS = "an experiment (default demo), or a pipeline's .py or .yaml; then its arguments, such as gpus=1"
TOKEN = "KFP_TOKEN"
# a request's pods, and the steps of a sweep whose work they do
OF_REQUEST = {
    "look": ("plan", "prepare"),
    "attempt": ("edit", "unlearn", "sample", "gather", "score"),
    "report": ("report",),
}
LIMIT = 100_000  # bytes of experiment text: KFP hands a step its inputs as one argument, of at most 128 KiB
MOUNTS = {
    "volume": "unpromptable-store",
    "config": "unpromptable",
    "tracking_secret": "unpromptable-mlflow",
    "store_secret": "unpromptable-object-store",
    "hub_secret": "unpromptable-hub",
}


def arguments_of(a: argparse.Namespace) -> tuple[dict[str, Any], Request]:
    """The pipeline's arguments and what they ask of the cluster; everything that can be checked here is."""
    from unpromptable.planning import pinned

    words.understand(a)
    text, resolved = resolve(a)
    pinned.check(resolved.experiment.networks)
    if len(text.encode()) > LIMIT:
        raise ValueError(
            f"{a.experiment}: {len(text.encode())} bytes, but an experiment handed to a cluster may have at"
            f" most {LIMIT}; put it into the image and give its name"
        )
    words.put_into_queue(a)
    asked = {"digest": fingerprints.sha256(Path(a.experiment))} if a.request else _asked(a)
    mounts = {name: getattr(a, name) for name in MOUNTS}
    arguments = {"experiment": text, "store": a.store, **asked, **_machine(a), **mounts}
    return arguments, _request(a, arguments, resolved)


def _asked(a: argparse.Namespace) -> dict[str, Any]:
    """What a sweep is told beside its experiment."""
    sets = json.dumps(overrides(a))
    return {"world": a.world, "overrides": sets, "images_per_shard": a.images_per_shard}


def resolve(a: argparse.Namespace) -> tuple[str, Any]:
    """The text of the experiment or the request, and its plan."""
    from unpromptable.planning import plan

    if a.request:
        return _answered(Path(a.experiment))
    text = reading.write(plan.read_yaml(a.experiment))
    # its files are folders of the cluster: those are looked for there, not here
    return text, plan.resolve(text, a.world, overrides(a), inputs=False)


def _answered(path: Path) -> tuple[str, Any]:
    """A request's text, and the plan of its first attempt. Raises ValueError for a path that a pod could not
    follow.
    """
    from unpromptable.releasing import attempts, request

    asked = request.parse(reading.file(path), str(path))
    request.check_alone(asked)
    given = {"keep": [asked.keep], "surrogates": [asked.surrogates], "forget": asked.forget}
    given |= {"labels": [asked.labels], "model": [asked.model] if Path(asked.model).is_dir() else []}
    for name, paths in given.items() if asked.keep != "miniature" else ():
        for one in paths:
            if one and not Path(one).is_absolute():
                raise ValueError(
                    f"request.{name}: {one} is relative; on a cluster name what is on the volume, such as"
                    f" /store/{one}"
                )
    return asked.to_text(), attempts.check(asked, inputs=False)


def _machine(a: argparse.Namespace) -> dict[str, Any]:
    """The images, and the nodes of the steps that run networks."""
    before = f"{a.registry.rstrip('/')}/" if a.registry else ""
    return {
        "image": f"{before}{a.image}",
        "light_image": f"{before}{a.light_image}",
        "cpu": a.cpu,
        "memory": a.memory,
        "gpus": str(a.gpus),
        "single_gpu": str(min(a.gpus, 1) if a.single_gpu is None else a.single_gpu),
        "gpu_type": a.gpu_type,
        "node_selector": dict(map(words.pair, a.node_selector)),
        "tolerations": [words.toleration(word) for word in a.toleration],
    }


def _request(a: argparse.Namespace, arguments: dict[str, Any], resolved: Any) -> Request:
    """What the doctor looks at: the pods that these arguments make, and what they mount and read."""
    return Request(
        pods=driver.pods(a.package, arguments, a.service_account),
        namespace=a.namespace,
        kfp_namespace=a.kfp_namespace,
        service_account=a.service_account,
        store=arguments["store"].replace("{name}", resolved.experiment.name),
        token=a.token,
        peaks=tuple(_peaks(a, resolved)),
        needs_hub=resolved.experiment.model.source.startswith("stabilityai/"),
        probe_minutes=0 if a.no_pod else a.pod_minutes,
        **{name: arguments[name] for name in MOUNTS},
    )


def _peaks(a: argparse.Namespace, resolved: Any) -> Iterator[memory.Peak]:
    """What each pod holds at most: of a request, whose pods do the work of several steps, by these pods."""
    for peak in memory.peaks(resolved, a.images_per_shard):
        if not a.request:
            yield peak
        elif pod := next((pod for pod, does in OF_REQUEST.items() if peak.step in does), ""):
            yield replace(peak, step=pod)


def add_options(one: argparse.ArgumentParser) -> None:
    """The words and options of submit and doctor."""
    one.add_argument("words", nargs="*", metavar="EXPERIMENT | PIPELINE | KEY=VALUE", help=WORDS)
    one.add_argument("--world", default="", help="miniature or paper; the experiment's own otherwise")
    override = "override a setting; may be repeated"
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=override)
    _add_cluster(one)
    _add_machines(one)
    _add_store(one)
    one.add_argument("--name", default="", help="name of the run")
    group = "Kubeflow's experiment, the folder of runs in its UI"
    one.add_argument("--experiment-group", default="unpromptable", help=group)
    _add_checks(one)


def _add_cluster(one: argparse.ArgumentParser) -> None:
    endpoint = "address of Kubeflow Pipelines, its UI or its API server"
    one.add_argument("--endpoint", default="http://localhost:8888", help=endpoint)
    one.add_argument(
        "--token",
        default=os.environ.get("KFP_TOKEN", ""),
        help="bearer token for it; better in the environment, as KFP_TOKEN",
    )
    one.add_argument("--namespace", default="kubeflow", help="where the pods run")
    one.add_argument("--kfp-namespace", default="kubeflow", help="where Kubeflow Pipelines itself runs")
    one.add_argument("--context", default="", help="kubeconfig context (in-cluster inside a pod)")
    one.add_argument("--service-account", default="pipeline-runner")
    one.add_argument("--package", default=str(COMPILED), help="the compiled pipeline")
    queue = "Kueue's LocalQueue in which every step's pod waits for its quota (default: as compiled)"
    one.add_argument("--queue", default="", metavar="NAME", help=queue)


def _add_machines(one: argparse.ArgumentParser) -> None:
    registry = "where both images are, such as images.example.org/team"
    one.add_argument("--registry", default="", metavar="HOST/TEAM", help=registry)
    one.add_argument("--image", default=steps.IMAGE, help="image of the steps that run networks")
    one.add_argument("--light-image", default=steps.IMAGE, help="image of the other steps")
    gpus = "GPUs per pod of unlearn and sample, which share their work (default 0: plain CPU nodes)"
    one.add_argument("--gpus", type=int, default=0, help=gpus)
    single = "GPU per pod of prepare and score, which use one: 0 or 1 (default: 1 where --gpus has any)"
    one.add_argument("--single-gpu", type=int, choices=(0, 1), help=single)
    one.add_argument("--gpu-type", default="nvidia.com/gpu")
    one.add_argument("--cpu", default="2")
    one.add_argument("--memory", default="8Gi")
    one.add_argument("--node-selector", action="append", default=[], metavar="KEY=VALUE")
    one.add_argument("--toleration", action="append", default=[], metavar="KEY[=VALUE][:EFFECT]")


def _add_store(one: argparse.ArgumentParser) -> None:
    from pipelines.pods import FOLDER

    folder = "folder on the volume, or s3://bucket/prefix; {name} is the experiment's"
    one.add_argument("--store", default=FOLDER, help=folder)
    shard = "images in one file, which a lost pod draws again; 0: as the experiment has it"
    one.add_argument("--images-per-shard", type=int, default=0, help=shard)
    for mount, default in MOUNTS.items():
        one.add_argument(f"--{mount.replace('_', '-')}", default=default)


def _add_checks(one: argparse.ArgumentParser) -> None:
    one.add_argument("--no-doctor", action="store_true", help="submit without checks")
    untried = "check without starting a pod (images, store and MLflow are then not tried)"
    one.add_argument("--no-pod", action="store_true", help=untried)
    one.add_argument("--no-wait", action="store_true", help="do not see the first pods start")
    one.add_argument("--pod-minutes", type=float, default=10.0, help="how long a pod may take to start")
