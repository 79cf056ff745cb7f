"""WHEN: the ablation sweep. One cell is unlearn -> sample -> score; the base model is sampled once for all.

Nothing but ids goes from step to step: what a step makes lies in the store. A cell's steps stand in the loop
itself and its sampling pods are as many as were compiled, since a level or a loop costs the engine more than
a step.
"""

from dataclasses import replace

from kfp import dsl

from pipelines import parts
from pipelines.pods import FOLDER, Fixed, Machine, Setting, heavy, light
from unpromptable import steps

WORDS = "Forget images that no prompt can name, every way the experiment asks, and compare."


def build(fixed: Fixed = Fixed()):
    """The DAG, with the settings that only the compiler can take."""

    before = parts.build(fixed)

    @dsl.pipeline(name="ablation-sweep", description=WORDS)
    def ablation_sweep(
        experiment: str = "demo",
        world: str = "",
        overrides: str = "{}",
        store: str = FOLDER,
        images_per_shard: int = 0,
        part: str = "",
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
        """experiment: a name that ships or YAML text. world: miniature | paper. overrides: JSON, dotted keys.

        store: a folder on the volume or s3://bucket/prefix, where {name} stands for the experiment's.
        images_per_shard: images in one file, which a lost pod draws again; 0 leaves it to the experiment.
        gpus: of unlearn and sample. single_gpu: of the others. part: of several runs, which `submit` makes.
        """
        machine = Machine(image, cpu, memory, gpus, single_gpu, gpu_type, node_selector, tolerations)
        setting = Setting(light_image, volume, config, tracking_secret, store_secret, hub_secret)
        asked = {"experiment": experiment, "world": world, "overrides": overrides}
        _sweep(fixed, before, machine, setting, store, images_per_shard, part, asked)

    return ablation_sweep


def _sweep(fixed, before, machine, setting, store, images_per_shard, part, asked):
    """Plan, what all cells share, then the cells; the report also after a failed one."""
    verdict = replace(fixed, retries=0)  # a verdict is not tried again
    last = steps.report(store=store, experiment=asked["experiment"], part=part)
    with dsl.ExitHandler(light(last, setting, fixed), name="sweep"):
        planned = steps.plan(store=store, images_per_shard=images_per_shard, part=part, **asked)
        cells = light(planned, setting, fixed)
        drawing = steps.prepare(experiment=asked["experiment"], store=store).after(cells)
        ready = heavy(drawing, machine, setting, verdict)  # a prompted model draws its remember set
        run = {"store": store, **machine._asdict(), **setting._asdict()}
        images = before(shared=ready.output, **run)
        with dsl.ParallelFor(cells.output, parallelism=fixed.parallelism) as cell:
            one = {"cell": cell, "store": store}
            # score's number too, which KFP 2.17 hands into a loop only as an ordinary input of some step
            asked_for = f"{machine.words()}; {machine.single_gpu} in score"
            trained = steps.unlearn(machine=asked_for, **one).after(images)
            heavy(trained, machine, setting, fixed)
            share = {"machine": machine.words(), "pods": fixed.pods}
            pods = [steps.sample(pod=number, **share, **one) for number in range(fixed.pods)]
            drawn = [heavy(pod.after(trained), machine, setting, fixed) for pod in pods]
            heavy(steps.score(**one).after(*drawn), machine, setting, verdict)


ablation_sweep = build()
