"""submit and doctor: an experiment to Kubeflow Pipelines, after the checks that spare a failed run."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import warnings
from typing import Any

from pipelines.backend import driver, follow
from pipelines.cli import doctor, size, words
from unpromptable import steps
from unpromptable.planning import reading

from .options import COMPILED, overrides

WORDS = "an experiment (default demo), or a pipeline's .py or .yaml; then its arguments, such as gpus=1"
LIMIT = 100_000  # bytes of experiment text: KFP hands a step its inputs as one argument, of at most 128 KiB


def submit(a: argparse.Namespace, console: Any) -> int:
    """Check the experiment and the cluster, then create the run. Raises ValueError or OSError on bad
    input.
    """
    arguments, request = _arguments(a)
    asked = size.runs(a.package, arguments)
    if len(asked) > 1:
        text = (
            f"more cells than one run can hold: {len(asked)} runs of one sweep, each with a part of the cells"
        )
        console.print(
            f"{text}; the report of any of them shows all there is", highlight=False, soft_wrap=True
        )
    if not a.no_doctor and not _examine(request, a, console):
        console.print("nothing was submitted; mend what is marked, or pass --no-doctor")
        return 1
    answering, says = doctor.kubeflow_answers(a.endpoint, a.token)
    home = doctor.home(says, a.namespace, a.kfp_namespace)
    if not answering.ok:
        raise OSError(f"--endpoint {answering.text}: nothing was submitted; {answering.remedy}")
    if not home.ok:
        where = f"the pods would run in {home.text}"
        raise ValueError(f"--namespace: {where}; nothing was submitted; {home.remedy}")
    made: list[str] = []
    for one in asked:
        called = a.name or reading.value(one["experiment"], "experiment")["name"]
        name = f"{called} {len(made) + 1}/{len(asked)}" if len(asked) > 1 else a.name or None
        client, run = _create(
            a, one, name, f"{len(made)} of {len(asked)} runs were" if made else "nothing was"
        )
        made.append(run)
        link = f"{a.endpoint.rstrip('/')}/#/runs/details/{run}"
        console.print(f"run {run}\n{link}", highlight=False, soft_wrap=True, markup=False)
    return _started(a, client, made, request, console)


def _create(a: argparse.Namespace, arguments: dict[str, Any], name: str | None, told: str) -> tuple[Any, str]:
    """The client and the new run's id; what the client itself says, links and a warning, is left out.

    Raises OSError that also says what was submitted before, as `told` has it.
    """
    import urllib3
    from kfp import client as kfp_client
    from kfp_server_api import ApiException

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore", FutureWarning)
            client = kfp_client.Client(host=a.endpoint, namespace=a.namespace, existing_token=a.token or None)
            run = client.create_run_from_pipeline_package(
                a.package,
                arguments=arguments,
                run_name=name,
                experiment_name=a.experiment_group,
                namespace=a.namespace,
                service_account=a.service_account,
                enable_caching=False,
            )
        return client, run.run_id
    except ApiException as error:
        raise OSError(
            f"--endpoint {a.endpoint}: answers {error.status} {_reason(error)}; {told} submitted"
        ) from error
    except urllib3.exceptions.HTTPError as error:
        raise OSError(f"--endpoint {a.endpoint}: does not answer ({error}); {told} submitted") from error


def _started(
    a: argparse.Namespace, client: Any, runs: list[str], request: doctor.Request, console: Any
) -> int:
    """Where no pod was on trial, see the first ones start; 1 where one cannot and the runs were ended."""
    if a.no_wait or not (a.no_doctor or a.no_pod):
        return 0
    say = lambda text: console.print(text, highlight=False, soft_wrap=True, markup=False)
    images = {pod["containers"][0]["image"] for pod in request.pods.values()}
    try:
        why = follow.until_started(_api(a.context), runs[0], a.namespace, images, a.pod_minutes, say)
    except OSError as error:
        say(f"not watched: {error}; a pod that cannot start ends the run after its deadline")
        return 0
    if why:
        for run in runs:
            client.terminate_run(run)
        say(f"the run was ended: {why}")
    return 1 if why else 0


def examine(a: argparse.Namespace, console: Any) -> int:
    """The doctor alone."""
    return 0 if _examine(_arguments(a)[1], a, console) else 1


def _examine(request: doctor.Request, a: argparse.Namespace, console: Any) -> bool:
    from rich.markup import escape

    def show(finding: Any) -> None:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        console.print(
            f"{mark} {escape(f'{finding.check:<34}')} {escape(finding.text)}", highlight=False, soft_wrap=True
        )
        if not finding.ok and finding.remedy:
            console.print(f"  [yellow]→[/] {escape(finding.remedy)}", highlight=False, soft_wrap=True)

    return doctor.examine(request, _api(a.context), a.endpoint, show)


def _api(context: str) -> Any:
    from kubernetes import client, config

    try:
        if context == "in-cluster":
            config.load_incluster_config()
        else:
            # the library reads KUBECONFIG only once
            config.load_kube_config(config_file=os.environ.get("KUBECONFIG"), context=context or None)
    except config.ConfigException as error:
        raise OSError(
            f"no cluster: {error}; set KUBECONFIG or pass --context (in-cluster inside a pod)"
        ) from error
    settings = client.Configuration.get_default_copy()
    settings.retries = 0  # a cluster that is away is a finding, not a wait
    return client.ApiClient(settings)


def _arguments(a: argparse.Namespace) -> tuple[dict[str, Any], doctor.Request]:
    """The pipeline's arguments and what they ask of the cluster; everything that can be checked here is."""
    from unpromptable.planning import plan

    words.understand(a)
    sets = overrides(a)
    given = plan.read_yaml(a.experiment)
    resolved = _resolve(given, a.world, sets)
    text = reading.write(given)
    if len(text.encode()) > LIMIT:
        raise ValueError(
            f"{a.experiment}: {len(text.encode())} bytes, but an experiment handed to a cluster may have at"
            f" most {LIMIT}; put it into the image and give its name"
        )
    selector = dict(map(words.pair, a.node_selector))
    tolerations = [words.toleration(word) for word in a.toleration]
    image, light_image = (
        f"{a.registry.rstrip('/')}/{name}" if a.registry else name for name in (a.image, a.light_image)
    )
    machine = {
        "image": image,
        "cpu": a.cpu,
        "memory": a.memory,
        "gpus": str(a.gpus),
        "gpu_type": a.gpu_type,
        "node_selector": selector,
        "tolerations": tolerations,
    }
    names = {
        "light_image": light_image,
        **{k: getattr(a, k) for k in ("volume", "config", "tracking_secret", "store_secret", "hub_secret")},
    }
    arguments = {
        "experiment": text,
        "world": a.world,
        "overrides": json.dumps(sets),
        "store": a.store,
        "images_per_shard": a.images_per_shard,
        **machine,
        **names,
    }
    return arguments, _request(a, arguments, resolved)


def _request(a: argparse.Namespace, arguments: dict[str, Any], resolved: Any) -> doctor.Request:
    """What the doctor looks at: the pods that these arguments make, and what they mount and read."""
    names = {k: arguments[k] for k in ("volume", "config", "tracking_secret", "store_secret", "hub_secret")}
    return doctor.Request(
        pods=driver.pods(a.package, arguments, a.service_account),
        namespace=a.namespace,
        kfp_namespace=a.kfp_namespace,
        service_account=a.service_account,
        store=arguments["store"].replace("{name}", resolved.experiment.name),
        token=a.token,
        needs_hub=resolved.experiment.model.source.startswith("stabilityai/"),
        probe_minutes=0 if a.no_pod else a.pod_minutes,
        **names,
    )


def _resolve(given: dict[str, Any], world: str, sets: dict[str, Any]) -> Any:
    """The plan, where its files are folders of the cluster: those are looked for there, not here."""
    from unpromptable.planning import plan

    return plan.resolve(reading.write(given), world, sets, inputs=False)


def _reason(error: Any) -> str:
    try:
        return json.loads(error.body)["message"][:300]
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def add(verbs: Any) -> None:
    """The command line of submit and doctor."""
    from pipelines.pods import FOLDER

    for name, run, text in (
        ("submit", submit, "run an experiment on Kubeflow Pipelines"),
        ("doctor", examine, "check a cluster before submitting"),
    ):
        one = verbs.add_parser(name, help=text)
        one.add_argument("words", nargs="*", metavar="EXPERIMENT | PIPELINE | KEY=VALUE", help=WORDS)
        one.add_argument("--world", default="", help="miniature or paper; the experiment's own otherwise")
        one.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="override a setting; may be repeated",
        )
        one.add_argument(
            "--endpoint",
            default="http://localhost:8888",
            help="address of Kubeflow Pipelines, its UI or its API server",
        )
        one.add_argument("--token", default="", help="bearer token for it")
        one.add_argument("--namespace", default="kubeflow", help="where the pods run")
        one.add_argument("--kfp-namespace", default="kubeflow", help="where Kubeflow Pipelines itself runs")
        one.add_argument("--context", default="", help="kubeconfig context (in-cluster inside a pod)")
        one.add_argument("--service-account", default="pipeline-runner")
        one.add_argument("--package", default=str(COMPILED), help="the compiled pipeline")
        one.add_argument(
            "--registry",
            default="",
            metavar="HOST/TEAM",
            help="where both images are, such as images.example.org/team",
        )
        one.add_argument("--image", default=steps.IMAGE, help="image of the steps that run networks")
        one.add_argument("--light-image", default=steps.IMAGE, help="image of the other steps")
        one.add_argument(
            "--gpus", type=int, default=0, help="GPUs per pod of those steps (default 0: plain CPU nodes)"
        )
        one.add_argument("--gpu-type", default="nvidia.com/gpu")
        one.add_argument("--cpu", default="2")
        one.add_argument("--memory", default="8Gi")
        one.add_argument("--node-selector", action="append", default=[], metavar="KEY=VALUE")
        one.add_argument("--toleration", action="append", default=[], metavar="KEY[=VALUE][:EFFECT]")
        one.add_argument(
            "--store",
            default=FOLDER,
            help="folder on the volume, or s3://bucket/prefix; {name} is the experiment's",
        )
        one.add_argument(
            "--images-per-shard",
            type=int,
            default=0,
            help="images in one file, which a lost pod draws again; 0: as the experiment has it",
        )
        for mount, default in (
            ("volume", "unpromptable-store"),
            ("config", "unpromptable"),
            ("tracking-secret", "unpromptable-mlflow"),
            ("store-secret", "unpromptable-object-store"),
            ("hub-secret", "unpromptable-hub"),
        ):
            one.add_argument(f"--{mount}", default=default)
        one.add_argument("--name", default="", help="name of the run")
        one.add_argument(
            "--experiment-group",
            default="unpromptable",
            help="Kubeflow's experiment, the folder of runs in its UI",
        )
        one.add_argument("--no-doctor", action="store_true", help="submit without checks")
        one.add_argument(
            "--no-pod",
            action="store_true",
            help="check without starting a pod (images, store and MLflow are then not tried)",
        )
        one.add_argument("--no-wait", action="store_true", help="do not see the first pods start")
        one.add_argument("--pod-minutes", type=float, default=10.0, help="how long a pod may take to start")
        one.set_defaults(run=run)
