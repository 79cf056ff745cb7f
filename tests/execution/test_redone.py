"""One change at a time to a finished run: what depends on it is made again on the disk, and nothing else.

`tests/planning/test_dependencies.py` holds the same of all identities, without running anything.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_run
from PIL import Image
from yaml import safe_dump, safe_load

from unpromptable.miniature import portraits
from unpromptable.planning import inputs

pytestmark = pytest.mark.slow
METRICS = {"sscd", "lpips", "ssim", "fid_pre", "fid_real"}
CELLS = {"painted", "naive"}
TRAINED = {"unlearned", "after", "metric", "row"}
EDITED = {"surrogates"} | TRAINED
DRAWN = {"before", "after", "metric", "row"}
DATA = {"data"} | EDITED
TARGETS = DATA | DRAWN
ALL = {"pretrained"} | TARGETS
SHOWN = {"surrogates", "row"}  # the surrogates' verdicts
NOTHING: set[str] = set()
TEXT = """
name: redone
real: {0}/real
model: {{source: {0}/base}}
networks: miniature
forget: [me.png]
sampling: {{images: 4, steps: 2, batch: 4, shards: 2}}
injection: {{t: 20, draws: 2, stride: 10}}
base: {{training: {{steps: 2, batch: 2, save_every: 1}}}}
cells:
- {{name: Painted, editor: {{name: paint, folder: {0}/painted}}}}
- {{name: Naive, method: naive, editor: flip}}
"""
# a setting of all cells -> another value and what it makes anew, of every cell
SHARED = {
    "title": ("Other", NOTHING),
    "description": ("Other", NOTHING),
    "sampling.sampler": ("ddpm", DRAWN),
    "sampling.steps": (3, DRAWN),
    "sampling.images": (5, DRAWN),
    "sampling.first_seed": (1, DRAWN),
    "sampling.batch": (2, DRAWN),
    "sampling.precision": ("bf16", DRAWN),
    "sampling.shards": (1, NOTHING),
    "sampling.when": ("forgets", NOTHING),
    "injection.t": (30, DRAWN),
    "injection.draws": (3, DRAWN),
    "injection.stride": (5, DRAWN),
    "injection.seed": (1, DRAWN),
    "remember.leave_out": (["other-1*"], DATA),
    "remember.screen": (0.4, DATA),
    "remember.images": (9, NOTHING),  # of a set that is drawn
    "remember.first_seed": (2_000_000, NOTHING),
    "pictures.background": ("black", TARGETS),
    "pictures.max_pixels": (100_000, NOTHING),
    "quality.copy": (0.9, SHOWN),
    "quality.unrelated": (0.2, SHOWN),
    "report.pictures": ("omit", NOTHING),
}
# a setting of the painted cell -> the same, of that cell alone
OF_ONE = {
    "method": ({"name": "surrogate", "beta": 2e-4}, TRAINED),
    "editor": ("noise", EDITED),
    "training.steps": (3, TRAINED),
    "training.lr": (2e-4, TRAINED),
    "training.batch": (1, TRAINED),
    "training.seed": (1, EDITED),
    "training.cooldown": (0.25, TRAINED),
    "training.save_every": (2, NOTHING),
    "training.until": (0.4, TRAINED),
    "training.until_every": (7, NOTHING),  # without `until` nothing reads it
}
# a file that is read -> the same, and whose
FILES = {
    "real/me.png": (TARGETS, CELLS),
    "real/other-1.png": (DATA, CELLS),
    "base/unet/diffusion_pytorch_model.safetensors": (ALL, CELLS),
    "painted/me.png": (EDITED, {"painted"}),
    "painted/not asked for.png": (NOTHING, set()),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, its text, and the folder of what it reads."""
    home = tmp_path_factory.mktemp("redone")
    (home / "real").mkdir()
    (home / "painted").mkdir()
    images, _ = portraits.training_set()
    for number, name in enumerate(("me", *(f"other-{i}" for i in range(12)))):
        Image.fromarray(images[6 * number]).save(home / "real" / f"{name}.png")
    images[0][16:] = 128
    for name in ("me", "not asked for"):
        Image.fromarray(images[0]).save(home / "painted" / f"{name}.png")
    shutil.copytree(inputs.SHIPPED / "ddpm", home / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
        text = TEXT.format(home)
        small_run.run(home / "run", text)
        yield home / "run", text, home


def stage(mark: Path) -> tuple[str, str] | None:
    """What a mark of the store is of, and whose: the stage and the cell; None where it is of no stage."""
    name, folder = mark.name[1:].partition(".")[0], mark.parent
    cell = lambda path: path.name.rsplit("-", 1)[0]
    if folder.name == "metrics":
        return f"metric {name}", cell(folder.parent)
    if folder.name == "shared":
        known = name.startswith("surrogates-") or name in ("pretrained", "data", "before")
        return (name.partition("-")[0], "") if known else None
    return (name, cell(folder)) if name in ("unlearned", "after", "row") else None


def marks(store):
    """Every mark, and when it was set."""
    return {p.relative_to(store): p.stat().st_mtime_ns for p in store.rglob(".*.done")}


def anew(finished, tmp_path, text):
    """What the changed run made again: stage -> its cells."""
    store = tmp_path / "run"
    shutil.copytree(finished[0], store, copy_function=shutil.copy2)
    before = marks(store)
    small_run.run(store, text)
    found: dict[str, set[str]] = {}
    for path, time in marks(store).items():
        if before.get(path) != time and (of := stage(path)):
            found.setdefault(of[0], set()).add(of[1])
    return found


def wanted(what, cells):
    """The same, as it should be."""
    named = {w for s in what for w in ([f"metric {m}" for m in METRICS] if s == "metric" else [s])}
    shared = {"pretrained", "data", "before", "surrogates"}
    return {w: {""} if w in shared else set(cells) for w in named}


def changed(text, path, value, cell=None):
    """The experiment with another value at a dotted path, of all or of one cell."""
    experiment = safe_load(text)
    block = experiment if cell is None else experiment["cells"][cell]
    *blocks, last = path.split(".")
    for one in blocks:
        block = block.setdefault(one, {})
    block[last] = value
    return safe_dump(experiment)


def test_the_same_again_makes_nothing_again(finished, tmp_path):
    assert anew(finished, tmp_path, finished[1]) == {}


@pytest.mark.parametrize("setting", SHARED)
def test_a_setting_of_all_cells_redoes_what_depends_on_it(finished, tmp_path, setting):
    value, what = SHARED[setting]
    assert anew(finished, tmp_path, changed(finished[1], setting, value)) == wanted(what, CELLS)


@pytest.mark.parametrize("setting", OF_ONE)
def test_a_setting_of_one_cell_redoes_its_own_results_and_no_others(finished, tmp_path, setting):
    value, what = OF_ONE[setting]
    assert anew(finished, tmp_path, changed(finished[1], setting, value, 0)) == wanted(what, {"painted"})


def test_one_metric_more_measures_it_alone(finished, tmp_path):
    more = changed(finished[1], "metrics", [*sorted(METRICS), "kid"])
    found = anew(finished, tmp_path, more)
    assert found == {"metric kid": CELLS, "row": CELLS}


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_place_redoes_what_was_made_of_it(finished, tmp_path, name):
    what, cells = FILES[name]
    path = finished[2] / name
    content, stat = path.read_bytes(), path.stat()
    try:
        if path.suffix == ".png":
            picture = np.array(Image.open(path))
            picture[24:30, 20:28] ^= 96
            Image.fromarray(picture).save(path)
        else:  # the last bit of a weight
            path.write_bytes(content[:-4] + bytes([content[-4] ^ 1]) + content[-3:])
        assert anew(finished, tmp_path, finished[1]) == wanted(what, cells)
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
