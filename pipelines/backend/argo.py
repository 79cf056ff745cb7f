"""What Argo's controller writes down of a run: a record of every node, in one Workflow object.

KFP turns each task into a driver's pod and a step's, each loop and sub-pipeline into a driver's pod and a
DAG; as stock KFP retries every template, Argo keeps two records of each. They are made here as KFP 2.17 and
Argo 4.0 make them (argocompiler/dag.go, driver/driver.go; workflow/controller/operator.go and dag.go,
workflow/packer).
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.backend import driver

from .argo_records import NAME, Records, around, id_of, json_of, number, text_of, uuid_of

MEASURED = 1.2  # compressed bytes of a sweep that ran, 277 KB, by those made here, which vary less
FIXED = 20_000  # bytes of KFP's own templates
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
        self.root = {k: text_of(arguments.get(k, v.get("defaultValue", ""))) for k, v in declared.items()}
        self.records = Records()
        self.steps = self.argument = 0

    def measure(self) -> Size:
        entry = self.records.dag("", NAME, "entrypoint", {})
        self.records.driver(
            entry, "root-driver", self.spec["root"], runtime=json_of({"parameterValues": self.root})
        )
        self._tasks(self.records.dag(entry, "root", "root", around(entry)), self.spec["root"], self.root)
        text = self.records.text()
        packed = round(len(base64.b64encode(gzip.compress(text.encode(), 6))) * MEASURED)
        path = 1 + self._path(self.spec["root"], self.root)
        counts = (len(self.records.nodes), self.records.pods, self.steps, len(text), packed)
        return Size(*counts, self._spec(), self.argument, path)

    def _tasks(self, inside: str, component: dict, values: dict[str, str]) -> None:
        for name, task in component["dag"]["tasks"].items():
            place = inside
            if task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED":
                hook = f"{task['dependentTasks'][0]}.onExit"
                place = self.records.dag(inside, hook, f"exit-hook-root-{name}", around(inside))
            if "parameterIterator" in task:
                self._loop(place, name, task, values)
            else:
                self._task(place, name, name, task, values)

    def _loop(self, inside: str, name: str, task: dict, values: dict[str, str]) -> None:
        given, template = self._given(task, values), task["componentRef"]["name"]
        items, item = self._items(task, given), task["parameterIterator"]["itemInput"]
        loop = self.records.dag(inside, name, f"{template}-{name}-iterator", around(inside))
        self.records.driver(loop, "iteration-driver", self._component(task), task, name)
        group = "iteration-iterations"
        below = [id_of(f"{loop}.{group}({i}:{i})") for i in range(len(items))]
        self.records.group(f"{loop}.{group}", f"{template}-iteration", loop, below)
        for i, value in enumerate(items):
            inputs = {**around(loop), "iteration-index": str(i)}
            one = self.records.dag(loop, f"{group}({i}:{i})", f"{template}-iteration", inputs)
            known = {**values, **given, item: text_of(value)}
            self._task(one, "iteration-item", name, task, known, str(i))

    def _task(
        self, inside: str, name: str, called: str, task: dict, values: dict[str, str], index: str = "-1"
    ) -> None:
        component, given = self._component(task), self._given(task, values)
        if "parameterIterator" in task:
            item = task["parameterIterator"]["itemInput"]
            given[item] = values[item]
        if "dag" in component:
            self.records.driver(inside, f"{name}-driver", component, task, called, index)
            inputs = {**around(inside), "condition": "true"}
            self._tasks(
                self.records.dag(inside, name, task["componentRef"]["name"], inputs), component, given
            )
            return
        patch = json_of(self._patch(component, given, f"{inside}.{name}", called))
        self.argument, self.steps = max(self.argument, len(patch)), self.steps + 1
        label = component["executorLabel"]
        texts = {"component": component, "task": task, "container": self.executors[label]["container"]}
        inputs = {k: json_of(v) for k, v in texts.items()}
        inputs |= {"task-name": called, **around(inside), "iteration-index": index}
        inputs |= {"kubernetes-config": json_of(self.platform.get(label, {}))}
        outputs = {"pod-spec-patch": patch, "cached-decision": "false", "condition": "true"}
        self.records.pod(inside, f"{name}-driver", "system-container-driver", inputs, outputs)
        retry = RETRIES if "retryPolicy" in task else {}
        kind = "retry-system-container" if retry else "system-container"
        inputs = {"pod-spec-patch": patch, "cached-decision": "false", **retry}
        executor = self.records.dag(inside, name, f"{kind}-executor", inputs)
        self.records.pod(executor, "executor", f"{kind}-impl", {"pod-spec-patch": patch, **retry}, {})

    def _given(self, task: dict, values: dict[str, str]) -> dict[str, str]:
        """The values of a task's inputs."""
        return {k: self._value(v, values) for k, v in task.get("inputs", {}).get("parameters", {}).items()}

    def _value(self, source: dict, values: dict[str, str]) -> str:
        if "componentInputParameter" in source:
            return values.get(source["componentInputParameter"], "")
        if "taskOutputParameter" in source:
            return text_of(self.outputs.get(source["taskOutputParameter"]["producerTask"], ""))
        if "taskFinalStatus" in source:
            return json_of(
                {"state": "COMPLETE", "pipelineTaskName": "sweep", "pipelineJobResourceName": NAME}
            )
        return text_of(source.get("runtimeValue", {}).get("constant", ""))

    def _component(self, task: dict) -> dict:
        return self.spec["components"][task["componentRef"]["name"]]

    @staticmethod
    def _items(task: dict, given: dict[str, str]) -> list[Any]:
        items = task["parameterIterator"]["items"]
        return json.loads(items["raw"] if "raw" in items else given[items["inputParameter"]])

    def _patch(self, component: dict, given: dict[str, str], place: str, called: str) -> dict:
        """The step's pod as its driver hands it to Argo: KFP's launcher, the step's inputs, its command."""
        uri = f"minio://mlpipeline/v2/artifacts/ablation-sweep/{RUN}/{called}/{uuid_of(place)}"
        one = lambda name, kind: {"name": name, "type": kind["artifactType"], "uri": f"{uri}/{name}"}
        of = lambda side, what: component.get(f"{side}Definitions", {}).get(what, {})
        many = lambda kind: self.outputs.get("list", 1) if kind.get("isArtifactList") else 1
        made = {k: {"artifacts": [one(k, v)]} for k, v in of("output", "artifacts").items()}
        taken = {
            k: {"artifacts": [{**one(k, v), "artifactId": number(place + k)}] * many(v)}
            for k, v in of("input", "artifacts").items()
        }
        files = {k: {"outputFile": f"/tmp/kfp/outputs/{k}"} for k in of("output", "parameters")}
        inputs = {"parameterValues": given, **({"artifacts": taken} if taken else {})}
        told = "/tmp/kfp_outputs/output_metadata.json"
        outputs = {"artifacts": made, "parameters": files, "outputFile": told}
        label = component["executorLabel"]
        pod = self.made[label.removeprefix("exec-")]
        command = ["/kfp-launcher/launch", "--pipeline_name", "ablation-sweep", "--run_id", RUN]
        command += ["--execution_id", number(place), "--executor_input"]
        entry = json_of({"inputs": inputs, "outputs": outputs})
        command += [entry, "--component_spec", json_of(component), *LAUNCHER]
        container = self.executors[label]["container"]
        words = [*container.get("command", []), *container.get("args", [])]
        return {**pod, "containers": [{**pod["containers"][0], "command": command, "args": words}]}

    def _spec(self) -> int:
        """The pipeline itself in the object: each component and container once, each task in its template."""
        components = [self.spec["root"], *self.spec["components"].values()]
        texts = [*components, *(e["container"] for e in self.executors.values()), *self.platform.values()]
        tasks = [t for c in components if "dag" in c for t in c["dag"]["tasks"].values()]
        twice = [t for t in tasks if "parameterIterator" in t]
        written = [(t, 200) for t in texts] + [(t, 900) for t in (*tasks, *twice)]
        return sum(len(json_of(json_of(t))) + more for t, more in written) + len(json_of(self.root)) + FIXED

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
