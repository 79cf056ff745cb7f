"""What a task's pod gets: image, resources, volume, secrets, retries. Local runs ignore all of it.

Machine and Setting are pipeline parameters, which KFP resolves at run time; Fixed is what KFP 2.17 can only
take when the pipeline is compiled (`python -m pipelines compile --help`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from kfp import kubernetes

from unpromptable.storage import attempts

STORE = "/store"  # where the volume is mounted
FOLDER = f"{STORE}/{{name}}"  # one folder per experiment
USER = 65532  # whom the steps run as, user and group: the images' own, and what the volume is given to
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"  # by which Kueue takes a pod into a queue
QUEUE = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"  # names of Kubernetes that are labels too
ONE_DEVICE = ("prepare", "score", "look")  # steps that run networks on one GPU, however many a pod could have
STARTING = ("plan",)  # it takes seconds: a pod of its that lasts has not started
SECRETS = {  # step -> the Secrets that it reads: every step opens the store, three track, one fetches a model
    "plan": ("tracking_secret", "store_secret"),
    "prepare": ("store_secret", "hub_secret"),
    "unlearn": ("tracking_secret", "store_secret"),
    "sample": ("store_secret",),
    "score": ("store_secret",),
    "look": ("tracking_secret", "store_secret", "hub_secret"),
    "attempt": ("tracking_secret", "store_secret"),
    "release": ("store_secret",),
    "report": ("tracking_secret", "store_secret"),
}


@dataclass(frozen=True)
class Fixed:
    """Settings of the compile command."""

    retries: int = 2  # after a pod failed; a step resumes from what is in the store
    timeout_hours: float = 24.0  # of one pod
    shared_memory: str = "1Gi"  # /dev/shm of the steps that may use a GPU
    volume: bool = True  # mount the volume; without it `store` must be an object store's address
    parallelism: int = 8  # cells at a time
    pods: int = 2  # that share the images of one model
    light_cpu: str = "1"
    light_memory: str = "4Gi"
    start_minutes: float = 30.0  # of a pod in STARTING, the arrival of its image included
    report_hours: float = 2.0  # of the report, which also runs where no pod can start
    within: int = attempts.TIMES  # times that a step runs again in its pod where the machine failed it
    queue: str = ""  # of Kueue, a LocalQueue of the namespace, in which every step's pod waits for its quota

    def __post_init__(self):
        if (
            self.retries < 0
            or min(self.timeout_hours, self.start_minutes) <= 0
            or min(self.parallelism, self.pods) < 1
        ):
            found = f"timeout_hours {self.timeout_hours}, start_minutes {self.start_minutes}"
            found = f"retries is {self.retries}, {found}, parallelism {self.parallelism}"
            raise ValueError(f"compile: {found}; give 0 or more, above 0, above 0, and 1 or more")
        check_queue(self.queue or "none")
        if not re.fullmatch(r"(?=.*[1-9])\d+(\.\d+)?([KMGTPE]i|[kMGTPE])?", self.shared_memory):
            raise ValueError(
                f"--shared-memory {self.shared_memory}: give bytes as Kubernetes does, such as 1Gi"
            )

    def seconds(self, component: str) -> int:
        """How long a pod of this component may exist, from the moment a node takes it."""
        hours = {**dict.fromkeys(STARTING, self.start_minutes / 60), "report": self.report_hours}
        return round(min(hours.get(component, self.timeout_hours), self.timeout_hours) * 3600)


def check_queue(name: str) -> None:
    """Raise ValueError where Kubernetes could not have a queue of this name, or a label that names it."""
    if not re.fullmatch(QUEUE, name):
        raise ValueError(f"--queue {name}: give a LocalQueue's name, of a-z, 0-9 and -, at most 63 letters")


class Machine(NamedTuple):
    """Where the steps run that may use a GPU: prepare, unlearn, sample, score."""

    image: Any
    cpu: Any
    memory: Any
    gpus: Any  # of the steps that share their work among several: unlearn, sample
    single_gpu: Any  # of the others, which use one: 0 or 1
    gpu_type: Any
    node_selector: Any
    tolerations: Any

    def words(self) -> str:
        """What a pod asks for, as a step's input: it also declares these parameters to the loop around the
        step.
        """
        return f"{self.cpu} CPU, {self.memory}, {self.gpus} {self.gpu_type}"


class Setting(NamedTuple):
    """What every step has: volume, ConfigMap and Secrets by name (all but the volume may be absent), and the
    image of those without a GPU.
    """

    light_image: Any
    volume: Any
    config: Any
    tracking_secret: Any
    store_secret: Any
    hub_secret: Any


# Secret or ConfigMap key -> environment variable; see tracking.server for those of tracking
ENVIRONMENT = {
    "config": {
        "MLFLOW_TRACKING_URI": "UNPROMPTABLE_TRACKING_URI",
        "MLFLOW_TRACKING_CA": "UNPROMPTABLE_TRACKING_CA",
        "AWS_ENDPOINT_URL": "AWS_ENDPOINT_URL",
        "AWS_DEFAULT_REGION": "AWS_DEFAULT_REGION",  # as the steps' own client reads it
        "AWS_REGION": "AWS_REGION",  # and as KFP's launcher does, which runs beside them
    },
    "tracking_secret": {
        "username": "UNPROMPTABLE_TRACKING_USERNAME",
        "password": "UNPROMPTABLE_TRACKING_PASSWORD",
    },
    "store_secret": {"access-key": "AWS_ACCESS_KEY_ID", "secret-key": "AWS_SECRET_ACCESS_KEY"},
    "hub_secret": {"token": "HF_TOKEN"},
}


def light(task: Any, setting: Setting, fixed: Fixed, name: str = "") -> Any:
    """A step that needs no GPU."""
    task.set_container_image(setting.light_image)
    task.set_cpu_request(fixed.light_cpu).set_memory_request(fixed.light_memory).set_memory_limit(
        fixed.light_memory
    )
    return _common(task, setting, fixed, name)


def heavy(task: Any, machine: Machine, setting: Setting, fixed: Fixed, name: str = "") -> Any:
    """A step that runs networks: a GPU where the submission asks for one, plain CPU nodes otherwise."""
    task.set_container_image(machine.image)
    task.set_cpu_request(machine.cpu).set_memory_request(machine.memory).set_memory_limit(machine.memory)
    gpus = machine.single_gpu if task.component_spec.name in ONE_DEVICE else machine.gpus
    task.set_accelerator_type(machine.gpu_type).set_accelerator_limit(gpus)
    kubernetes.add_node_selector_json(task, machine.node_selector)
    kubernetes.add_toleration_json(task, machine.tolerations)
    kubernetes.empty_dir_mount(
        task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=fixed.shared_memory
    )
    return _common(task, setting, fixed, name)


def _common(task: Any, setting: Setting, fixed: Fixed, name: str) -> Any:
    # the store skips what is finished; KFP's cache would skip the logging with it
    task.set_caching_options(False)
    if fixed.within != attempts.TIMES:
        task.set_env_variable(attempts.VARIABLE, str(fixed.within))
    if fixed.retries:
        task.set_retry(
            num_retries=fixed.retries, backoff_duration="30s", backoff_factor=2, backoff_max_duration="600s"
        )
    # all that a step writes outside the store, so the root file system may be read-only
    kubernetes.empty_dir_mount(task, volume_name="tmp", mount_path="/tmp")
    kubernetes.set_timeout(task, fixed.seconds(task.component_spec.name))
    # the group too, which a kubelet does not take from an image's USER; the rest of `restricted` is KFP's
    # default
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.use_config_map_as_env(task, setting.config, ENVIRONMENT["config"], optional=True)
    for secret in SECRETS[task.component_spec.name]:
        kubernetes.use_secret_as_env(task, getattr(setting, secret), ENVIRONMENT[secret], optional=True)
    if fixed.queue:
        kubernetes.add_pod_label(task, QUEUE_LABEL, fixed.queue)
    if fixed.volume:
        kubernetes.mount_pvc(task, pvc_name=setting.volume, mount_path=STORE)
    return task.set_display_name(name) if name else task
