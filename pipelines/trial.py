"""A pod on trial: the steps' own image, mounts and environment, so that what works there works in the run."""
from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from pipelines.pods import ENVIRONMENT, STORE
from unpromptable.probe import Finding

PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError")


def pod(api: Any, request: Any, image: str) -> Iterator[Finding]:
    """Start one pod with the image, mounts and environment of the steps, wait for it, read what it says, remove it."""
    from kubernetes import client

    core, name = client.CoreV1Api(api), f"unpromptable-doctor-{uuid.uuid4().hex[:8]}"
    made = call(core.create_namespaced_pod, request.namespace, _manifest(request, image, name))
    if isinstance(made, int):
        yield Finding(f"image {image}", False, f"a pod to try it cannot be made ({made})", "ask for the chart's role `unpromptable-operator`, or pass --no-pod to skip this")
        return
    try:
        yield from _watch(core, request, image, name)
    finally:
        call(core.delete_namespaced_pod, name, request.namespace)


def _watch(core: Any, request: Any, image: str, name: str) -> Iterator[Finding]:
    until, status = time.monotonic() + request.probe_minutes * 60, None
    while time.monotonic() < until:
        status = core.read_namespaced_pod(name, request.namespace).status
        waiting = [c.state.waiting for c in status.container_statuses or [] if c.state.waiting]
        stuck = [w for w in waiting if w.reason in PULLING]
        if stuck:
            yield Finding(f"image {image}", False, f"{stuck[0].reason}: {stuck[0].message or ''}".strip(": "), "check its name and tag, push it, or add an imagePullSecret to the service account")
            return
        if status.phase in ("Succeeded", "Failed"):
            break
        time.sleep(1)
    else:
        why = "; ".join(c.message for c in (status.conditions or []) if c.message) if status else ""
        yield Finding(f"image {image}", False, f"the pod did not finish within {request.probe_minutes:g} minutes: {why or 'no reason given'}", "see `kubectl describe pod`; raise --pod-minutes for a slow registry")
        return
    log = core.read_namespaced_pod_log(name, request.namespace, _preload_content=False).data.decode()  # else one line of JSON comes back as a Python repr
    lines = [line for line in log.splitlines() if line.startswith("{")]
    yield Finding(f"image {image}", status.phase == "Succeeded" and bool(lines), "can be pulled and runs" if lines else f"the pod ended {status.phase} and said: {log[-300:].strip()}", "" if lines else "is this image built from images/ of this version?")
    for line in lines:
        yield Finding(**json.loads(line))


def _manifest(request: Any, image: str, name: str) -> dict[str, Any]:
    environment = [{"name": env, "valueFrom": {"configMapKeyRef": {"name": request.config, "key": key, "optional": True}}} for key, env in ENVIRONMENT["config"].items()]
    for secret in ("tracking_secret", "store_secret", "hub_secret"):
        environment += [{"name": env, "valueFrom": {"secretKeyRef": {"name": getattr(request, secret), "key": key, "optional": True}}} for key, env in ENVIRONMENT[secret].items()]
    folder = "://" not in request.store
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, *([{"name": "store", "mountPath": STORE}] if folder else [])]
    volumes = [{"name": "tmp", "emptyDir": {}}, *([{"name": "store", "persistentVolumeClaim": {"claimName": request.volume}}] if folder else [])]
    secure = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "probe", "image": image, "command": ["python", "-m", "unpromptable.probe", request.store], "env": environment, "volumeMounts": mounts, "securityContext": secure,
                 "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}
    spec = {"restartPolicy": "Never", "serviceAccountName": request.service_account, "containers": [container], "volumes": volumes, "tolerations": request.tolerations, "nodeSelector": request.node_selector,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "unpromptable", "app.kubernetes.io/component": "step"}}, "spec": spec}


def call(function: Callable, *args: Any) -> Any:
    """The answer, or the HTTP status of a refusal."""
    from kubernetes.client import ApiException

    try:
        return function(*args, _request_timeout=20)
    except ApiException as error:
        return int(error.status or 0)
