"""Every component of the pipelines on one screen: text and artifacts in, artifacts out; the work is in `work`."""
from typing import List

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Markdown, Metrics, Model, Output

IMAGE = "unpromptable/cpu:0.1.0"
step = dsl.component(base_image=IMAGE, install_kfp_package=False)


@step
def plan(experiment: str, world: str, overrides: str, store: str) -> List[str]:
    """Resolve the experiment to cells, one JSON text each, and create the tracking runs."""
    from unpromptable import work
    return work.plan(experiment, world, overrides, store)


@step
def prepare(experiment: str, world: str, overrides: str, store: str, data: Output[Dataset], pretrained: Output[Model]) -> str:
    """Fetch the base model and gather real and forget images; the text says what is shared."""
    from unpromptable import work
    return work.prepare(experiment, world, overrides, store, data.path, pretrained.path)


@step
def edit(spec: str, store: str, data: Input[Dataset], pretrained: Input[Model], surrogates: Output[Dataset]):
    """Build the surrogate of every forget image (IV-C)."""
    from unpromptable import work
    work.edit(spec, store, data.path, pretrained.path, surrogates.path)


@step
def unlearn(spec: str, store: str, data: Input[Dataset], surrogates: Input[Dataset], pretrained: Input[Model], unlearned: Output[Model]):
    """Fine-tune the pretrained model until the targets are forgotten (Algorithm 1)."""
    from unpromptable import work
    work.unlearn(spec, store, data.path, surrogates.path, pretrained.path, unlearned.path)


@step
def split(spec: str, images_per_shard: int, model: Input[Model]) -> List[str]:
    """The shards of a model's images; takes the model so that it waits for it."""
    from unpromptable import work
    return work.split(spec, images_per_shard)


@step
def sample(spec: str, shard: str, store: str, data: Input[Dataset], model: Input[Model], images: Output[Dataset]):
    """Draw one shard of images, and denoise its share of the injected targets."""
    from unpromptable import work
    work.sample(spec, shard, store, data.path, model.path, images.path)


@step
def gather(spec: str, store: str, shards: Input[List[Dataset]], before: Output[Dataset]):
    """Put the shards of the pretrained model's images together."""
    from unpromptable import work
    work.gather(spec, store, [s.path for s in shards], before.path)


@step
def score(spec: str, store: str, data: Input[Dataset], before: Input[Dataset], shards: Input[List[Dataset]], surrogates: Input[Dataset],
          unlearned: Input[Model], metrics: Output[Metrics], summary: Output[Markdown], page: Output[HTML]) -> str:
    """Measure what was forgotten and what was kept; returns a word, as every cell's word is handed to `check` as one argument."""
    import json
    from unpromptable import rows, work
    row = json.loads(work.score(spec, store, data.path, before.path, [s.path for s in shards], surrogates.path, unlearned.path, summary.path, page.path))
    for name, value in rows.scalars(row).items():
        metrics.log_metric(name, value)
    return row["status"]


@step
def check(store: str, experiment: str, cells: List[str]):
    """End the run as failed when a cell did, after all of them had their turn."""
    from unpromptable import reporting
    reporting.check(store, experiment)


@step
def report(store: str, experiment: str, status: dsl.PipelineTaskFinalStatus, page: Output[HTML]):
    """Rows, tables and pictures; also after a failed cell."""
    from unpromptable import reporting
    reporting.report(store, experiment, status.state, page.path)
