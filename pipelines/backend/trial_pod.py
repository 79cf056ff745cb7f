"""The steps' own pods on trial: what the API server says of them, and one that is started."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

from pipelines.backend import nodes
from unpromptable.execution.probe import Finding

from .api import call
from .request import Request

PULLING = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
)
LEVEL = "pod-security.kubernetes.io/enforce"
PULL_REMEDY = (
    "check its name and tag, push it, or add an imagePullSecret to the service account"
    " (the line is in charts/unpromptable/README.md)"
)


def admission(api: Any, request: Request, labels: dict[str, str]) -> Iterator[Finding]:
    """The API server's verdict on each kind of pod, none made: pod security, quotas, limits, policies."""
    level = labels.get(LEVEL)
    said = f"the namespace enforces {level}" if level else f"the namespace has no label {LEVEL}"
    for steps, pod in nodes.machines(request.pods).items():
        refusal = _refusal(api, request.namespace, manifest(request, pod))
        text = f"{', '.join(steps)}: {refusal or f'admitted; {said}'}"
        yield Finding("pod admission", not refusal or _waits(refusal), text, _admission_remedy(refusal))


def _refusal(api: Any, namespace: str, body: dict[str, Any]) -> str:
    from kubernetes import client

    try:
        client.CoreV1Api(api).create_namespaced_pod(namespace, body, dry_run="All", _request_timeout=20)
        return ""
    except client.ApiException as error:
        try:
            return str(json.loads(error.body)["message"])
        except (TypeError, ValueError, KeyError):
            return f"the API server answers {error.status} {error.reason}"


def _waits(refusal: str) -> bool:
    """Whether a quota is only used up for now, so that the run would wait and not fail."""
    found = re.search(r"exceeded quota: .*requested: (.*), used: .*, limited: (.*)", refusal)
    if not found:
        return False
    asked, most = (
        {k: nodes.amount(v) for k, v in re.findall(r"([^,= ]+)=([^, ]+)", part)} for part in found.groups()
    )
    return all(asked[k] <= most.get(k, asked[k]) for k in asked)


def _admission_remedy(refusal: str) -> str:
    if "violates PodSecurity" in refusal:
        return f"compile again (the steps' pods keep `restricted`), or label the namespace {LEVEL}=baseline"
    if "exceeded quota" in refusal:
        return "ask for less (--gpus, --memory, --cpu) or for a larger quota: kubectl describe quota"
    return (
        "a policy of the cluster refuses the steps' pods; show this line to who administers it"
        if refusal
        else ""
    )


def pod(api: Any, request: Request, spec: dict[str, Any]) -> Iterator[Finding]:
    """Start a step's pod with the probe in place of its work, wait for it, read what it says, remove it."""
    from kubernetes import client

    body = manifest(request, spec)
    core, name, image = client.CoreV1Api(api), body["metadata"]["name"], spec["containers"][0]["image"]
    made = call(core.create_namespaced_pod, request.namespace, body)
    if isinstance(made, int):
        remedy = "ask for the chart's role `unpromptable-doctor`, or pass --no-pod to skip this"
        yield Finding(f"image {image}", False, f"a pod to try it cannot be made ({made})", remedy)
        return
    try:
        yield from _watch(core, request, image, name)
    finally:
        call(core.delete_namespaced_pod, name, request.namespace)


def stuck(status: Any) -> str:
    """Why a pod's containers cannot start, or nothing."""
    every = [*(status.init_container_statuses or []), *(status.container_statuses or [])]
    waiting = [c.state.waiting for c in every if c.state and c.state.waiting]
    return next((f"{w.reason}: {w.message or ''}".strip(": ") for w in waiting if w.reason in PULLING), "")


def _watch(core: Any, request: Request, image: str, name: str) -> Iterator[Finding]:
    until, status = time.monotonic() + request.probe_minutes * 60, None
    while time.monotonic() < until:
        status = core.read_namespaced_pod(name, request.namespace).status
        if stuck(status):
            yield Finding(f"image {image}", False, stuck(status), PULL_REMEDY)
            return
        if status.phase in ("Succeeded", "Failed"):
            break
        time.sleep(1)
    else:
        why = "; ".join(c.message for c in status.conditions or [] if c.message) if status else ""
        text = f"the pod did not finish within {request.probe_minutes:g} minutes: {why or 'no reason given'}"
        busy = "pass --no-pod where all nodes are only busy"
        remedy = f"see `kubectl describe pod`; raise --pod-minutes for a slow registry, or {busy}"
        yield Finding(f"image {image}", False, text, remedy)
        return
    log = core.read_namespaced_pod_log(
        name, request.namespace, _preload_content=False
    ).data.decode()  # else a line of JSON comes back as a repr
    lines = [line for line in log.splitlines() if line.startswith("{")]
    said = (
        "can be pulled and runs" if lines else f"the pod ended {status.phase} and said: {log[-300:].strip()}"
    )
    remedy = "" if lines else "is this image built from images/ of this version?"
    yield Finding(f"image {image}", status.phase == "Succeeded" and bool(lines), said, remedy)
    for line in lines:
        yield Finding(**json.loads(line))


def manifest(request: Request, spec: dict[str, Any]) -> dict[str, Any]:
    """A step's pod with the probe as its command; the cluster ends it should nobody be left to remove it."""
    main = spec["containers"][0]
    gpus = next((v for k, v in main["resources"]["limits"].items() if k not in ("cpu", "memory")), "0")
    command = ["python", "-m", "unpromptable.execution.probe", "--gpus", gpus, request.store]
    seconds = max(60, round(request.probe_minutes * 60))
    labels = {"app.kubernetes.io/part-of": "unpromptable", "app.kubernetes.io/component": "step"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"unpromptable-doctor-{uuid.uuid4().hex[:8]}", "labels": labels},
        "spec": {**spec, "containers": [{**main, "command": command}], "activeDeadlineSeconds": seconds},
    }
