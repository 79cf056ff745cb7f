"""Every setting there is and every file that is read, changed alone: what is made anew, and what is not.

A table line for each; a setting that is added without one fails here. The identities alone: nothing is run.
"""

import os
import shutil
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from PIL import Image

from unpromptable.planning import inputs, plugins
from unpromptable.planning.experiment import BLOCKS, Cell, Experiment, made, read_cell, read_experiment
from unpromptable.planning.inputs import Read
from unpromptable.planning.plan import Plan, resolve
from unpromptable.planning.settings import Choice, Training
from unpromptable.reporting import rows
from unpromptable.tracking import runs

NOTHING = set()
MEASURED = {"metric", "row"}
SHOWN = {"sweep", "surrogates", "row"}  # the surrogates' verdicts
TRAINED = {"unlearned", "after", *MEASURED}
EDITED = {"surrogates", *TRAINED}
DRAWN = {"sweep", "before", "after", *MEASURED}
DATA = {"sweep", "data", *EDITED}
TARGETS = DATA | DRAWN  # all but the copy of the base model
COPIED = {"pretrained"}
ALL = COPIED | TARGETS

# setting -> another value, what it makes anew where the remember set is of real images, and where a prompted
# base model draws it (None: no such setting there)
SHARED = {
    "name": ("other", NOTHING, NOTHING),
    "world": ("paper", NOTHING, NOTHING),
    "real": ("elsewhere", TARGETS, TARGETS),
    "forget": (("0004-3",), NOTHING, NOTHING),  # cells name theirs
    "prompt": ("flag of Italy", None, ALL),
    "other_prompts": (("flag of France",), None, COPIED | DRAWN),
    "metrics": (None, {"row"}, {"row"}),  # one less
    "title": ("other", NOTHING, NOTHING),
    "description": ("other", NOTHING, NOTHING),
    "paper": (({"name": "Ours", "sscd": 0.1},), NOTHING, NOTHING),
    "model.name": ("sd3", None, None),  # of another family: see below
    "model.source": ("elsewhere", ALL, ALL),
    "model.revision": ("abc", ALL, ALL),
    "model.settings": (None, None, None),  # the family's: see below
    "sampling.sampler": ("ddpm", DRAWN, None),
    "sampling.steps": (7, DRAWN, TARGETS),
    "sampling.images": (99, DRAWN, DRAWN),
    "sampling.first_seed": (1, DRAWN, DRAWN),
    "sampling.batch": (16, DRAWN, TARGETS),
    "sampling.shards": (2, NOTHING, NOTHING),
    "sampling.precision": ("bf16", DRAWN, TARGETS),
    "sampling.when": ("forgets", NOTHING, NOTHING),  # whose images are drawn; they are the same
    "sampling.stop": ("dominated", NOTHING, NOTHING),
    "injection.t": (100, DRAWN, DRAWN),
    "injection.draws": (3, DRAWN, DRAWN),
    "injection.stride": (2, DRAWN, DRAWN),
    "injection.seed": (1, DRAWN, DRAWN),
    "injection.siss_compat": (True, DRAWN, DRAWN),
    "networks.name": ("paper", DATA, DATA),
    "networks.folder": ("elsewhere", NOTHING, NOTHING),  # what it holds counts
    "networks.sscd_sha256": ("a" * 64, DATA, DATA),  # of a file that may lie elsewhere
    "networks.sscd": ("onnx", DATA, DATA),
    "networks.features": ("alexnet", MEASURED, MEASURED),
    "remember.source": ("model", DATA, DATA),
    "remember.images": (9, NOTHING, DATA),
    "remember.first_seed": (2_000_000, NOTHING, DATA),
    "remember.leave_out": (("{group}-*",), DATA, DATA),
    "remember.prompts": (("flag of Spain",), None, COPIED | DATA),
    "remember.screen": (0.4, DATA, DATA),
    "pictures.background": ("black", TARGETS, TARGETS),
    "pictures.links": (True, DATA, DATA),
    "pictures.max_pixels": (1000, NOTHING, NOTHING),
    "quality.copy": (0.9, SHOWN, SHOWN),
    "quality.unrelated": (0.2, SHOWN, SHOWN),
    "quality.changed": (0.5, SHOWN, SHOWN),
    "quality.others": (32, SHOWN, SHOWN),
    "report.pictures": ("omit", NOTHING, NOTHING),
    "report.tracked": (True, NOTHING, NOTHING),
}
# the same of one cell's settings, which make nothing anew of another cell
OF_A_CELL = {
    "name": ("other", NOTHING),
    "group": ("other", NOTHING),
    "origin": ("as its code does", NOTHING),
    "method": (made("method", Choice("naive")), TRAINED),
    "editor": (made("editor", Choice("noise")), EDITED),
    "forget": (("0012-3", "0013-3"), EDITED),  # targets of other cells
    "unlearned": ("elsewhere", TRAINED),
    "training.steps": (3, TRAINED),
    "training.lr": (1e-4, TRAINED),
    "training.batch": (4, TRAINED),
    "training.seed": (1, EDITED),
    "training.betas": ((0.9, 0.99), TRAINED),
    "training.weight_decay": (0.1, TRAINED),
    "training.eps": (1e-6, TRAINED),
    "training.max_grad_norm": (0.0, TRAINED),
    "training.reduction": ("sum", TRAINED),
    "training.t_min": (1, TRAINED),
    "training.t_max": (900, TRAINED),
    "training.timesteps": ("shared", TRAINED),
    "training.micro_batch": (1, TRAINED),
    "training.precision": ("bf16", TRAINED),
    "training.cooldown": (0.5, TRAINED),
    "training.revisit": (0.5, TRAINED),
    "training.others": (0.5, TRAINED),
    "training.lookalikes": (0.25, TRAINED),
    "training.lookalikes_each": (7, NOTHING),  # without `lookalikes` nothing reads it
    "training.held": ("elsewhere", NOTHING),  # what it holds counts
    "training.save_every": (7, NOTHING),
    "training.until": (0.4, TRAINED),
    "training.until_every": (7, NOTHING),  # without `until` nothing reads them
    "training.until_stride": (7, NOTHING),
}
# settings of choices whose other value cannot be made up: words that mean something, bounds between two
WORDS = {
    "membership.secmi": 110,  # in whole steps of ahead
    "membership.ahead": 20,
    "surrogate.beta": 1e-4,
    "surrogate.constant_lambda": 0.5,
    "surrogate.projection": "both",
    "surrogate.remember": "base",
    "duo.prompt": "empty",
    "duo.timesteps": "shared",
    "duo.errors": "clean",
    "duo.prior": "cleanest",
    "erasediff.weight": "cosine",
    "erasediff.noise": "added",
    "erasediff.timesteps": "independent",
    "salun.loss": "ascent",
    "salun.share": 0.25,
    "neggrad.mode": "combined",
    "siss.mixture": 0.25,
    "membership.times": (100, 400),
    "retrained.times": (100, 400),
    "relearn.source": "unrelated",
    "retrack.weight": 0.01,
    "lookalike.below": 0.3,
    "sdedit.prompt": "a person",
    "sdedit.strength": 0.5,
    "paint.folder": "flags",
    "relearn.updates": 200,
    "identity.mean": (127.5, 127.5, 127.5),
    "identity.deviation": (127.5, 127.5, 127.5),
    "identity.channels": "bgr",
    "relearn.every": 10,
    "likelihood.tolerance": 1e-4,
    "sscd_worst.times": (100, 200),
    "wrong.alike": 0.4,
}
# what a family's settings make anew, where the remember set is drawn from the model
OF_A_FAMILY = {
    "sd3": {
        "rank": (16, TRAINED),
        "alpha": (2.0, TRAINED),
        "targets": (("to_k",), TRAINED),
        "adapter_seed": (1, TRAINED),
        "sigma_floor": (0.1, TRAINED),
        "loss": ("clean", TRAINED),
        "checkpointing": (False, TRAINED),
        "guidance": (5.0, COPIED | TARGETS),
        "negative": ("blurred", COPIED | TARGETS),
        "t5_tokens": (0, ALL),
        "pixels": (64, ALL),
    }
}


def planned(family):
    """An experiment with a cell for every method and for every editor."""
    prompted = {
        "model": {"name": "sd3", "rank": 4},
        "prompt": "flag of Japan",
        "other_prompts": ["flag of Italy"],
        "sampling": {"sampler": "euler", "images": 100, "batch": 32},
        "remember": {"source": "model", "prompts": ["flag of France"]},
    }
    plain = {"model": {"name": "ddpm"}, "sampling": {"images": 100, "batch": 32}}
    common = {"name": "t", "world": "miniature", "real": "here", "forget": ["0012-3"]}
    metrics = {"metrics": plugins.names("metric")}
    experiment = read_experiment({**common, **metrics, **(plain if family == "ddpm" else prompted)})
    pairs = [(m, "flip") for m in plugins.names("method")]
    pairs += [("surrogate", e) for e in plugins.names("editor")]
    training = {"batch": 2, "steps": 2}
    given = {"training": training, "forget": ["0013-3", "0012-3"]}
    named = lambda m, e: {"name": f"{m} {e}", "method": m, "editor": e}
    cells = [read_cell({**named(*pair), **given}) for pair in dict.fromkeys(pairs)]
    return experiment, tuple(cells)


def keys(experiment, cells, read=None):
    """The identity of every result: (place, what), cells by their number."""
    plan = Plan(experiment, cells, read or Read())
    run, said = plan.run(), {"samples": "before"}
    found = {("", "sweep"): plan.key}
    found |= {("", said.get(k, k)): key for k, key in run.shared.keys.items()}
    return found | {
        (i, {"samples": "after"}.get(k, k)): key for i, s in enumerate(run.cells) for k, key in s.keys.items()
    }


def anew(before, after):
    """What moved, as stage -> its cells; a metric that came or went is none that is made anew."""
    found = {}
    for place, what in before.keys() & after.keys():
        if before[place, what] != after[place, what]:
            found.setdefault(what, set()).add(place)
    return found


def moves(stages, cells, metrics=()):
    """What should have: these stages, those of cells in each of `cells`; metrics: all, or these alone."""
    shared = {"sweep", "pretrained", "data", "before"}
    names = [f"metric {m}" for m in metrics or plugins.names("metric")]
    judged = ["decision"] if not metrics or "sscd" in metrics else []
    wanted = [w for s in stages for w in ([*names, *judged] if s == "metric" else [s])]
    return {w: {""} if w in shared else set(cells) for w in wanted}


def settings(cls, blocks):
    """Every setting of a dataclass, those of its blocks by dotted names."""
    inner = {f"{b}.{f.name}" for b, c in blocks.items() for f in fields(c)}
    return inner | {f.name for f in fields(cls)} - set(blocks)


def with_value(thing, path, value):
    first, _, rest = path.partition(".")
    return replace(thing, **{first: with_value(getattr(thing, first), rest, value) if rest else value})


def test_every_setting_has_its_line_in_the_table():
    assert settings(Experiment, BLOCKS) == set(SHARED)
    assert settings(Cell, {"training": Training}) == set(OF_A_CELL)
    families = {n: plugins.find("model", n).settings for n in plugins.names("model")}
    assert {n: {f.name for f in fields(c)} for n, c in families.items() if c} == {
        n: set(lines) for n, lines in OF_A_FAMILY.items()
    }


@pytest.mark.parametrize("family", ["ddpm", "sd3"])
@pytest.mark.parametrize("setting", SHARED)
def test_a_setting_of_all_cells_makes_anew_what_depends_on_it(setting, family):
    value, *wanted = SHARED[setting]
    stages = wanted[family == "sd3"]
    if stages is None:
        return
    experiment, cells = planned(family)
    if setting == "metrics":
        value = experiment.metrics[:-1]
    if setting == "remember.source" and family == "sd3":
        value, experiment = "real", with_value(experiment, "remember.prompts", ())
    other = with_value(experiment, setting, value)
    assert other != experiment
    assert anew(keys(experiment, cells), keys(other, cells)) == moves(stages, range(len(cells)))


def test_a_model_of_another_family_makes_all_anew():
    (ddpm, cells), (sd3, _) = planned("ddpm"), planned("sd3")
    assert anew(keys(ddpm, cells), keys(sd3, cells)) == moves(ALL, range(len(cells)))


@pytest.mark.parametrize("setting", ["injection.t", "injection.draws", "injection.seed", "injection.stride"])
def test_a_training_that_the_injection_test_ends_is_made_anew_with_the_test(setting):
    experiment, cells = planned("ddpm")
    ends = tuple(with_value(c, "training.until", 0.4) for c in cells)
    other = with_value(experiment, setting, SHARED[setting][0])
    assert anew(keys(experiment, ends), keys(other, ends)) == moves(DRAWN | TRAINED, range(len(cells)))
    for own in ("training.until_every", "training.until_stride"):
        changed = tuple(with_value(c, own, 7) for c in ends)
        assert anew(keys(experiment, ends), keys(experiment, changed)) == moves(TRAINED, range(len(cells)))


def test_how_many_lookalikes_there_are_counts_where_a_training_goes_back_to_them():
    experiment, cells = planned("ddpm")
    near = tuple(with_value(c, "training.lookalikes", 0.25) for c in cells)
    fewer = tuple(with_value(c, "training.lookalikes_each", 7) for c in near)
    assert anew(keys(experiment, near), keys(experiment, fewer)) == moves(TRAINED, range(len(cells)))


@pytest.mark.parametrize("setting", OF_A_CELL)
def test_a_setting_of_a_cell_makes_its_own_results_anew_and_no_others(setting):
    experiment, cells = planned("ddpm")
    value, stages = OF_A_CELL[setting]
    number = next(i for i, c in enumerate(cells) if c.name == "surrogate flip")
    other = with_value(cells[number], setting, value)
    assert other != cells[number]
    changed = (*cells[:number], other, *cells[number + 1 :])
    wanted = moves(stages, {number})
    if setting in ("method", "editor"):  # it is now one line with the cell that is like it
        wanted["decision"] |= {
            i for i, s in enumerate(Plan(experiment, changed, Read()).run().cells) if s.mates
        }
    assert anew(keys(experiment, cells), keys(experiment, changed)) == wanted


def test_a_setting_that_no_run_of_mlflow_is_told_apart_by_is_no_parameter_of_it():
    """A parameter cannot change, and the run of a cell is found by what it trains."""
    experiment, cells = planned("ddpm")
    told = {"sweep", "unlearned"}
    free = {k for k, (_, moved, *_) in (SHARED | OF_A_CELL).items() if moved is not None and not moved & told}
    shown = rows.flat(experiment, Plan(experiment, cells, Read()).run().cells[0])
    assert free & shown.keys() == set(runs.FREE)


def another(kind, name, field):
    """A choice's settings with this one at another value."""
    made_of = plugins.make(kind, name)
    now = getattr(made_of, field)
    makes = {bool: lambda x: not x, int: lambda x: x + 1, float: lambda x: x * 2 + 1, str: lambda x: f"{x}x"}
    return {field: WORDS.get(f"{name}.{field}", None) or makes[type(now)](now)}


def of_choices(kind):
    return [(kind, n, f.name) for n in plugins.names(kind) for f in fields(plugins.find(kind, n))]


@pytest.mark.parametrize("kind, name, field", of_choices("method") + of_choices("editor"))
def test_a_setting_of_a_method_or_an_editor_makes_its_cells_anew(kind, name, field):
    experiment, cells = planned("ddpm")
    chosen = made(kind, Choice(name, another(kind, name, field)))
    mine = {i for i, c in enumerate(cells) if getattr(c, kind).name == name}
    changed = tuple(replace(c, **{kind: chosen}) if i in mine else c for i, c in enumerate(cells))
    stages = {"method": TRAINED, "editor": EDITED}[kind]
    assert anew(keys(experiment, cells), keys(experiment, changed)) == moves(stages, mine)


@pytest.mark.parametrize("kind, name, field", of_choices("metric"))
def test_a_setting_of_a_metric_makes_its_own_values_anew(kind, name, field):
    experiment, cells = planned("ddpm")
    chosen = made(kind, Choice(name, another(kind, name, field)))
    listed = tuple(chosen if m.name == name else m for m in experiment.metrics)
    found = anew(keys(experiment, cells), keys(replace(experiment, metrics=listed), cells))
    assert found == moves(MEASURED, range(len(cells)), [name])


@pytest.mark.parametrize("family, field", [(f, x) for f, lines in OF_A_FAMILY.items() for x in lines])
def test_a_setting_of_a_family_makes_anew_what_reads_it(family, field):
    experiment, cells = planned(family)
    value, stages = OF_A_FAMILY[family][field]
    given = {**experiment.model.settings, field: value}
    found = anew(keys(experiment, cells), keys(with_value(experiment, "model.settings", given), cells))
    assert found == moves(stages, range(len(cells)))


@pytest.mark.parametrize("kind", ["method", "editor", "metric"])
def test_a_default_written_out_makes_nothing_anew(kind):
    experiment, cells = planned("sd3")
    whole = lambda c: made(kind, Choice(c.name, {f.name: getattr(c.made, f.name) for f in fields(c.made)}))
    before = keys(experiment, cells)
    if kind == "metric":
        experiment = replace(experiment, metrics=tuple(map(whole, experiment.metrics)))
    else:
        cells = tuple(replace(c, **{kind: whole(getattr(c, kind))}) for c in cells)
    assert keys(experiment, cells) == before


def test_a_familys_default_written_out_makes_nothing_anew():
    experiment, cells = planned("sd3")
    said = experiment.family_settings()
    assert is_dataclass(said)
    whole = {f.name: getattr(said, f.name) for f in fields(said)}
    assert keys(with_value(experiment, "model.settings", whole), cells) == keys(experiment, cells)


def test_the_order_of_cells_and_a_batch_beyond_all_images_make_nothing_anew():
    experiment, cells = planned("sd3")
    small = with_value(experiment, "sampling.images", 16)
    turned = keys(small, tuple(reversed(cells)))
    found = {
        (len(cells) - 1 - place if isinstance(place, int) else place, what): key
        for (place, what), key in turned.items()
    }
    assert found == keys(small, cells) == keys(with_value(small, "sampling.batch", 500), cells)


FILES = {
    "real/me.png": (TARGETS, "all"),
    "real/a.png": (DATA, "all"),
    "elsewhere/you.png": (TARGETS, "all"),
    "base/unet/diffusion_pytorch_model.safetensors": (ALL, "all"),
    "networks/sscd.pth": (DATA, "all"),
    "painted/me.png": (EDITED, "Painted"),
    "painted/not asked for.png": (NOTHING, ""),
    "tedigan/generator.safetensors": (EDITED, "Tedigan"),
    "person/1.png": (MEASURED, "all"),
}
READS = """
name: t
world: miniature
real: {0}/real
model: {{source: {0}/base}}
networks: {{name: paper, folder: {0}/networks, sscd_sha256: "%s"}}
forget: [me.png, {0}/elsewhere/you.png]
metrics: [sscd, lpips, ssim, fid_pre, fid_real, {{name: relearn, folder: {0}/person}}]
cells:
- {{name: Painted, forget: [me.png], editor: {{name: paint, folder: {0}/painted}}}}
- {{name: Tedigan, editor: {{name: tedigan, folder: {0}/tedigan}}}}
- {{name: Flip, editor: flip}}
""" % ("a" * 64)


@pytest.fixture
def read_files(tmp_path):
    """Everything that an experiment can read, as small files."""
    for i, name in enumerate(FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            Image.fromarray(np.full((32, 32, 3), 20 * i, np.uint8)).save(tmp_path / name, "BMP")
        else:
            (tmp_path / name).write_bytes(bytes([i] * 64))
    shutil.copytree(inputs.SHIPPED / "ddpm", tmp_path / "base", dirs_exist_ok=True)
    return tmp_path


def planned_keys(folder):
    resolved = resolve(READS.format(folder))
    return keys(resolved.experiment, resolved.cells, resolved.read)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_read_makes_anew_what_depends_on_it(read_files, name):
    wanted, cells = FILES[name]
    before, path = planned_keys(read_files), read_files / name
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    mine = {"all": range(3), "Painted": {0}, "Tedigan": {1}, "": ()}[cells]
    metrics = (
        ("relearn",) if wanted == MEASURED else ("sscd", "lpips", "ssim", "fid_pre", "fid_real", "relearn")
    )
    assert anew(before, planned_keys(read_files)) == moves(wanted, mine, metrics)


@pytest.mark.parametrize("networks, used", [("miniature", True), ("flags", False)])
def test_other_weights_of_the_descriptor_that_ships_make_anew_what_it_judges(
    tmp_path, monkeypatch, networks, used
):
    shipped = tmp_path / "miniature"
    shutil.copytree(inputs.SHIPPED, shipped)
    monkeypatch.setattr(inputs, "SHIPPED", shipped)
    text = f"name: t\nforget: ['0012-3']\nnetworks: {networks}\ncells: [{{name: A, editor: flip}}]\n"

    def found():
        resolved = resolve(text)
        return keys(resolved.experiment, resolved.cells, resolved.read)

    before = found()
    content = bytearray((shipped / "descriptor.safetensors").read_bytes())
    content[-1] ^= 1
    (shipped / "descriptor.safetensors").write_bytes(content)
    wanted = moves(DATA, {0}, ("sscd", "lpips", "ssim", "fid_pre", "fid_real")) if used else {}
    assert anew(before, found()) == wanted
