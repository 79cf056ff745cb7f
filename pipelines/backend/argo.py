"""What Argo's controller writes down of a run: a record of every node, in one Workflow object.

KFP turns each task into a driver's pod and a step's, each loop and sub-pipeline into a driver's pod and a
DAG; as stock KFP retries every template, Argo keeps two records of each. They are made here as KFP 2.17 and
Argo 4.0 make them (argocompiler/dag.go, driver/driver.go; workflow/controller/operator.go and dag.go,
workflow/packer).
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

from pipelines.backend import driver

MEASURED = 1.2  # compressed bytes of a sweep that ran, 277 KB, by those made here, which vary less
FIXED = 20_000  # bytes of KFP's own templates
NAME = "ablation-sweep-xxxxx"  # Argo appends five letters
RUN = "8f0c6a52-3b1e-4d07-9c44-52e1a7b90d36"
LAUNCHER = ["--pod_name", "$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)"]
LAUNCHER += ["--ml_pipeline_server_address", "ml-pipeline.kubeflow", "--ml_pipeline_server_port", "8887"]
LAUNCHER += ["--mlmd_server_address", "metadata-grpc-service.kubeflow.svc.cluster.local"]
LAUNCHER += ["--mlmd_server_port", "8080", "--publish_logs", "true", "--"]
LIMITS = ("max-count", "backoff-duration", "backoff-factor", "backoff-max-duration")
RETRIES = {f"retry-{k}": "2" for k in LIMITS}


@dataclass(frozen=True)
class Size:
    """One KFP run."""

    nodes: int
    pods: int
    steps: int  # pods that run a step; the others are KFP's drivers
    raw: int  # bytes of the nodes as JSON
    compressed: int  # the same as Argo keeps them
    spec: int  # bytes of the rest of the object
    argument: int  # bytes of the longest argument of a node
    path: int  # pods that wait for each other

    @property
    def total(self) -> int:
        """Bytes of the whole object."""
        return self.compressed + self.spec


def measure(package: Path | str, arguments: dict[str, Any], outputs: dict[str, Any]) -> Size:
    """The size of a run. outputs: what a task returns, by its name; a list is what a loop goes over."""
    return _Engine(package, arguments, outputs).measure()


class _Engine:
    """The records, made by going through the compiled pipeline as Argo does.

    In every method, `inside` is the name of the node around, `values` the inputs of the DAG around by name.
    """

    def __init__(self, package: Path | str, arguments: dict[str, Any], outputs: dict[str, Any]):
        self.spec, platform = driver.read(package)
        self.outputs, self.made = outputs, driver.pods(package, arguments)
        self.executors = self.spec["deploymentSpec"]["executors"]
        self.platform = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        declared = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        self.root = {k: _text(arguments.get(k, v.get("defaultValue", ""))) for k, v in declared.items()}
        self.nodes: dict[str, str] = {}
        self.pods = self.steps = self.argument = 0

    def measure(self) -> Size:
        entry = self._dag("", NAME, "entrypoint", {})
        self._driver(entry, "root-driver", self.spec["root"], runtime=_json({"parameterValues": self.root}))
        self._tasks(self._dag(entry, "root", "root", _around(entry)), self.spec["root"], self.root)
        text = "{" + ",".join(f'"{key}":{self.nodes[key]}' for key in sorted(self.nodes)) + "}"
        packed = round(len(base64.b64encode(gzip.compress(text.encode(), 6))) * MEASURED)
        path = 1 + self._path(self.spec["root"], self.root)
        counts = (len(self.nodes), self.pods, self.steps, len(text), packed)
        return Size(*counts, self._spec(), self.argument, path)

    def _tasks(self, inside: str, component: dict, values: dict[str, str]) -> None:
        for name, task in component["dag"]["tasks"].items():
            place = inside
            if task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED":
                hook = f"{task['dependentTasks'][0]}.onExit"
                place = self._dag(inside, hook, f"exit-hook-root-{name}", _around(inside))
            if "parameterIterator" in task:
                self._loop(place, name, task, values)
            else:
                self._task(place, name, name, task, values)

    def _loop(self, inside: str, name: str, task: dict, values: dict[str, str]) -> None:
        given, template = self._given(task, values), task["componentRef"]["name"]
        items, item = self._items(task, given), task["parameterIterator"]["itemInput"]
        loop = self._dag(inside, name, f"{template}-{name}-iterator", _around(inside))
        self._driver(loop, "iteration-driver", self._component(task), task, name)
        group = "iteration-iterations"
        below = [_id(f"{loop}.{group}({i}:{i})") for i in range(len(items))]
        self._put(f"{loop}.{group}", "TaskGroup", f"{template}-iteration", loop, {}, {}, below)
        for i, value in enumerate(items):
            inputs = {**_around(loop), "iteration-index": str(i)}
            one = self._dag(loop, f"{group}({i}:{i})", f"{template}-iteration", inputs)
            known = {**values, **given, item: _text(value)}
            self._task(one, "iteration-item", name, task, known, str(i))

    def _task(
        self, inside: str, name: str, called: str, task: dict, values: dict[str, str], index: str = "-1"
    ) -> None:
        component, given = self._component(task), self._given(task, values)
        if "parameterIterator" in task:
            item = task["parameterIterator"]["itemInput"]
            given[item] = values[item]
        if "dag" in component:
            self._driver(inside, f"{name}-driver", component, task, called, index)
            inputs = {**_around(inside), "condition": "true"}
            self._tasks(self._dag(inside, name, task["componentRef"]["name"], inputs), component, given)
            return
        patch = _json(self._patch(component, given, f"{inside}.{name}", called))
        self.argument, self.steps = max(self.argument, len(patch)), self.steps + 1
        label = component["executorLabel"]
        texts = {"component": component, "task": task, "container": self.executors[label]["container"]}
        inputs = {k: _json(v) for k, v in texts.items()}
        inputs |= {"task-name": called, **_around(inside), "iteration-index": index}
        inputs |= {"kubernetes-config": _json(self.platform.get(label, {}))}
        outputs = {"pod-spec-patch": patch, "cached-decision": "false", "condition": "true"}
        self._pod(inside, f"{name}-driver", "system-container-driver", inputs, outputs)
        retry = RETRIES if "retryPolicy" in task else {}
        kind = "retry-system-container" if retry else "system-container"
        inputs = {"pod-spec-patch": patch, "cached-decision": "false", **retry}
        executor = self._dag(inside, name, f"{kind}-executor", inputs)
        self._pod(executor, "executor", f"{kind}-impl", {"pod-spec-patch": patch, **retry}, {})

    def _given(self, task: dict, values: dict[str, str]) -> dict[str, str]:
        """The values of a task's inputs."""
        return {k: self._value(v, values) for k, v in task.get("inputs", {}).get("parameters", {}).items()}

    def _value(self, source: dict, values: dict[str, str]) -> str:
        if "componentInputParameter" in source:
            return values.get(source["componentInputParameter"], "")
        if "taskOutputParameter" in source:
            return _text(self.outputs.get(source["taskOutputParameter"]["producerTask"], ""))
        if "taskFinalStatus" in source:
            return _json({"state": "COMPLETE", "pipelineTaskName": "sweep", "pipelineJobResourceName": NAME})
        return _text(source.get("runtimeValue", {}).get("constant", ""))

    def _component(self, task: dict) -> dict:
        return self.spec["components"][task["componentRef"]["name"]]

    @staticmethod
    def _items(task: dict, given: dict[str, str]) -> list[Any]:
        items = task["parameterIterator"]["items"]
        return json.loads(items["raw"] if "raw" in items else given[items["inputParameter"]])

    def _patch(self, component: dict, given: dict[str, str], place: str, called: str) -> dict:
        """The step's pod as its driver hands it to Argo: KFP's launcher, the step's inputs, its command."""
        uri = f"minio://mlpipeline/v2/artifacts/ablation-sweep/{RUN}/{called}/{_uuid(place)}"
        one = lambda name, kind: {"name": name, "type": kind["artifactType"], "uri": f"{uri}/{name}"}
        of = lambda side, what: component.get(f"{side}Definitions", {}).get(what, {})
        many = lambda kind: self.outputs.get("list", 1) if kind.get("isArtifactList") else 1
        made = {k: {"artifacts": [one(k, v)]} for k, v in of("output", "artifacts").items()}
        taken = {
            k: {"artifacts": [{**one(k, v), "artifactId": _number(place + k)}] * many(v)}
            for k, v in of("input", "artifacts").items()
        }
        files = {k: {"outputFile": f"/tmp/kfp/outputs/{k}"} for k in of("output", "parameters")}
        inputs = {"parameterValues": given, **({"artifacts": taken} if taken else {})}
        told = "/tmp/kfp_outputs/output_metadata.json"
        outputs = {"artifacts": made, "parameters": files, "outputFile": told}
        label = component["executorLabel"]
        pod = self.made[label.removeprefix("exec-")]
        command = ["/kfp-launcher/launch", "--pipeline_name", "ablation-sweep", "--run_id", RUN]
        command += ["--execution_id", _number(place), "--executor_input"]
        entry = _json({"inputs": inputs, "outputs": outputs})
        command += [entry, "--component_spec", _json(component), *LAUNCHER]
        container = self.executors[label]["container"]
        words = [*container.get("command", []), *container.get("args", [])]
        return {**pod, "containers": [{**pod["containers"][0], "command": command, "args": words}]}

    def _driver(
        self,
        inside: str,
        name: str,
        component: dict,
        task: dict | None = None,
        called: str = "",
        index: str = "-1",
        runtime: str = "",
    ) -> None:
        inputs = {"component": _json(component), "runtime-config": runtime}
        inputs |= {"task": _json(task) if task else ""}
        inputs |= {"task-name": called, **_around(inside), "iteration-index": index, "driver-type": "DAG"}
        outputs = {"execution-id": _number(f"{inside}.{name}"), "iteration-count": "0", "condition": "true"}
        self._pod(inside, name, "system-dag-driver", inputs, outputs)

    def _pod(self, inside: str, name: str, template: str, inputs: dict, outputs: dict) -> None:
        self.pods += 1
        full = f"{inside}.{name}"
        self._put(full, "Retry", template, inside, inputs, outputs, [_id(f"{full}(0)")])
        self._put(f"{full}(0)", "Pod", template, inside, inputs, outputs, [_id(f"{full}-next")])

    def _dag(self, inside: str, name: str, template: str, inputs: dict) -> str:
        """Returns the name that the DAG's tasks start with."""
        full = f"{inside}.{name}" if inside else name
        self._put(full, "Retry", template, inside, inputs, {}, [_id(f"{full}(0)")])
        self._put(f"{full}(0)", "DAG", template, inside, inputs, {}, [_id(f"{full}-first")])
        return f"{full}(0)"

    def _put(
        self, name: str, kind: str, template: str, inside: str, inputs: dict, outputs: dict, below: list[str]
    ) -> None:
        key, pod = _id(name), kind == "Pod"
        given = [{"name": k, "value": v} for k, v in inputs.items()]
        path = lambda k: {"path": f"/tmp/outputs/{k}"}
        made = [{"name": k, "value": v, "valueFrom": path(k)} for k, v in outputs.items()]
        found: dict[str, Any] = {"parameters": made} if made else {}
        if pod or kind == "Retry" and template.endswith(("driver", "impl")):
            log = f"private-artifacts/kubeflow/{NAME}/2026/01/01/{NAME}-{template}-{key[-10:]}/main.log"
            found |= {"artifacts": [{"name": "main-logs", "s3": {"key": log}}], "exitCode": "0"}
        spent = int(_number(name))
        node = {"id": key, "name": name, "displayName": name[len(inside) :].lstrip("."), "type": kind}
        node |= {"templateName": template, "templateScope": f"local/{NAME}", "phase": "Succeeded"}
        node |= {"boundaryID": _id(inside), "startedAt": _stamp(name), "finishedAt": _stamp(f"{name}.")}
        node |= {"progress": "1/1", "resourcesDuration": {"cpu": spent % 7, "memory": spent % 90}}
        node |= {"nodeFlag": {"retried": True}, **({"inputs": {"parameters": given}} if given else {})}
        node |= {**({"outputs": found} if found else {}), "children": below}
        node |= {"outboundNodes": below} if kind in ("DAG", "Retry") else {}
        node |= {"hostNodeName": "node-0", "taskResultSynced": True} if pod else {}
        self.nodes[key] = _json(node)

    def _spec(self) -> int:
        """The pipeline itself in the object: each component and container once, each task in its template."""
        components = [self.spec["root"], *self.spec["components"].values()]
        texts = [*components, *(e["container"] for e in self.executors.values()), *self.platform.values()]
        tasks = [t for c in components if "dag" in c for t in c["dag"]["tasks"].values()]
        twice = [t for t in tasks if "parameterIterator" in t]
        written = [(t, 200) for t in texts] + [(t, 900) for t in (*tasks, *twice)]
        return sum(len(_json(_json(t))) + more for t, more in written) + len(_json(self.root)) + FIXED

    def _path(self, component: dict, values: dict[str, str]) -> int:
        """The longest chain of pods through a DAG, its exit task last."""
        tasks = component["dag"]["tasks"]

        def end(name: str) -> int:
            before = max(map(end, tasks[name].get("dependentTasks", [])), default=0)
            return before + self._chain(tasks[name], values)

        return max(map(end, tasks))

    def _chain(self, task: dict, values: dict[str, str]) -> int:
        component, given = self._component(task), self._given(task, values)
        one = 1 + (self._path(component, {**values, **given}) if "dag" in component else 1)
        if "parameterIterator" not in task:
            return one
        items = len(self._items(task, given))
        return 1 + one * -(-items // (task.get("iteratorPolicy", {}).get("parallelismLimit") or items or 1))


def _around(inside: str) -> dict[str, str]:
    return {"parent-dag-id": _number(inside)}


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
    second = int(_number(place))
    return f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)
