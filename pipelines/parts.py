"""What is done once with the base model: the sub-pipeline of each DAG.

They live apart so that each DAG's file shows one pipeline, which is what `kfp dsl compile --py` looks for.
Each takes all that a pod is given: KFP 2.17 hands that to the other steps of a DAG only where some task of it
has it as an ordinary input.
"""

from typing import Any

from kfp import dsl

from pipelines.pods import Fixed, Machine, Setting, heavy
from unpromptable import steps


def build(fixed: Fixed) -> Any:
    """The sub-pipeline, with the settings that only the compiler can take."""

    @dsl.pipeline(name="before")
    def before(
        shared: str,
        store: str,
        image: str,
        cpu: str,
        memory: str,
        gpus: str,
        single_gpu: str,
        gpu_type: str,
        node_selector: dict,
        tolerations: list,
        light_image: str,
        volume: str,
        config: str,
        tracking_secret: str,
        store_secret: str,
        hub_secret: str,
    ):
        machine = Machine(image, cpu, memory, gpus, single_gpu, gpu_type, node_selector, tolerations)
        setting = Setting(light_image, volume, config, tracking_secret, store_secret, hub_secret)
        with dsl.ParallelFor(list(range(fixed.pods))) as pod:
            heavy(
                steps.sample(cell=shared, store=store, machine=machine.words(), pod=pod, pods=fixed.pods),
                machine,
                setting,
                fixed,
            )

    return before


def looking(fixed: Fixed) -> Any:
    """The same of a request: its base model is judged before anything is trained."""

    @dsl.pipeline(name="base")
    def base(
        experiment: str,
        store: str,
        image: str,
        cpu: str,
        memory: str,
        gpus: str,
        single_gpu: str,
        gpu_type: str,
        node_selector: dict,
        tolerations: list,
        light_image: str,
        volume: str,
        config: str,
        tracking_secret: str,
        store_secret: str,
        hub_secret: str,
    ):
        machine = Machine(image, cpu, memory, gpus, single_gpu, gpu_type, node_selector, tolerations)
        setting = Setting(light_image, volume, config, tracking_secret, store_secret, hub_secret)
        heavy(
            steps.look(experiment=experiment, store=store, machine=machine.words()), machine, setting, fixed
        )

    return base
