"""The sub-pipelines of every DAG: one cell of a sweep, and the base model's images.

They live apart so that each DAG's file shows one pipeline, which is what `kfp dsl compile --py` looks for.
"""
from kfp import dsl

from unpromptable import steps


def _shards(spec, store, data, model):
    """A model's images, shard by shard; the sub-pipeline around it keeps `spec` apart from the loop's item."""
    pieces = steps.split(spec=spec, model=model).set_caching_options(False).set_display_name("split")
    with dsl.ParallelFor(pieces.output) as shard:
        drawn = steps.sample(spec=spec, shard=shard, store=store, data=data, model=model).set_caching_options(False).set_display_name("sample")
    return dsl.Collected(drawn.outputs["images"])


@dsl.pipeline(name="before")
def before(spec: str, store: str, data: dsl.Input[dsl.Dataset], pretrained: dsl.Input[dsl.Model]) -> dsl.Dataset:
    shards = _shards(spec, store, data, pretrained)
    return steps.gather(spec=spec, store=store, shards=shards).set_caching_options(False).outputs["before"]


@dsl.pipeline(name="cell")
def cell(spec: str, store: str, data: dsl.Input[dsl.Dataset], pretrained: dsl.Input[dsl.Model], before: dsl.Input[dsl.Dataset]) -> str:
    edited = steps.edit(spec=spec, store=store, data=data, pretrained=pretrained).set_caching_options(False)
    trained = steps.unlearn(spec=spec, store=store, data=data, pretrained=pretrained, surrogates=edited.outputs["surrogates"]).set_caching_options(False)
    shards = _shards(spec, store, data, trained.outputs["unlearned"])
    scored = steps.score(spec=spec, store=store, data=data, before=before, shards=shards, surrogates=edited.outputs["surrogates"], unlearned=trained.outputs["unlearned"])
    return scored.set_caching_options(False).outputs["Output"]
