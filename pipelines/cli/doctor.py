"""Checks before anything is submitted: the cluster, Kubeflow Pipelines, rights, GPUs, volume, secrets,
images, MLflow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.backend import nodes, trial_pod
from pipelines.backend.trial_pod import call
from unpromptable.execution.probe import Finding

KFP_VERSION = "2.17"  # what the compiled pipeline was written for
# what Argo's executor does as the service account
RIGHTS = (
    ("", "pods", "get"),
    ("argoproj.io", "workflowtaskresults", "create"),
    ("argoproj.io", "workflowtaskresults", "patch"),
)


@dataclass(frozen=True)
class Request:
    """What a submission is going to ask of the cluster; names are those of the pipeline's parameters."""

    pods: dict[str, dict[str, Any]]  # step -> its pod, as `driver` works it out
    namespace: str = "kubeflow"
    kfp_namespace: str = "kubeflow"  # where Kubeflow Pipelines itself runs
    service_account: str = "pipeline-runner"
    volume: str = "unpromptable-store"
    config: str = "unpromptable"
    tracking_secret: str = "unpromptable-mlflow"
    store_secret: str = "unpromptable-object-store"
    hub_secret: str = "unpromptable-hub"
    store: str = "/store/demo"
    token: str = ""  # for the API of Kubeflow Pipelines
    needs_hub: bool = False  # the experiment's base model is fetched from a hub
    probe_minutes: float = 10.0  # how long an image may take to arrive; 0 starts no pod


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
    namespace = _get(api, "CoreV1Api", "read_namespace", request.namespace)
    yield _namespace(namespace, request)
    yield from _kubeflow(api, request, kfp_host)
    yield _account(api, request)
    yield from _rights(api, request)
    yield from _nodes(api, request)
    yield from _volume(api, request)
    yield from _secrets(api, request)
    labels = {} if isinstance(namespace, int) else namespace.metadata.labels or {}
    yield from trial_pod.admission(api, request, labels)
    if request.probe_minutes > 0:
        for spec in _images(request):
            yield from trial_pod.pod(api, request, spec)


def _images(request: Request) -> list[dict[str, Any]]:
    """For each image the pod that asks for most, which is the hardest to place."""
    by_size = sorted(request.pods.values(), key=lambda pod: list(nodes.wanted(pod).values()))
    return list({pod["containers"][0]["image"]: pod for pod in by_size}.values())


def _cluster(api: Any) -> Finding:
    from kubernetes.client import ApiException, VersionApi

    try:
        return Finding(
            "cluster",
            True,
            f"Kubernetes {VersionApi(api).get_code(_request_timeout=10).git_version} at"
            f" {api.configuration.host}",
        )
    except ApiException as error:
        return Finding(
            "cluster",
            False,
            f"{api.configuration.host} answers {error.status}",
            "log in again; the kubeconfig's credentials are refused",
        )
    except Exception as error:
        return Finding(
            "cluster",
            False,
            f"{api.configuration.host} does not answer ({type(error).__name__})",
            "check the context (kubectl config get-contexts) and the network, or name another with --context",
        )


def _namespace(answer: Any, request: Request) -> Finding:
    name = request.namespace
    if answer == 403:
        return Finding("namespace", True, f"{name}: cannot be read with these rights; going on")
    if isinstance(answer, int):
        remedy = "choose one of `kubectl get namespaces` with --namespace"
        return Finding("namespace", False, f"{name}: no such namespace", remedy)
    return Finding("namespace", True, name)


def kubeflow_answers(host: str, token: str = "") -> tuple[Finding, dict[str, Any]]:
    """Whether `host` is the API server of Kubeflow Pipelines 2, and what it says of itself."""
    import urllib.error
    import urllib.request

    remedy = (
        "forward it (kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8888:80) and pass --endpoint"
        " http://localhost:8888"
    )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        ask = urllib.request.Request(f"{host.rstrip('/')}/apis/v2beta1/healthz", headers=headers)
        with urllib.request.urlopen(ask, timeout=10) as answer:
            return Finding("Kubeflow Pipelines", True, f"{host} answers"), json.load(answer)
    except urllib.error.HTTPError as error:
        remedy = f"is this its API server, and version 2? {remedy}"
        advice = "pass --token of a user who may use it" if error.code in (401, 403) else remedy
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


def _kubeflow(api: Any, request: Request, host: str) -> Iterator[Finding]:
    found, says = kubeflow_answers(host, request.token)
    if not found.ok:
        yield found
        return
    deployed = _get(api, "AppsV1Api", "read_namespaced_deployment", "ml-pipeline", request.kfp_namespace)
    yield _version(deployed, host, request)
    yield home(says, request.namespace, request.kfp_namespace)


def _version(deployed: Any, host: str, request: Request) -> Finding:
    if isinstance(deployed, int):
        where = f"in namespace {request.kfp_namespace}"
        text = f"{host} answers; its version cannot be read {where}, {KFP_VERSION} is needed"
        return Finding("Kubeflow Pipelines", True, text)
    version = deployed.spec.template.spec.containers[0].image.rsplit(":", 1)[-1]
    known = re.fullmatch(r"v?(\d+)\.(\d+).*", version)
    if not known:
        return Finding(
            "Kubeflow Pipelines",
            True,
            f"image {version} names no version; {KFP_VERSION} or a later 2 is needed",
        )
    fits = int(known[1]) == 2 and int(known[2]) >= int(KFP_VERSION.split(".")[1])
    remedy = f"the pipeline is compiled for {KFP_VERSION}; upgrade, or compile with the SDK of that version"
    return Finding("Kubeflow Pipelines", fits, f"version {version}", "" if fits else remedy)


def _account(api: Any, request: Request) -> Finding:
    answer = _get(
        api, "CoreV1Api", "read_namespaced_service_account", request.service_account, request.namespace
    )
    if answer == 404:
        return Finding(
            "service account",
            False,
            f"{request.service_account}: not in {request.namespace}",
            "install the chart there with runner.create=true, or name another with --service-account",
        )
    return Finding(
        "service account",
        True,
        (
            request.service_account
            if not isinstance(answer, int)
            else f"{request.service_account} (cannot be read with these rights)"
        ),
    )


def _rights(api: Any, request: Request) -> Iterator[Finding]:
    """Whether you may look at what is checked here, and whether the pods' account may do what Argo's executor
    does.
    """
    from kubernetes import client

    authorization = client.AuthorizationV1Api(api)
    for verb, resource, name in (
        ("get", "persistentvolumeclaims", request.volume),
        ("get", "secrets", request.tracking_secret),
        ("create", "pods", None),
    ):
        # by name: a role may name the Secrets it covers
        attributes = client.V1ResourceAttributes(
            namespace=request.namespace, verb=verb, resource=resource, name=name
        )
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        )
        answer = call(authorization.create_self_subject_access_review, review)
        allowed = not isinstance(answer, int) and answer.status.allowed
        yield Finding(
            f"you may {verb} {resource}",
            allowed,
            "yes" if allowed else f"no, in {request.namespace}",
            (
                ""
                if allowed
                else (
                    "ask for the chart's role `unpromptable-operator` (kubectl create rolebinding ... --role)"
                )
            ),
        )
    user = f"system:serviceaccount:{request.namespace}:{request.service_account}"
    for group, resource, verb in RIGHTS:
        attributes = client.V1ResourceAttributes(
            namespace=request.namespace, verb=verb, resource=resource, group=group
        )
        review = client.V1LocalSubjectAccessReview(
            metadata=client.V1ObjectMeta(namespace=request.namespace),
            spec=client.V1SubjectAccessReviewSpec(user=user, resource_attributes=attributes),
        )
        answer = call(authorization.create_namespaced_local_subject_access_review, request.namespace, review)
        if answer == 403:
            yield Finding(f"pods may {verb} {resource}", True, "cannot be told with these rights")
            continue
        allowed = not isinstance(answer, int) and answer.status.allowed
        yield Finding(
            f"pods may {verb} {resource}",
            allowed,
            "yes" if allowed else f"{request.service_account} may not, in {request.namespace}",
            "" if allowed else "install the chart, which binds the role that Argo's executor needs",
        )


def _nodes(api: Any, request: Request) -> Iterator[Finding]:
    listed = _get(api, "CoreV1Api", "list_node")
    if isinstance(listed, int):
        yield Finding("nodes", True, "cannot be listed with these rights")
    else:
        yield from nodes.fits(request.pods, listed.items)


def _volume(api: Any, request: Request) -> Iterator[Finding]:
    if any("persistentVolumeClaim" in volume for pod in request.pods.values() for volume in pod["volumes"]):
        yield _claim(api, request)
    elif "://" not in request.store:
        text = f"the pipeline is compiled without one, and the store {request.store} is a folder"
        remedy = "compile without --no-volume, or pass --store s3://bucket/prefix"
        yield Finding("volume", False, text, remedy)


def _claim(api: Any, request: Request) -> Finding:
    answer = _get(
        api, "CoreV1Api", "read_namespaced_persistent_volume_claim", request.volume, request.namespace
    )
    if answer == 404:
        without = "compile with --no-volume and keep the store in an object store"
        remedy = f"install the chart, name another with --volume, or {without}"
        return Finding("volume", False, f"{request.volume}: no such claim in {request.namespace}", remedy)
    if isinstance(answer, int):
        return Finding("volume", True, f"{request.volume} (cannot be read with these rights)")
    phase, modes = answer.status.phase, answer.spec.access_modes or []
    if phase not in ("Bound", "Pending"):
        return Finding(
            "volume", False, f"{request.volume} is {phase}", "its disk is gone; make the claim anew"
        )
    note = "" if "ReadWriteMany" in modes else "; not ReadWriteMany, so all pods will run on one node"
    kinds = "; the cluster may have no disks of that kind (chart: store.accessModes, store.storageClass)"
    return Finding("volume", True, f"{request.volume} is {phase}{note}{kinds if phase == 'Pending' else ''}")


def _secrets(api: Any, request: Request) -> Iterator[Finding]:
    from pipelines.pods import ENVIRONMENT

    needed = {
        "tracking_secret": True,
        "store_secret": "://" in request.store,
        "hub_secret": request.needs_hub,
    }
    for parameter, wanted in needed.items():
        name, keys = getattr(request, parameter), ENVIRONMENT[parameter]
        answer = _get(api, "CoreV1Api", "read_namespaced_secret", name, request.namespace)
        if answer == 404:
            yield Finding(
                f"secret {name}",
                not wanted,
                "absent" if wanted else "absent, and not needed",
                (
                    ""
                    if not wanted
                    else f"kubectl create secret generic {name} -n {request.namespace} "
                    + " ".join(f"--from-literal={k}=..." for k in keys)
                    + (" (any words where MLflow has no accounts)" if parameter == "tracking_secret" else "")
                ),
            )
        elif isinstance(answer, int):
            yield Finding(f"secret {name}", True, "cannot be read with these rights")
        else:
            missing = sorted(set(keys) - set(answer.data or {}))
            yield Finding(
                f"secret {name}",
                not missing,
                f"lacks {', '.join(missing)}" if missing else "has its keys",
                f"its keys are {', '.join(keys)}" if missing else "",
            )


def _get(api: Any, group: str, method: str, *args: Any) -> Any:
    from kubernetes import client

    return call(getattr(getattr(client, group)(api), method), *args)


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
