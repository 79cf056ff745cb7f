"""submit and doctor: an experiment to Kubeflow Pipelines, after the checks that spare a failed run."""
from __future__ import annotations

import argparse
import json
import os
from typing import Any

import yaml

from pipelines import doctor
from unpromptable import steps

LIMIT = 100_000  # bytes of experiment text: KFP hands a step its inputs as one argument, of at most 128 KiB


def submit(a: argparse.Namespace, console: Any) -> int:
    """Check the experiment and the cluster, then create the run. Raises ValueError or OSError on bad input."""
    arguments, request = _arguments(a)
    if not a.no_doctor and not _examine(request, a, console):
        console.print("nothing was submitted; mend what is marked, or pass --no-doctor")
        return 1
    import urllib3
    from kfp import client as kfp_client
    from kfp_server_api import ApiException

    answering = doctor.kubeflow_answers(a.endpoint, a.token)
    if not answering.ok:
        raise OSError(f"--endpoint {answering.text}: nothing was submitted; {answering.remedy}")

    try:
        client = kfp_client.Client(host=a.endpoint, namespace=a.namespace, existing_token=a.token or None)
        run = client.create_run_from_pipeline_package(a.package, arguments=arguments, run_name=a.name or None, experiment_name=a.experiment_group, namespace=a.namespace, service_account=a.service_account, enable_caching=False)
    except ApiException as error:
        raise OSError(f"--endpoint {a.endpoint}: answers {error.status} {_reason(error)}; nothing was submitted") from error
    except urllib3.exceptions.HTTPError as error:
        raise OSError(f"--endpoint {a.endpoint}: does not answer ({error}); nothing was submitted") from error
    console.print(f"run {run.run_id}\n{a.endpoint.rstrip('/')}/#/runs/details/{run.run_id}", highlight=False, soft_wrap=True)
    return 0


def examine(a: argparse.Namespace, console: Any) -> int:
    """The doctor alone."""
    return 0 if _examine(_arguments(a)[1], a, console) else 1


def _examine(request: doctor.Request, a: argparse.Namespace, console: Any) -> bool:
    from rich.markup import escape

    def show(finding: Any) -> None:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        console.print(f"{mark} {escape(finding.check):<34} {escape(finding.text)}", highlight=False, soft_wrap=True)
        if not finding.ok and finding.remedy:
            console.print(f"  [yellow]→[/] {escape(finding.remedy)}", highlight=False, soft_wrap=True)

    return doctor.examine(request, _api(a.context), a.endpoint, show)


def _api(context: str) -> Any:
    from kubernetes import client, config

    try:
        if context == "in-cluster":
            config.load_incluster_config()
        else:
            config.load_kube_config(config_file=os.environ.get("KUBECONFIG"), context=context or None)  # the library reads KUBECONFIG only once
    except config.ConfigException as error:
        raise OSError(f"no cluster: {error}; set KUBECONFIG or pass --context (in-cluster inside a pod)") from error
    settings = client.Configuration.get_default_copy()
    settings.retries = 0  # a cluster that is away is a finding, not a wait
    return client.ApiClient(settings)


def _arguments(a: argparse.Namespace) -> tuple[dict[str, Any], doctor.Request]:
    """The pipeline's arguments and what they ask of the cluster; everything that can be checked here is."""
    from pipelines.__main__ import override
    from unpromptable import plan

    overrides = dict(override(word) for word in a.set)
    given = plan.read_yaml(a.experiment)
    resolved = _resolve(given, a.world, overrides)
    text = yaml.safe_dump(given, allow_unicode=True)
    if len(text.encode()) > LIMIT:
        raise ValueError(f"{a.experiment}: {len(text.encode())} bytes, but an experiment handed to a cluster may have at most {LIMIT}; put it into the image and give its name")
    selector, tolerations = dict(_pair(word) for word in a.node_selector), [_toleration(word) for word in a.toleration]
    image, light_image = (f"{a.registry.rstrip('/')}/{name}" if a.registry else name for name in (a.image, a.light_image))
    machine = {"image": image, "cpu": a.cpu, "memory": a.memory, "gpus": str(a.gpus), "gpu_type": a.gpu_type, "node_selector": selector, "tolerations": tolerations}
    names = {"light_image": light_image, **{k: getattr(a, k) for k in ("volume", "config", "tracking_secret", "store_secret", "hub_secret")}}
    arguments = {"experiment": text, "world": a.world, "overrides": json.dumps(overrides), "store": a.store, "images_per_shard": a.images_per_shard, **machine, **names}
    source = resolved.experiment.model.source
    request = doctor.Request(namespace=a.namespace, kfp_namespace=a.kfp_namespace, service_account=a.service_account, images=(light_image, image), store=a.store, token=a.token, needs_hub=source.startswith("stabilityai/"),
                             probe_minutes=0 if a.no_pod else a.pod_minutes, **{k: machine[k] for k in ("gpus", "gpu_type", "node_selector", "tolerations")}, **{k: v for k, v in names.items() if k != "light_image"})
    return arguments, request


def _resolve(given: dict[str, Any], world: str, overrides: dict[str, Any]) -> Any:
    """The plan, where its files are folders of the cluster: those are looked for there, not here."""
    from unpromptable import plan

    return plan.resolve(yaml.safe_dump(given, allow_unicode=True), world, overrides, inputs=False)


def _pair(word: str) -> tuple[str, str]:
    key, found, value = word.partition("=")
    if not found or not key:
        raise ValueError(f"--node-selector {word}: expected key=value")
    return key, value


def _toleration(word: str) -> dict[str, str]:
    """key[=value][:Effect] as kubectl writes taints."""
    rest, _, effect = word.partition(":")
    key, found, value = rest.partition("=")
    if not key or effect not in ("", "NoSchedule", "NoExecute", "PreferNoSchedule"):
        raise ValueError(f"--toleration {word}: expected key[=value][:NoSchedule]")
    one = {"key": key, "operator": "Equal" if found else "Exists"}
    return {**one, **({"value": value} if found else {}), **({"effect": effect} if effect else {})}


def _reason(error: Any) -> str:
    try:
        return json.loads(error.body)["message"][:300]
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def add(verbs: Any) -> None:
    """The command line of submit and doctor."""
    from pipelines.__main__ import COMPILED
    from pipelines.pods import FOLDER

    for name, run, text in (("submit", submit, "run an experiment on Kubeflow Pipelines"), ("doctor", examine, "check a cluster before submitting")):
        one = verbs.add_parser(name, help=text)
        one.add_argument("experiment", nargs="?", default="demo", help="a YAML file, or the name of an experiment that ships (default demo)")
        one.add_argument("--world", default="", help="miniature or paper; the experiment's own otherwise")
        one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting; may be repeated")
        one.add_argument("--endpoint", default="http://localhost:8888", help="address of Kubeflow Pipelines, its UI or its API server")
        one.add_argument("--token", default="", help="bearer token for it")
        one.add_argument("--namespace", default="kubeflow", help="where the pods run")
        one.add_argument("--kfp-namespace", default="kubeflow", help="where Kubeflow Pipelines itself runs")
        one.add_argument("--context", default="", help="kubeconfig context (in-cluster inside a pod)")
        one.add_argument("--service-account", default="pipeline-runner")
        one.add_argument("--package", default=str(COMPILED), help="the compiled pipeline")
        one.add_argument("--registry", default="", metavar="HOST/TEAM", help="where both images are, such as images.example.org/team")
        one.add_argument("--image", default=steps.IMAGE, help="image of the steps that run networks")
        one.add_argument("--light-image", default=steps.IMAGE, help="image of the other steps")
        one.add_argument("--gpus", type=int, default=0, help="GPUs per pod of those steps (default 0: plain CPU nodes)")
        one.add_argument("--gpu-type", default="nvidia.com/gpu")
        one.add_argument("--cpu", default="2")
        one.add_argument("--memory", default="8Gi")
        one.add_argument("--node-selector", action="append", default=[], metavar="KEY=VALUE")
        one.add_argument("--toleration", action="append", default=[], metavar="KEY[=VALUE][:EFFECT]")
        one.add_argument("--store", default=FOLDER, help="folder on the volume, or s3://bucket/prefix; {name} is the experiment's")
        one.add_argument("--images-per-shard", type=int, default=0, help="images that one pod draws; 0 leaves it to the experiment")
        for mount, default in (("volume", "unpromptable-store"), ("config", "unpromptable"), ("tracking-secret", "unpromptable-mlflow"), ("store-secret", "unpromptable-object-store"), ("hub-secret", "unpromptable-hub")):
            one.add_argument(f"--{mount}", default=default)
        one.add_argument("--name", default="", help="name of the run")
        one.add_argument("--experiment-group", default="unpromptable", help="Kubeflow's experiment, the folder of runs in its UI")
        one.add_argument("--no-doctor", action="store_true", help="submit without checks")
        one.add_argument("--no-pod", action="store_true", help="check without starting a pod (images, store and MLflow are then not tried)")
        one.add_argument("--pod-minutes", type=float, default=10.0, help="how long the checking pod may take")
        one.set_defaults(run=run)
