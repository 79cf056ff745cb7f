"""The pods that Kubeflow Pipelines 2.17 makes of a compiled pipeline, worked out before submission.

Its compiler sets each pod's security defaults, its driver lays the step's own settings over them. Both are
worked out here from the compiled YAML, so that a pod on trial, the chart's test and the rules of pod security
meet the very pods that will run. Source: argocompiler/security_context.go, driver/driver.go and
driver/k8s.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

NO_ESCALATION = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SCRATCH = {
    "gcs-scratch": "/gcs",
    "s3-scratch": "/s3",
    "minio-scratch": "/minio",
    "dot-local-scratch": "/.local",
    "dot-cache-scratch": "/.cache",
    "dot-config-scratch": "/.config",
}


def read(package: str | Path) -> list[dict[str, Any]]:
    """The two parts of a compiled pipeline: what runs, and what its pods get of Kubernetes.

    Raises FileNotFoundError or ValueError where the file is no compiled pipeline of this kind.
    """
    path = Path(package)
    if not path.is_file():
        raise FileNotFoundError(f"{package}: no such file; `python -m pipelines compile` writes one")
    try:
        parts = list(yaml.safe_load_all(path.read_text()))
    except yaml.YAMLError as error:
        raise ValueError(f"{package}: not valid YAML: {' '.join(str(error).split())}") from error
    if (
        len(parts) != 2
        or not all(isinstance(p, dict) for p in parts)
        or "pipelineInfo" not in parts[0]
        or "platforms" not in parts[1]
    ):
        raise ValueError(
            f"{package}: not a pipeline compiled here, which has two parts, pipelineInfo and platforms; "
            "`python -m pipelines compile` writes one"
        )
    return parts


def pods(
    package: str | Path, arguments: dict[str, Any] | None = None, account: str = "pipeline-runner"
) -> dict[str, dict[str, Any]]:
    """Step -> the specification of its pod, without what Kubeflow and Argo put beside the step (`beside`)."""
    spec, platform = read(package)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    given = {
        name: (arguments or {}).get(name, one.get("defaultValue"))
        for name, one in spec["root"].get("inputDefinitions", {}).get("parameters", {}).items()
    }
    return {
        label.removeprefix("exec-"): _pod(
            spec["deploymentSpec"]["executors"][label]["container"],
            executors.get(label, {}),
            own,
            around,
            account,
        )
        for label, own, around in _steps(spec, spec["root"], given)
    }


def _steps(
    spec: dict[str, Any], component: dict[str, Any], around: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every container's label, the parameters of its task and of the DAG around it, as far as known now."""
    for task in component["dag"]["tasks"].values():
        inner = spec["components"][task["componentRef"]["name"]]
        own = {
            k: one["defaultValue"]
            for k, one in inner.get("inputDefinitions", {}).get("parameters", {}).items()
            if "defaultValue" in one
        }
        for name, source in task.get("inputs", {}).get("parameters", {}).items():
            if source.get("componentInputParameter") in around:
                own[name] = around[source["componentInputParameter"]]
            elif "runtimeValue" in source:
                own[name] = source["runtimeValue"]["constant"]
        if "dag" in inner:
            yield from _steps(spec, inner, own)
        else:
            yield inner["executorLabel"], own, around


def _pod(
    container: dict[str, Any],
    platform: dict[str, Any],
    own: dict[str, Any],
    around: dict[str, Any],
    account: str,
) -> dict[str, Any]:
    mounts, volumes = _volumes(platform, around)
    main = {
        "name": "main",
        "image": _text(container["image"], own),
        "command": container.get("command", []),
        "env": list(_environment(platform, around)),
        "resources": _resources(container.get("resources", {}), own),
        "volumeMounts": mounts,
        "securityContext": {**NO_ESCALATION, **_user(platform.get("securityContext", {}))},
    }
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [main],
        "volumes": volumes,
        **_nodes(platform, around),
    }
    if platform.get("activeDeadlineSeconds"):
        pod["activeDeadlineSeconds"] = int(platform["activeDeadlineSeconds"])
    return pod


def _user(secure: dict[str, Any]) -> dict[str, Any]:
    """Whom the container runs as; the compiled pipeline may write the numbers as texts."""
    numbers = {k: int(secure[k]) for k in ("runAsUser", "runAsGroup") if k in secure}
    return {**numbers, **{k: secure[k] for k in ("runAsNonRoot",) if k in secure}}


def _nodes(platform: dict[str, Any], around: dict[str, Any]) -> dict[str, Any]:
    """Which nodes the pod may be placed on, where the pipeline says so."""
    found: dict[str, Any] = {}
    if selector := platform.get("nodeSelector", {}):
        found["nodeSelector"] = _known(selector["nodeSelectorJson"], around) or {}
    if tolerations := [_known(t["tolerationJson"], around) for t in platform.get("tolerations", [])]:
        lists = [many if isinstance(many, list) else [many] for many in tolerations]
        found["tolerations"] = [one for many in lists for one in many if one]
    return found


def _resources(asked: dict[str, Any], own: dict[str, Any]) -> dict[str, dict[str, str]]:
    places = {
        "resourceCpuRequest": ("requests", "cpu"),
        "resourceMemoryRequest": ("requests", "memory"),
        "resourceCpuLimit": ("limits", "cpu"),
        "resourceMemoryLimit": ("limits", "memory"),
    }
    found: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for key, (side, name) in places.items():
        if key in asked:
            found[side][name] = _text(asked[key], own)
    accelerator = asked.get("accelerator", {})
    if accelerator:
        found["limits"][_text(accelerator["resourceType"], own)] = _text(accelerator["resourceCount"], own)
    return found


def _environment(platform: dict[str, Any], around: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """In the driver's order: Secrets, then ConfigMaps."""
    for source, kind, key in (
        ("secretAsEnv", "secret", "secretKey"),
        ("configMapAsEnv", "configMap", "configMapKey"),
    ):
        for one in platform.get(source, []):
            for pair in one["keyToEnv"]:
                reference = {
                    "name": _known(one[f"{kind}NameParameter"], around),
                    "key": pair[key],
                    "optional": one.get("optional", False),
                }
                yield {"name": pair["envVar"], "valueFrom": {f"{kind}KeyRef": reference}}


def _volumes(
    platform: dict[str, Any], around: dict[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    mounts, volumes = [], []
    for one in platform.get("pvcMount", []):
        claim = _known(one["pvcNameParameter"], around)
        mounts.append({"name": claim, "mountPath": one["mountPath"]})
        volumes.append({"name": claim, "persistentVolumeClaim": {"claimName": claim}})
    for one in platform.get("emptyDirMounts", []):
        mounts.append({"name": one["volumeName"], "mountPath": one["mountPath"]})
        volumes.append(
            {"name": one["volumeName"], "emptyDir": {k: one[k] for k in ("medium", "sizeLimit") if k in one}}
        )
    for name, path in SCRATCH.items():
        mounts.append({"name": name, "mountPath": path})
        volumes.append({"name": name, "emptyDir": {}})
    return mounts, volumes


def _known(source: dict[str, Any], around: dict[str, Any]) -> Any:
    if "runtimeValue" in source:
        return source["runtimeValue"]["constant"]
    name = source.get("componentInputParameter")
    if name not in around:
        raise ValueError(
            f"the compiled pipeline takes {name or source} from a step, so what its pods get "
            "cannot be known before; compile it again"
        )
    return around[name]


def _text(template: str, own: dict[str, Any]) -> str:
    """A setting with its placeholders filled in."""
    return re.sub(
        r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}",
        lambda m: str(_known({"componentInputParameter": m[1]}, own)),
        str(template),
    )


def beside(pod: dict[str, Any]) -> dict[str, Any]:
    """The whole pod: with KFP's launcher, which copies itself in, and the two containers of Argo.

    None of the three can be changed from a pipeline; nor can a fsGroup or a read-only root be set.
    """
    system = {**NO_ESCALATION, "runAsNonRoot": True}
    argo = {"image": "argoexec:v4.0.5", "securityContext": {**system, "runAsUser": 65532}}
    launcher = {
        "name": "kfp-launcher",
        "image": "kfp-launcher:2.17.0",
        "securityContext": system,
    }
    return {
        **pod,
        "initContainers": [{"name": "init", **argo}, launcher],
        "containers": [{"name": "wait", **argo}, *pod["containers"]],
    }
