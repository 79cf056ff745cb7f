"""The records that Argo's controller keeps of the nodes of a run, as texts.

Every name of a node starts with that of the node around it. What differs from record to record is as random
here as there, since it is what does not compress.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

NAME = "ablation-sweep-xxxxx"  # Argo appends five letters


class Records:
    """Records by the ids of their nodes. In every method, `inside` is the name of the node around."""

    def __init__(self):
        self.nodes: dict[str, str] = {}
        self.pods = 0

    def text(self) -> str:
        """All of them as Argo writes them."""
        return "{" + ",".join(f'"{key}":{self.nodes[key]}' for key in sorted(self.nodes)) + "}"

    def driver(
        self,
        inside: str,
        name: str,
        component: dict,
        task: dict | None = None,
        called: str = "",
        index: str = "-1",
        runtime: str = "",
    ) -> None:
        """The pod of KFP's driver for a DAG."""
        inputs = {"component": json_of(component), "runtime-config": runtime}
        inputs |= {"task": json_of(task) if task else ""}
        inputs |= {"task-name": called, **around(inside), "iteration-index": index, "driver-type": "DAG"}
        outputs = {"execution-id": number(f"{inside}.{name}"), "iteration-count": "0", "condition": "true"}
        self.pod(inside, name, "system-dag-driver", inputs, outputs)

    def pod(self, inside: str, name: str, template: str, inputs: dict, outputs: dict) -> None:
        """A pod, and the record of its retries."""
        self.pods += 1
        full = f"{inside}.{name}"
        self._put(full, "Retry", template, inside, inputs, outputs, [id_of(f"{full}(0)")])
        self._put(f"{full}(0)", "Pod", template, inside, inputs, outputs, [id_of(f"{full}-next")])

    def dag(self, inside: str, name: str, template: str, inputs: dict) -> str:
        """Returns the name that the DAG's tasks start with."""
        full = f"{inside}.{name}" if inside else name
        self._put(full, "Retry", template, inside, inputs, {}, [id_of(f"{full}(0)")])
        self._put(f"{full}(0)", "DAG", template, inside, inputs, {}, [id_of(f"{full}-first")])
        return f"{full}(0)"

    def group(self, name: str, template: str, inside: str, below: list[str]) -> None:
        """The node between a loop and its items."""
        self._put(name, "TaskGroup", template, inside, {}, {}, below)

    def _put(
        self, name: str, kind: str, template: str, inside: str, inputs: dict, outputs: dict, below: list[str]
    ) -> None:
        key, pod = id_of(name), kind == "Pod"
        given = [{"name": k, "value": v} for k, v in inputs.items()]
        spent = int(number(name))
        node = {"id": key, "name": name, "displayName": name[len(inside) :].lstrip("."), "type": kind}
        node |= {"templateName": template, "templateScope": f"local/{NAME}", "phase": "Succeeded"}
        node |= {"boundaryID": id_of(inside), "startedAt": _stamp(name), "finishedAt": _stamp(f"{name}.")}
        node |= {"progress": "1/1", "resourcesDuration": {"cpu": spent % 7, "memory": spent % 90}}
        node |= {"nodeFlag": {"retried": True}, **({"inputs": {"parameters": given}} if given else {})}
        found = _outputs(key, kind, template, outputs)
        node |= {**({"outputs": found} if found else {}), "children": below}
        node |= {"outboundNodes": below} if kind in ("DAG", "Retry") else {}
        node |= {"hostNodeName": "node-0", "taskResultSynced": True} if pod else {}
        self.nodes[key] = json_of(node)


def _outputs(key: str, kind: str, template: str, outputs: dict) -> dict[str, Any]:
    """What a node gave back, and the log of a pod."""
    path = lambda k: {"path": f"/tmp/outputs/{k}"}
    made = [{"name": k, "value": v, "valueFrom": path(k)} for k, v in outputs.items()]
    found: dict[str, Any] = {"parameters": made} if made else {}
    if kind == "Pod" or kind == "Retry" and template.endswith(("driver", "impl")):
        log = f"private-artifacts/kubeflow/{NAME}/2026/01/01/{NAME}-{template}-{key[-10:]}/main.log"
        found |= {"artifacts": [{"name": "main-logs", "s3": {"key": log}}], "exitCode": "0"}
    return found


def around(inside: str) -> dict[str, str]:
    """The input that tells a node which DAG it is of."""
    return {"parent-dag-id": number(inside)}


def id_of(name: str) -> str:
    """Argo's name of a node: 32 bits of FNV-1a."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return name if name in (NAME, "") else f"{NAME}-{value}"


def uuid_of(place: str) -> str:
    """An identity of a place."""
    return str(uuid.UUID(bytes=hashlib.md5(place.encode()).digest()))


def number(place: str) -> str:
    """Four digits of a place."""
    return str(1000 + int(hashlib.md5(place.encode()).hexdigest(), 16) % 9000)


def _stamp(place: str) -> str:
    second = int(number(place))
    return f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def json_of(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"))


def text_of(value: Any) -> str:
    """A text itself, anything else as JSON."""
    return value if isinstance(value, str) else json_of(value)
