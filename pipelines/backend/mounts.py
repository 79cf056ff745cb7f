"""Whether the volume and the secrets that the pods mount and read are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unpromptable.execution.probe import Finding

from .api import get
from .request import Request


def volume(api: Any, request: Request) -> Iterator[Finding]:
    """The store's claim, or that a store without a volume is no folder."""
    if any("persistentVolumeClaim" in one for pod in request.pods.values() for one in pod["volumes"]):
        yield _claim(api, request)
    elif "://" not in request.store:
        text = f"the pipeline is compiled without one, and the store {request.store} is a folder"
        remedy = "compile without --no-volume, or pass --store s3://bucket/prefix"
        yield Finding("volume", False, text, remedy)


def _claim(api: Any, request: Request) -> Finding:
    name, space = request.volume, request.namespace
    answer = get(api, "CoreV1Api", "read_namespaced_persistent_volume_claim", name, space)
    if answer == 404:
        without = "compile with --no-volume and keep the store in an object store"
        remedy = f"install the chart, name another with --volume, or {without}"
        return Finding("volume", False, f"{name}: no such claim in {space}", remedy)
    if isinstance(answer, int):
        return Finding("volume", True, f"{name} (cannot be read with these rights)")
    phase, modes = answer.status.phase, answer.spec.access_modes or []
    if phase not in ("Bound", "Pending"):
        return Finding("volume", False, f"{name} is {phase}", "its disk is gone; make the claim anew")
    note = "" if "ReadWriteMany" in modes else "; not ReadWriteMany, so all pods will run on one node"
    kinds = "; the cluster may have no disks of that kind (chart: store.accessModes, store.storageClass)"
    return Finding("volume", True, f"{name} is {phase}{note}{kinds if phase == 'Pending' else ''}")


def secrets(api: Any, request: Request, tried: bool) -> Iterator[Finding]:
    """Each Secret with its keys; one that nothing needs may be absent. tried: whether a pod opens the store
    after this.
    """
    from pipelines.pods import ENVIRONMENT

    for parameter in ("tracking_secret", "store_secret", "hub_secret"):
        name, keys = getattr(request, parameter), ENVIRONMENT[parameter]
        answer = get(api, "CoreV1Api", "read_namespaced_secret", name, request.namespace)
        if answer == 404:
            yield _absent(request, parameter, tried)
        elif isinstance(answer, int):
            yield Finding(f"secret {name}", True, "cannot be read with these rights")
        else:
            yield _complete(name, keys, answer.data or {})


def _absent(request: Request, parameter: str, tried: bool) -> Finding:
    """What a Secret that is not there means. A store may be opened without: pods may have rights of their
    own.
    """
    check = f"secret {getattr(request, parameter)}"
    wanted = {"store_secret": "://" in request.store, "hub_secret": request.needs_hub}.get(parameter, True)
    if not wanted:
        return Finding(check, True, "absent, and not needed")
    create = _creation(request, parameter)
    if parameter != "store_secret":
        return Finding(check, False, "absent", create)
    own = f"absent: {request.service_account} needs rights of its own (IRSA, workload identity)"
    told = "the pod that is tried next tells" if tried else "no pod is tried, so the run is the first to tell"
    return Finding(check, True, f"{own}; {told}. With keys instead: {create}")


def _creation(request: Request, parameter: str) -> str:
    """The command that makes a Secret."""
    from pipelines.pods import ENVIRONMENT

    literals = " ".join(f"--from-literal={k}=..." for k in ENVIRONMENT[parameter])
    no_accounts = " (any words where MLflow has no accounts)" if parameter == "tracking_secret" else ""
    name = getattr(request, parameter)
    return f"kubectl create secret generic {name} -n {request.namespace} {literals}{no_accounts}"


def _complete(name: str, keys: Any, held: dict[str, Any]) -> Finding:
    missing = sorted(set(keys) - set(held))
    if not missing:
        return Finding(f"secret {name}", True, "has its keys")
    return Finding(f"secret {name}", False, f"lacks {', '.join(missing)}", f"its keys are {', '.join(keys)}")
