"""The sub-pipelines of every DAG: one cell of a sweep, and the base model's images.

They live apart so that each DAG's file shows one pipeline, which is what `kfp dsl compile --py` looks for. Resources
that are parameters must not be set on a task inside a loop (the loop would not hand them on), hence `shard`.
"""
from typing import NamedTuple

from kfp import dsl

from pipelines.pods import Fixed, Machine, Setting, heavy, light
from unpromptable import steps


class Parts(NamedTuple):
    before: object
    cell: object


def build(fixed: Fixed) -> Parts:
    """The two sub-pipelines, with the settings that only the compiler can take."""

    @dsl.pipeline(name="shard")
    def shard(spec: str, piece: str, store: str, data: dsl.Input[dsl.Dataset], model: dsl.Input[dsl.Model], image: str, cpu: str, memory: str, gpus: str, gpu_type: str,
              node_selector: dict, tolerations: list, light_image: str, volume: str, config: str, tracking_secret: str, store_secret: str, hub_secret: str) -> dsl.Dataset:
        machine, setting = Machine(image, cpu, memory, gpus, gpu_type, node_selector, tolerations), Setting(light_image, volume, config, tracking_secret, store_secret, hub_secret)
        return heavy(steps.sample(spec=spec, shard=piece, store=store, data=data, model=model), machine, setting, fixed, "sample").outputs["images"]

    def drawn(spec, store, images_per_shard, data, model, machine, setting):
        pieces = light(steps.split(spec=spec, images_per_shard=images_per_shard, model=model), setting, fixed, "split")
        with dsl.ParallelFor(pieces.output) as piece:
            one = shard(spec=spec, piece=piece, store=store, data=data, model=model, **machine._asdict(), **setting._asdict())
        return dsl.Collected(one.output)

    @dsl.pipeline(name="before")
    def before(spec: str, store: str, images_per_shard: int, data: dsl.Input[dsl.Dataset], pretrained: dsl.Input[dsl.Model], image: str, cpu: str, memory: str, gpus: str, gpu_type: str,
               node_selector: dict, tolerations: list, light_image: str, volume: str, config: str, tracking_secret: str, store_secret: str, hub_secret: str) -> dsl.Dataset:
        machine, setting = Machine(image, cpu, memory, gpus, gpu_type, node_selector, tolerations), Setting(light_image, volume, config, tracking_secret, store_secret, hub_secret)
        shards = drawn(spec, store, images_per_shard, data, pretrained, machine, setting)
        return light(steps.gather(spec=spec, store=store, shards=shards), setting, fixed).outputs["before"]

    @dsl.pipeline(name="cell")
    def cell(spec: str, store: str, images_per_shard: int, data: dsl.Input[dsl.Dataset], pretrained: dsl.Input[dsl.Model], before: dsl.Input[dsl.Dataset], image: str, cpu: str, memory: str,
             gpus: str, gpu_type: str, node_selector: dict, tolerations: list, light_image: str, volume: str, config: str, tracking_secret: str, store_secret: str, hub_secret: str) -> str:
        machine, setting = Machine(image, cpu, memory, gpus, gpu_type, node_selector, tolerations), Setting(light_image, volume, config, tracking_secret, store_secret, hub_secret)
        edited = heavy(steps.edit(spec=spec, store=store, data=data, pretrained=pretrained), machine, setting, fixed)
        trained = heavy(steps.unlearn(spec=spec, store=store, data=data, pretrained=pretrained, surrogates=edited.outputs["surrogates"]), machine, setting, fixed)
        shards = drawn(spec, store, images_per_shard, data, trained.outputs["unlearned"], machine, setting)
        scored = steps.score(spec=spec, store=store, data=data, before=before, shards=shards, surrogates=edited.outputs["surrogates"], unlearned=trained.outputs["unlearned"])
        return heavy(scored, machine, setting, fixed).outputs["Output"]

    return Parts(before, cell)
