"""Whether Kubeflow Pipelines answers, is of the right version, and runs pods where they are wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from unpromptable.execution.probe import Finding

from .api import get
from .request import Request

KFP_VERSION = "2.17"  # what the compiled pipeline was written for


def findings(api: Any, request: Request, host: str) -> Iterator[Finding]:
    """Whether it answers, its version, and where it runs its pods."""
    found, says = answers(host, request.token)
    if not found.ok:
        yield found
        return
    deployed = get(api, "AppsV1Api", "read_namespaced_deployment", "ml-pipeline", request.kfp_namespace)
    yield _version(deployed, host, request)
    yield home(says, request.namespace, request.kfp_namespace)


def answers(host: str, token: str = "") -> tuple[Finding, dict[str, Any]]:
    """Whether `host` is the API server of Kubeflow Pipelines 2, and what it says of itself."""
    import urllib.error
    import urllib.request

    remedy = (
        "forward it (kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8888:80) and pass --endpoint"
        " http://localhost:8888"
    )
    try:
        ask = urllib.request.Request(f"{host.rstrip('/')}/apis/v2beta1/healthz")
        if token:  # for this address alone, not for one that its answer may lead to
            ask.add_unredirected_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(ask, timeout=10) as answer:
            return Finding("Kubeflow Pipelines", True, f"{host} answers"), json.load(answer)
    except urllib.error.HTTPError as error:
        remedy = f"is this its API server, and version 2? {remedy}"
        advice = (
            "set KFP_TOKEN (or --token) to that of a user who may use it"
            if error.code in (401, 403)
            else remedy
        )
        return Finding("Kubeflow Pipelines", False, f"{host} answers {error.code}", advice), {}
    except (OSError, ValueError) as error:
        text = f"{host} does not answer as an API server: {_short(error)}"
        return Finding("Kubeflow Pipelines", False, text, remedy), {}


def home(says: dict[str, Any], namespace: str, kfp_namespace: str) -> Finding:
    """Whether the pods will run in `namespace`: with one user Kubeflow runs them in its own."""
    if says.get("multi_user"):
        text = f"{namespace}; Kubeflow Pipelines has several users, each with a namespace"
        return Finding("pods' namespace", True, text)
    if namespace == kfp_namespace:
        return Finding("pods' namespace", True, f"{namespace}, Kubeflow Pipelines' own: it has one user")
    one_user = "this Kubeflow Pipelines has one user, and runs all pods in its own namespace"
    text = f"{kfp_namespace}, not {namespace}: {one_user}"
    elsewhere = "--kfp-namespace says where it runs, if not there"
    remedy = f"leave --namespace at {kfp_namespace} and install the chart there; {elsewhere}"
    return Finding("pods' namespace", False, text, remedy)


def _version(deployed: Any, host: str, request: Request) -> Finding:
    if isinstance(deployed, int):
        where = f"in namespace {request.kfp_namespace}"
        text = f"{host} answers; its version cannot be read {where}, {KFP_VERSION} is needed"
        return Finding("Kubeflow Pipelines", True, text)
    version = deployed.spec.template.spec.containers[0].image.rsplit(":", 1)[-1]
    known = re.fullmatch(r"v?(\d+)\.(\d+).*", version)
    if not known:
        text = f"image {version} names no version; {KFP_VERSION} or a later 2 is needed"
        return Finding("Kubeflow Pipelines", True, text)
    fits = int(known[1]) == 2 and int(known[2]) >= int(KFP_VERSION.split(".")[1])
    remedy = f"the pipeline is compiled for {KFP_VERSION}; upgrade, or compile with the SDK of that version"
    return Finding("Kubeflow Pipelines", fits, f"version {version}", "" if fits else remedy)


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
