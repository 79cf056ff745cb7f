"""Every component of the pipelines on one screen: ids in, data in the store, the work in `execution`."""

from typing import List

from kfp import dsl
from kfp.dsl import HTML, Markdown, Metrics, Model, Output

IMAGE = "unpromptable/cpu:0.1.0"
step = dsl.component(base_image=IMAGE, install_kfp_package=False)


@step
def plan(
    experiment: str, world: str, overrides: str, store: str, images_per_shard: int, part: str
) -> List[str]:
    """Resolve the experiment to cells, whose ids this returns, and create the tracking runs."""
    import json

    from unpromptable.execution import plan_step

    given = json.loads(overrides)
    return plan_step.plan(experiment, world, given, store, images_per_shard, part, finished=False)


@step
def prepare(experiment: str, store: str) -> str:
    """Fetch the base model and gather real and forget images; the id of what all cells share."""
    from unpromptable.execution import prepare_step, report_step

    shared = prepare_step.prepare(experiment, store)
    report_step.stop(store, experiment)
    return shared


@step
def unlearn(cell: str, store: str, machine: str, unlearned: Output[Model]):
    """Build the surrogates (IV-C), then fine-tune until the targets are forgotten (Algorithm 1).

    machine: what the pod asked for. KFP 2.17 hands resources into a loop only as ordinary inputs.
    """
    import logging

    from unpromptable.execution import unlearn_step

    logging.info("on %s", machine)
    unlearn_step.unlearn(cell, store, unlearned.path)


@step
def sample(cell: str, store: str, machine: str, pod: int, pods: int):
    """Draw one pod's shards of a model's images, and denoise its share of the injected targets."""
    import logging

    from unpromptable.execution import sample_step

    logging.info("on %s", machine)
    sample_step.sample(cell, store, pod, pods)


@step
def score(cell: str, store: str, metrics: Output[Metrics], summary: Output[Markdown], page: Output[HTML]):
    """Measure what was forgotten and what was kept; fails where the cell did."""
    from unpromptable.execution import report_step, score_step

    for name, value in score_step.score(cell, store, summary.path, page.path).items():
        metrics.log_metric(name, value)
    report_step.stop_cell(cell, store)


@step
def look(experiment: str, store: str, machine: str):
    """Prepare the run of a request to forget, and judge what its base model makes of the targets."""
    import logging

    from unpromptable.execution import answering

    logging.info("on %s", machine)
    answering.look(experiment, store)


@step
def attempt(experiment: str, store: str, number: int):
    """Train, sample and score a request's next attempt, where none passes every gate yet."""
    import logging

    from unpromptable.execution import answering

    logging.info("attempt %d at most", number)
    answering.attempt(experiment, store)


@step
def release(experiment: str, store: str, digest: str, summary: Output[Markdown], page: Output[HTML]):
    """Put together the released model, or the refusal, with its certificate."""
    from unpromptable.execution import answering

    answering.conclude(experiment, store, digest, summary.path, page.path)


@step
def report(store: str, experiment: str, part: str, status: dsl.PipelineTaskFinalStatus, page: Output[HTML]):
    """Rows, tables and pictures; also after a failed cell."""
    from unpromptable.execution import report_step

    report_step.report(store, experiment, status.state, page.path, part)
