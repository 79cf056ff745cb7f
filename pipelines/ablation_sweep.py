"""WHEN: the ablation sweep. One cell is edit -> unlearn -> sample -> score; the base model is sampled once for all."""
from dataclasses import replace

from kfp import dsl

from pipelines import parts
from pipelines.pods import FOLDER, Fixed, Machine, Setting, heavy, light
from unpromptable import steps


def build(fixed: Fixed = Fixed()):
    """The DAG, with the settings that only the compiler can take."""
    before, cell = parts.build(fixed)

    @dsl.pipeline(name="ablation-sweep", description="Forget images that no prompt can name, every way the experiment asks, and compare.")
    def ablation_sweep(
        experiment: str = "demo", world: str = "", overrides: str = "{}", store: str = FOLDER, images_per_shard: int = 0, image: str = steps.IMAGE, cpu: str = "2", memory: str = "8Gi",
        gpus: str = "0", gpu_type: str = "nvidia.com/gpu", node_selector: dict = {}, tolerations: list = [], light_image: str = steps.IMAGE, volume: str = "unpromptable-store", config: str = "unpromptable",
        tracking_secret: str = "unpromptable-mlflow", store_secret: str = "unpromptable-object-store", hub_secret: str = "unpromptable-hub",
    ):
        """experiment: a name that ships or YAML text. world: miniature | paper. overrides: JSON of dotted keys.

        store: a folder on the volume or s3://bucket/prefix, where {name} stands for the experiment's. images_per_shard: images that one pod draws; 0 leaves it to the experiment.
        """
        machine, setting = Machine(image, cpu, memory, gpus, gpu_type, node_selector, tolerations), Setting(light_image, volume, config, tracking_secret, store_secret, hub_secret)
        run = {"store": store, "images_per_shard": images_per_shard, **machine._asdict(), **setting._asdict()}
        verdict = replace(fixed, retries=0)  # the failure of `check` is one
        last = light(steps.report(store=store, experiment=experiment), setting, fixed)
        with dsl.ExitHandler(last, name="sweep"):
            cells = light(steps.plan(experiment=experiment, world=world, overrides=overrides, store=store), setting, fixed)
            ready = heavy(steps.prepare(experiment=experiment, world=world, overrides=overrides, store=store).after(cells), machine, setting, fixed)  # a prompted model draws its remember set
            shared = {"data": ready.outputs["data"], "pretrained": ready.outputs["pretrained"]}
            with dsl.If(ready.outputs["Output"] != "", name="ready"):
                images = before(spec=ready.outputs["Output"], **shared, **run)
                with dsl.ParallelFor(cells.output, parallelism=fixed.parallelism) as spec:
                    done = cell(spec=spec, before=images.output, **shared, **run)
                light(steps.check(store=store, experiment=experiment, cells=dsl.Collected(done.output)), setting, verdict)
            with dsl.Else(name="refused"):  # bad input: nothing is started, and nothing tried again
                light(steps.check(store=store, experiment=experiment, cells=[]), setting, verdict)

    return ablation_sweep


ablation_sweep = build()
