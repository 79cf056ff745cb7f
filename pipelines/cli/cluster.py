"""submit and doctor: an experiment to Kubeflow Pipelines, after the checks that spare a failed run."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import warnings
from functools import partial
from typing import Any

from pipelines.backend import follow, kubeflow
from pipelines.backend.api import client_of
from pipelines.backend.request import Request
from pipelines.cli import devices, doctor, size, submission
from unpromptable.execution.probe import Finding
from unpromptable.planning import reading

from .options import say
from .submission import arguments_of


def submit(a: argparse.Namespace, console: Any) -> int:
    """Check the experiment and the cluster, then create the run. Raises ValueError or OSError on bad
    input.
    """
    arguments, request = arguments_of(a)
    used = devices.use(a.gpus, submission.resolve(a)[1], a.images_per_shard)
    if used:
        say(console, used)
    asked = [arguments] if a.request else size.runs(a.package, arguments)
    if len(asked) > 1:
        runs = f"{len(asked)} runs of one sweep, each with a part of the cells"
        many = f"more cells than one run can hold: {runs}; the report of any of them shows all there is"
        say(console, many)
    found = [] if a.no_doctor else _examine(request, a, console)
    if not all(one.ok for one in found):
        console.print("nothing was submitted; mend what is marked, or pass --no-doctor")
        return 1
    _check_endpoint(a)
    client: Any = None
    made: list[str] = []
    for one in asked:
        told = f"{len(made)} of {len(asked)} runs were" if made else "nothing was"
        client, run = _create(a, one, _name(a, one, len(made), len(asked)), told)
        made.append(run)
        say(console, f"run {run}\n{a.endpoint.rstrip('/')}/#/runs/details/{run}")
    tried = any(one.check.startswith("image ") for one in found)
    return 0 if tried or a.no_wait else _started(a, client, made, request, console)


def _check_endpoint(a: argparse.Namespace) -> None:
    """Raise OSError where Kubeflow Pipelines does not answer, ValueError where its pods run elsewhere."""
    answering, says = kubeflow.answers(a.endpoint, a.token)
    if not answering.ok:
        raise OSError(f"--endpoint {answering.text}: nothing was submitted; {answering.remedy}")
    home = kubeflow.home(says, a.namespace, a.kfp_namespace)
    if not home.ok:
        where = f"the pods would run in {home.text}"
        raise ValueError(f"--namespace: {where}; nothing was submitted; {home.remedy}")


def _name(a: argparse.Namespace, arguments: dict[str, Any], before: int, total: int) -> str | None:
    """A run's name; None is the backend's own choice."""
    if total == 1:
        return a.name or None
    called = a.name or reading.value(arguments["experiment"], "experiment")["name"]
    return f"{called} {before + 1}/{total}"


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


def _started(a: argparse.Namespace, client: Any, runs: list[str], request: Request, console: Any) -> int:
    """See the first pods start, of which none was on trial; 1 where one cannot and the runs were ended."""
    tell = partial(say, console)
    images = {pod["containers"][0]["image"] for pod in request.pods.values()}
    try:
        cluster = client_of(a.context)
        why = follow.until_started(cluster, runs[0], a.namespace, images, a.pod_minutes, tell)
    except OSError as error:
        tell(f"not watched: {error}; a pod that cannot start ends the run after its deadline")
        return 0
    if why:
        for run in runs:
            client.terminate_run(run)
        tell(f"the run was ended: {why}")
    return 1 if why else 0


def examine(a: argparse.Namespace, console: Any) -> int:
    """The doctor alone."""
    found = _examine(arguments_of(a)[1], a, console)
    return 0 if all(one.ok for one in found) else 1


def _examine(request: Request, a: argparse.Namespace, console: Any) -> list[Finding]:
    """Every finding, which is shown as it is made."""
    from rich.markup import escape

    found: list[Finding] = []

    def show(finding: Finding) -> None:
        found.append(finding)
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        line = f"{mark} {escape(f'{finding.check:<34}')} {escape(finding.text)}"
        console.print(line, highlight=False, soft_wrap=True)
        if not finding.ok and finding.remedy:
            console.print(f"  [yellow]→[/] {escape(finding.remedy)}", highlight=False, soft_wrap=True)

    doctor.examine(request, client_of(a.context), a.endpoint, show)
    return found


def _reason(error: Any) -> str:
    try:
        return json.loads(error.body)["message"][:300]
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def add(verbs: Any) -> None:
    """The command line of submit and doctor."""
    for name, run, text in (
        ("submit", submit, "run an experiment on Kubeflow Pipelines"),
        ("doctor", examine, "check a cluster before submitting"),
    ):
        one = verbs.add_parser(name, help=text)
        submission.add_options(one)
        one.set_defaults(run=run)
