"""What a submission is going to ask of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unpromptable.planning.memory import Peak


@dataclass(frozen=True)
class Request:
    """Pods, namespaces and names; those of objects are named as the pipeline's parameters."""

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
    peaks: tuple[Peak, ...] = ()  # what each step of the plan holds at most
    needs_hub: bool = False  # the experiment's base model is fetched from a hub
    probe_minutes: float = 10.0  # how long an image may take to arrive; 0 starts no pod
