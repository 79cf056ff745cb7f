"""Checks before anything is submitted: the cluster, Kubeflow Pipelines, rights, GPUs, volume, secrets,
images, MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pipelines.backend import kubeflow, mounts, nodes, rights, room, trial_pod
from pipelines.backend.api import get
from pipelines.backend.request import Request
from unpromptable.execution.probe import Finding


def examine(request: Request, api: Any, kfp_host: str, show: Callable[[Finding], None]) -> bool:
    """Show every finding as it is made; True when nothing stands in the way. `api` is a kubernetes
    ApiClient.
    """
    passed = True
    for finding in _findings(request, api, kfp_host):
        show(finding)
        passed = passed and finding.ok
        if not finding.ok and finding.check in ("cluster", "namespace"):
            return False
    return passed


def _findings(request: Request, api: Any, kfp_host: str) -> Iterator[Finding]:
    yield _cluster(api)
    namespace = get(api, "CoreV1Api", "read_namespace", request.namespace)
    yield _namespace(namespace, request)
    yield from kubeflow.findings(api, request, kfp_host)
    yield rights.account(api, request)
    yield from rights.yours(api, request)
    yield from rights.pods(api, request)
    yield from _nodes(api, request)
    yield from room.fits(request.pods, request.peaks)
    yield from mounts.volume(api, request)
    allowed = rights.may(api, request, "create", "pods")
    yield from mounts.secrets(api, request, allowed and request.probe_minutes > 0)
    if not allowed:
        return  # which `yours` has said
    labels = {} if isinstance(namespace, int) else namespace.metadata.labels or {}
    yield from trial_pod.admission(api, request, labels)
    if request.probe_minutes > 0:
        for spec in _images(request):
            yield from trial_pod.pod(api, request, spec)


def _images(request: Request) -> list[dict[str, Any]]:
    """For each image the pod that asks for most, which is the hardest to place, and reads the most."""
    size = lambda pod: (list(nodes.wanted(pod).values()), len(pod["containers"][0]["env"]))
    by_size = sorted(request.pods.values(), key=size)
    return list({pod["containers"][0]["image"]: pod for pod in by_size}.values())


def _cluster(api: Any) -> Finding:
    import urllib3
    from kubernetes.client import ApiException, VersionApi

    host = api.configuration.host
    try:
        version = VersionApi(api).get_code(_request_timeout=10).git_version
        return Finding("cluster", True, f"Kubernetes {version} at {host}")
    except ApiException as error:
        remedy = "log in again; the kubeconfig's credentials are refused"
        return Finding("cluster", False, f"{host} answers {error.status}", remedy)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        contexts = "check the context (kubectl config get-contexts) and the network"
        text = f"{host} does not answer ({type(error).__name__})"
        return Finding("cluster", False, text, f"{contexts}, or name another with --context")


def _namespace(answer: Any, request: Request) -> Finding:
    name = request.namespace
    if answer == 403:
        return Finding("namespace", True, f"{name}: cannot be read with these rights; going on")
    if isinstance(answer, int):
        remedy = "choose one of `kubectl get namespaces` with --namespace"
        return Finding("namespace", False, f"{name}: no such namespace", remedy)
    return Finding("namespace", True, name)


def _nodes(api: Any, request: Request) -> Iterator[Finding]:
    listed = get(api, "CoreV1Api", "list_node")
    if isinstance(listed, int):
        yield Finding("nodes", True, "cannot be listed with these rights")
    else:
        yield from nodes.fits(request.pods, listed.items)
