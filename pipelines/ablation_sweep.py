"""WHEN: the ablation sweep. One cell is edit -> unlearn -> sample -> score; the base model is sampled once for all."""
from kfp import dsl

from pipelines import parts
from unpromptable import steps

STORE = "/store"  # where a cluster mounts the volume that keeps what is finished; a local run passes its own folder


@dsl.pipeline(name="ablation-sweep", description="Forget images that no prompt can name, every way the experiment asks, and compare.")
def ablation_sweep(experiment: str = "demo", world: str = "", overrides: str = "{}", store: str = STORE):
    """experiment: a name that ships or YAML text. world: miniature | paper. overrides: JSON of dotted keys."""
    last = steps.report(store=store).set_caching_options(False)
    with dsl.ExitHandler(last, name="sweep"):
        cells = steps.plan(experiment=experiment, world=world, overrides=overrides, store=store, run=dsl.PIPELINE_JOB_ID_PLACEHOLDER).set_caching_options(False)
        ready = steps.prepare(experiment=experiment, world=world, overrides=overrides, store=store).set_caching_options(False).after(cells)
        before = parts.before(spec=ready.outputs["Output"], store=store, data=ready.outputs["data"], pretrained=ready.outputs["pretrained"])
        with dsl.ParallelFor(cells.output, parallelism=8) as spec:
            row = parts.cell(spec=spec, store=store, data=ready.outputs["data"], pretrained=ready.outputs["pretrained"], before=before.output)
        steps.check(store=store, cells=dsl.Collected(row.output)).set_caching_options(False)
