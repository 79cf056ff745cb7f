"""How large a sweep is for Argo: what its controller writes down of every node, from the compiled pipeline.

KFP turns each task into a driver's pod and a step's, each loop and sub-pipeline into a driver's pod and a DAG; Argo keeps a
record of all of them in one Workflow object, and stops for ever where that grows beyond its limit. The records are made here
as KFP 2.17 and Argo 4.0 make them (argocompiler/dag.go, driver/driver.go; workflow/controller/operator.go, workflow/packer).
Of a sweep that ran (three cells, the shape of an earlier version) this gives all 307 nodes and 82 pods.
"""
from __future__ import annotations

import base64
import gzip
import hashlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

WORKFLOW = 1 << 20  # bytes of the object, nodes compressed: Argo's limit, which is etcd's
ARGUMENT = 128 << 10  # bytes of one argument, or of one variable of a pod: Linux's limit
FILL = 2 / 3  # of these is used; a retried pod is a node more, and names may be longer
MEASURED = 1.25  # compressed bytes of a sweep that ran, by those made here: 277 KB by 223
SECONDS = 480 / 36  # of the same sweep with nothing to do, by the pods that waited for each other
NAME = "ablation-sweep-xxxxx"  # Argo appends five letters
RUN = "8f0c6a52-3b1e-4d07-9c44-52e1a7b90d36"


@dataclass(frozen=True)
class Size:
    """One KFP run."""

    nodes: int
    pods: int
    steps: int  # pods that run a step; the others are KFP's drivers
    raw: int  # bytes of the nodes as JSON
    compressed: int  # the same as Argo keeps them
    spec: int  # bytes of the rest of the object
    argument: int  # bytes of the longest argument of a pod
    path: int  # pods that wait for each other

    @property
    def total(self) -> int:
        """Bytes of the whole object."""
        return self.compressed + self.spec

    @property
    def fits(self) -> bool:
        return self.total <= FILL * WORKFLOW and self.argument <= FILL * ARGUMENT


def measure(package: Path | str, arguments: dict[str, Any], outputs: dict[str, Any]) -> Size:
    """The size of a run of a compiled pipeline. outputs: what a task returns, by its name; a list is what a loop goes over."""
    return _Engine(package, arguments, outputs).measure()


def sweep(package: Path | str, arguments: dict[str, Any], cells: list[str]) -> Size:
    """The size of one run of the ablation sweep, of these cells' ids."""
    return measure(package, arguments, {"plan": cells, "prepare": f"{cells[0].partition('/')[0]}/shared"})


def most(package: Path | str, arguments: dict[str, Any], cells: list[str]) -> int:
    """How many cells one run of the sweep may have. Raises ValueError where not even one fits."""
    longest = sorted(cells, key=len, reverse=True)
    number = len(longest)
    few, more = (sweep(package, arguments, (longest * 16)[:n]) for n in (4, 16))
    if number > 4:
        number = min(number, max(1, int((FILL * WORKFLOW - few.total) / ((more.total - few.total) / 12)) + 4))
    while number and not sweep(package, arguments, longest[:number]).fits:
        number -= 1
    if not number:
        one = sweep(package, arguments, longest[:1])
        raise ValueError(f"experiment: with its text a run of one cell is {one.total} bytes for Argo, {FILL * WORKFLOW:.0f} are allowed; put it into the image and give its name")
    return number


class _Engine:
    """The records, made by going through the compiled pipeline as Argo does."""

    def __init__(self, package: Path | str, arguments: dict[str, Any], outputs: dict[str, Any]):
        parts = [*yaml.safe_load_all(Path(package).read_text()), {}]
        self.spec, self.outputs = parts[0], outputs
        self.executors = self.spec["deploymentSpec"]["executors"]
        self.platform = parts[1].get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
        self.root = {name: _text(arguments.get(name, value.get("defaultValue", ""))) for name, value in self.spec["root"].get("inputDefinitions", {}).get("parameters", {}).items()}
        self.nodes: dict[str, str] = {}
        self.pods = self.steps = self.argument = 0

    def measure(self) -> Size:
        inner = self._dag("", NAME, "entrypoint", {})
        self._driver(inner, "root-driver", self.spec["root"], runtime=self.root)
        self._tasks(self._dag(inner, "root", "root", {"parent-dag-id": _number(inner)}), self.spec["root"], self.root)
        text = "{" + ",".join(f'"{key}":{self.nodes[key]}' for key in sorted(self.nodes)) + "}"
        packed = round(len(base64.b64encode(gzip.compress(text.encode(), 6))) * MEASURED)
        path = 1 + self._path(self.spec["root"], self.root)
        return Size(len(self.nodes), self.pods, self.steps, len(text), packed, self._spec(), self.argument, path)

    def _tasks(self, inside: str, component: dict, values: dict[str, str]) -> None:
        for name, task in component["dag"]["tasks"].items():
            place = inside
            if task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED":
                place = self._dag(inside, f"{task['dependentTasks'][0]}.onExit", f"exit-hook-root-{name}", {"parent-dag-id": _number(inside)})
            iterator = task.get("parameterIterator")
            if iterator:
                self._loop(place, name, task, iterator, values)
            else:
                self._task(place, name, name, task, values)

    def _loop(self, inside: str, name: str, task: dict, iterator: dict, values: dict[str, str]) -> None:
        given = self._given(task, values)
        items, component = self._items(task, given), self._component(task)
        loop = self._dag(inside, name, f"{task['componentRef']['name']}-{name}-iterator", {"parent-dag-id": _number(inside)})
        self._driver(loop, "iteration-driver", component, task=task, task_name=name)
        group = f"{loop}.iteration-iterations"
        self._put(group, "TaskGroup", f"{task['componentRef']['name']}-iteration", loop, {}, {}, [_id(f"{group}({i}:{i})") for i in range(len(items))])
        for i, item in enumerate(items):
            one = self._dag(loop, f"iteration-iterations({i}:{i})", f"{task['componentRef']['name']}-iteration", {"parent-dag-id": _number(inside), "iteration-index": str(i)})
            self._task(one, "iteration-item", name, task, {**values, **given}, {iterator["itemInput"]: _text(item)}, str(i))

    def _path(self, component: dict, values: dict[str, str]) -> int:
        """The longest chain of pods through a DAG, its exit task last."""
        tasks, ends = component["dag"]["tasks"], {}

        def end(name: str) -> int:
            if name not in ends:
                ends[name] = max(map(end, tasks[name].get("dependentTasks", [])), default=0) + self._pods_of(tasks[name], values)
            return ends[name]

        return max(map(end, tasks))

    def _pods_of(self, task: dict, values: dict[str, str]) -> int:
        component, given = self._component(task), self._given(task, values)
        one = 1 + (self._path(component, {**values, **given}) if "dag" in component else 1)
        if "parameterIterator" not in task:
            return one
        together = task.get("iteratorPolicy", {}).get("parallelismLimit") or 1 << 30
        return 1 + one * -(-len(self._items(task, given)) // together)

    @staticmethod
    def _items(task: dict, given: dict[str, str]) -> list[Any]:
        items = task["parameterIterator"]["items"]
        return json.loads(items["raw"] if "raw" in items else given[items["inputParameter"]])

    def _task(self, inside: str, name: str, task_name: str, task: dict, values: dict[str, str], item: dict[str, str] | None = None, index: str = "-1") -> None:
        component, given = self._component(task), {**self._given(task, values), **(item or {})}
        if "dag" in component:
            self._driver(inside, f"{name}-driver", component, task=task, task_name=task_name, index=index)
            self._tasks(self._dag(inside, name, task["componentRef"]["name"], {"parent-dag-id": _number(inside), "condition": "true"}), component, given)
            return
        label, parent = component["executorLabel"], {**values, **(item or {})}
        container, platform = self.executors[label]["container"], self.platform.get(label, {})
        patch = _json(self._pod(component, container, platform, given, parent, f"{inside}.{name}", task_name))
        self.argument = max(self.argument, len(patch))
        inputs = {"component": _json(component), "task": _json(task), "container": _json(container), "task-name": task_name, "parent-dag-id": _number(inside), "iteration-index": index, "kubernetes-config": _json(platform)}
        self._pods(inside, f"{name}-driver", "system-container-driver", inputs, {"pod-spec-patch": patch, "cached-decision": "false", "condition": "true"})
        retry = {k: "2" for k in ("retry-max-count", "retry-backoff-duration", "retry-backoff-factor", "retry-backoff-max-duration")} if "retryPolicy" in task else {}
        template = "retry-system-container" if retry else "system-container"
        executor = self._dag(inside, name, f"{template}-executor", {"pod-spec-patch": patch, "cached-decision": "false", **retry})
        self._pods(executor, "executor", f"{template}-impl", {"pod-spec-patch": patch, **retry}, {})
        self.steps += 1

    def _given(self, task: dict, values: dict[str, str]) -> dict[str, str]:
        """The values of a task's inputs."""
        found = {}
        for name, value in task.get("inputs", {}).get("parameters", {}).items():
            if "componentInputParameter" in value:
                found[name] = values.get(value["componentInputParameter"], "")
            elif "taskOutputParameter" in value:
                made = value["taskOutputParameter"]
                found[name] = _text(self.outputs.get(made["producerTask"], ""))
            elif "taskFinalStatus" in value:
                found[name] = _json({"state": "COMPLETE", "pipelineTaskName": "sweep", "pipelineJobResourceName": NAME, "error": {}})
            else:
                found[name] = _text(value.get("runtimeValue", {}).get("constant", ""))
        return found

    def _component(self, task: dict) -> dict:
        return self.spec["components"][task["componentRef"]["name"]]

    def _pod(self, component: dict, container: dict, platform: dict, given: dict, parent: dict, place: str, name: str) -> dict:
        """The patch with which the driver makes the step's pod."""
        uri = f"minio://mlpipeline/v2/artifacts/ablation-sweep/{RUN}/{name}/{_uuid(place)}"
        made = {k: {"artifacts": [{"name": k, "type": v["artifactType"], "uri": f"{uri}/{k}", "metadata": {}}]} for k, v in component.get("outputDefinitions", {}).get("artifacts", {}).items()}
        taken = {k: {"artifacts": [{"name": k, "type": v["artifactType"], "uri": f"{uri}/{k}", "metadata": {"display_name": k}, "artifactId": _number(place + k)}] * (self.outputs.get("list", 1) if v.get("isArtifactList") else 1)}
                 for k, v in component.get("inputDefinitions", {}).get("artifacts", {}).items()}
        outputs = {"artifacts": made, "parameters": {k: {"outputFile": f"/tmp/kfp/outputs/{k}"} for k in component.get("outputDefinitions", {}).get("parameters", {})}, "outputFile": "/tmp/kfp_outputs/output_metadata.json"}
        entry = _json({"inputs": {"parameterValues": given, **({"artifacts": taken} if taken else {})}, "outputs": outputs})
        command = ["/kfp-launcher/launch", "--pipeline_name", "ablation-sweep", "--run_id", RUN, "--execution_id", _number(place), "--executor_input", entry, "--component_spec", _json(component), "--pod_name", "$(KFP_POD_NAME)",
                   "--pod_uid", "$(KFP_POD_UID)", "--ml_pipeline_server_address", "ml-pipeline.kubeflow", "--ml_pipeline_server_port", "8887", "--mlmd_server_address", "metadata-grpc-service.kubeflow.svc.cluster.local", "--mlmd_server_port", "8080", "--publish_logs", "true", "--"]
        name = lambda v: parent.get(v.get("componentInputParameter", ""), "")
        sources = [(one, kind) for kind in ("configMap", "secret") for one in platform.get(f"{kind}AsEnv", [])]
        environment = [{"name": key["envVar"], "valueFrom": {f"{kind}KeyRef": {"name": name(one.get(f"{kind}NameParameter", {})), "key": key[f"{kind}{'Key' if kind == 'secret' else 'MapKey'}" if kind == "secret" else "configMapKey"], "optional": True}}} for one, kind in sources for key in one["keyToEnv"]]
        mounts = [*platform.get("pvcMount", []), *platform.get("emptyDirMounts", [])]
        resources = {k: given.get(f"pipelinechannel--{k}", "") for k in ("cpu", "memory", "gpus", "gpu_type")}
        return {"volumes": [{"name": m.get("volumeName") or name(m.get("pvcNameParameter", {})), "emptyDir": {"sizeLimit": m.get("sizeLimit", "")}} for m in mounts],
                "containers": [{"name": "main", "image": given.get("pipelinechannel--image", "") or given.get("pipelinechannel--light_image", ""), "command": command, "args": [*container.get("command", []), *container.get("args", [])],
                                "env": environment, "resources": {"limits": resources, "requests": resources}, "volumeMounts": [{"name": m.get("volumeName", ""), "mountPath": m["mountPath"]} for m in mounts]}],
                "nodeSelector": parent.get("pipelinechannel--node_selector", ""), "tolerations": parent.get("pipelinechannel--tolerations", ""), "activeDeadlineSeconds": 86400}

    def _driver(self, inside: str, name: str, component: dict, task: dict | None = None, task_name: str = "", index: str = "-1", runtime: dict | None = None) -> None:
        inputs = {"component": _json(component), "runtime-config": _json({"parameterValues": runtime}) if runtime else "", "task": _json(task) if task else "", "task-name": task_name, "parent-dag-id": _number(inside), "iteration-index": index, "driver-type": "DAG"}
        self._pods(inside, name, "system-dag-driver", inputs, {"execution-id": _number(f"{inside}.{name}"), "iteration-count": "0", "condition": "true"})

    def _pods(self, inside: str, name: str, template: str, inputs: dict, outputs: dict) -> None:
        """A pod, which Argo keeps in two nodes since KFP retries every template."""
        self.pods += 1
        full = f"{inside}.{name}"
        self._put(full, "Retry", template, inside, inputs, outputs, [_id(f"{full}(0)")])
        self._put(f"{full}(0)", "Pod", template, inside, inputs, outputs, [_id(f"{full}-next")])

    def _dag(self, inside: str, name: str, template: str, inputs: dict) -> str:
        """A DAG, in two nodes as well; returns the name that its tasks start with."""
        full = f"{inside}.{name}" if inside else name
        self._put(full, "Retry", template, inside, inputs, {}, [_id(f"{full}(0)")])
        self._put(f"{full}(0)", "DAG", template, inside, inputs, {}, [_id(f"{full}-first")])
        return f"{full}(0)"

    def _put(self, name: str, kind: str, template: str, inside: str, inputs: dict, outputs: dict, children: list[str]) -> None:
        key = _id(name)
        given = {"parameters": [{"name": k, "value": v} for k, v in inputs.items()]}
        made: dict[str, Any] = {"parameters": [{"name": k, "value": v, "valueFrom": {"path": f"/tmp/outputs/{k}"}} for k, v in outputs.items()]} if outputs else {}
        pod = kind == "Pod"
        if pod or kind == "Retry" and ("driver" in template or "impl" in template):
            made |= {"artifacts": [{"name": "main-logs", "s3": {"key": f"private-artifacts/kubeflow/{NAME}/2026/01/01/{NAME}-{template}-{key[-10:]}/main.log"}}], "exitCode": "0"}
        self.nodes[key] = _json({
            "id": key, "name": name, "displayName": name[len(inside):].lstrip("."), "type": kind, "templateName": template, "templateScope": f"local/{NAME}", "phase": "Succeeded", "boundaryID": _id(inside), "startedAt": _stamp(name), "finishedAt": _stamp(f"{name}."),
            "progress": "1/1", "resourcesDuration": {"cpu": int(_number(name)) % 7, "memory": int(_number(name)) % 90}, "nodeFlag": {"retried": True}, **({"inputs": given} if inputs else {}), **({"outputs": made} if made else {}), "children": children,
            **({"outboundNodes": children} if kind in ("DAG", "Retry") else {}), **({"hostNodeName": "node-0", "taskResultSynced": True} if pod else {})})

    def _spec(self) -> int:
        """The pipeline itself in the object: every component and container once, each task in the template that it belongs to."""
        components = [self.spec["root"], *self.spec["components"].values()]
        texts = [_json(c) for c in components] + [_json(e["container"]) for e in self.executors.values()] + [_json(p) for p in self.platform.values()]
        tasks = [_json(t) for c in components if "dag" in c for t in c["dag"]["tasks"].values() for _ in range(2 if "parameterIterator" in t else 1)]
        return sum(len(_json(t)) + 200 for t in texts) + sum(len(_json(t)) + 900 for t in tasks) + len(_json(self.root)) + FIXED


FIXED = 20_000  # KFP's own templates


def _id(name: str) -> str:
    """Argo's name of a node: 32 bits of FNV-1a."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return name if name in (NAME, "") else f"{NAME}-{value}"


def _uuid(place: str) -> str:
    """What differs from record to record is as random here as there, since it is what does not compress."""
    return str(uuid.UUID(bytes=hashlib.md5(place.encode()).digest()))


def _number(place: str) -> str:
    return str(1000 + int(hashlib.md5(place.encode()).hexdigest(), 16) % 9000)


def _stamp(place: str) -> str:
    return f"2026-01-01T{(second := int(_number(place))) // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=False)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def add(verbs: Any, override: Any) -> None:
    """The verb `size`."""
    from pipelines.__main__ import COMPILED

    one = verbs.add_parser("size", help="nodes, pods and bytes of a sweep on Kubeflow, and how many runs it takes")
    one.add_argument("experiment", help="a YAML file, or the name of an experiment that ships")
    one.add_argument("--world", default="", help="miniature or paper; the experiment's own otherwise")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting; may be repeated")
    one.add_argument("--cells", type=int, nargs="*", default=[], help="for sweeps of so many cells instead")
    one.add_argument("--package", default=str(COMPILED), help="the compiled pipeline")
    one.set_defaults(run=lambda a, console: show(a, console, dict(map(override, a.set))))


def show(a: Any, console: Any, overrides: dict[str, Any]) -> int:
    """Print a line per number of cells. Raises ValueError where a sweep cannot be held."""
    from rich import box
    from rich.table import Table

    from unpromptable import plan

    resolved = plan.resolve(a.experiment, a.world, overrides, inputs=False)
    arguments = {"experiment": yaml.safe_dump(plan.read_yaml(a.experiment), allow_unicode=True), "world": a.world, "overrides": _json(overrides)}
    ids = identities(resolved)
    table = Table(box=box.SIMPLE_HEAD, caption=f"of 1024 KB and 128 KB that Argo and a pod can hold; {FILL:.0%} are used, the rest is for retries")
    for name in ("cells", "runs", "cells in a run", "nodes", "pods", "of them steps", "KB", "longest argument, KB", "waiting, minutes"):
        table.add_column(name, justify="right")
    for number in a.cells or [len(ids)]:
        cells = (ids * -(-number // len(ids)))[:number]
        runs, one = divide(a.package, arguments, cells)
        line = (number, runs, -(-number // runs), one.nodes, one.pods, one.steps, f"{one.total / 1024:.0f}", f"{one.argument / 1024:.1f}", f"{one.path * SECONDS / 60:.1f}")
        table.add_row(*map(str, line))
    console.print(table)
    return 0


def identities(resolved: Any) -> list[str]:
    """The ids that `plan` will give the cells."""
    return [f"{resolved.experiment.name}/{Path(spec['folder']).name}" for spec in resolved.cell_specs()]


def divide(package: Path | str, arguments: dict[str, Any], cells: list[str]) -> tuple[int, Size]:
    """How many runs a sweep of these cells takes, and the size of the largest."""
    runs = -(-len(cells) // most(package, arguments, cells))
    longest = sorted(cells, key=len, reverse=True)
    return runs, sweep(package, arguments, longest[: -(-len(cells) // runs)])
