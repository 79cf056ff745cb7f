"""WHEN: a request to forget. The base model is looked at, attempts follow one another until one passes every
gate, and the release is put together.

Each attempt is one pod that unlearns, samples and scores; it reads from the store whether it is still wanted,
since Kubeflow Pipelines has no loop that ends by a condition. The key that signs never comes here: `sign`
does that to the release's folder.
"""

from dataclasses import replace

from kfp import dsl

from pipelines import parts
from pipelines.pods import FOLDER, Fixed, Machine, Setting, heavy, light
from unpromptable import steps
from unpromptable.releasing.request import ATTEMPTS

WORDS = "Answer a request to forget images: attempts until every gate holds, then a certified model."


def build(fixed: Fixed = Fixed()):
    """The DAG, with the settings that only the compiler can take."""

    base = parts.looking(replace(fixed, retries=0))  # a verdict is not tried again

    @dsl.pipeline(name="hotfix", description=WORDS)
    def hotfix(
        experiment: str,
        digest: str = "",
        store: str = FOLDER,
        image: str = steps.IMAGE,
        cpu: str = "2",
        memory: str = "8Gi",
        gpus: str = "0",
        single_gpu: str = "0",
        gpu_type: str = "nvidia.com/gpu",
        node_selector: dict = {},
        tolerations: list = [],
        light_image: str = steps.IMAGE,
        volume: str = "unpromptable-store",
        config: str = "unpromptable",
        tracking_secret: str = "unpromptable-mlflow",
        store_secret: str = "unpromptable-object-store",
        hub_secret: str = "unpromptable-hub",
    ):
        """experiment: the request, as YAML text with absolute paths. digest: SHA-256 of the request's file.

        store: a folder on the volume or s3://bucket/prefix, where {name} stands for the request's.
        gpus: of an attempt. single_gpu: of the look at the base model.
        """
        machine = Machine(image, cpu, memory, gpus, single_gpu, gpu_type, node_selector, tolerations)
        setting = Setting(light_image, volume, config, tracking_secret, store_secret, hub_secret)
        _answer(fixed, base, machine, setting, {"experiment": experiment, "store": store}, digest)

    return hotfix


def _answer(fixed, base, machine, setting, asked, digest):
    """One after another; the report also after a failed one."""
    with dsl.ExitHandler(light(steps.report(part="", **asked), setting, fixed), name="request"):
        last = base(**asked, **machine._asdict(), **setting._asdict())
        for number in range(1, ATTEMPTS + 1):  # a request that allows fewer leaves pods idle, for seconds
            task = steps.attempt(number=number, **asked).after(last)
            last = heavy(task, machine, setting, fixed, f"attempt {number}")
        light(steps.release(digest=digest, **asked).after(last), setting, replace(fixed, retries=0))


hotfix = build()
