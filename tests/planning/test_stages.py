"""Each result is named by what it depends on: what changed redoes that, and nothing else."""

import importlib
import sys
from inspect import isfunction
from pathlib import Path

import pytest

from unpromptable.planning import code, plan
from unpromptable.planning.experiment import BLOCKS
from unpromptable.planning.settings import Training

TEXT = """
name: t
forget: ['0012-3']
cells:
- {name: A, editor: flip}
- {name: B, method: naive, editor: {name: sdedit, strength: 0.3}}
"""


def keys(**sets):
    """Every key of the run, by place and stage."""
    run = plan.resolve(TEXT, "", sets).run()
    return {f"{s.name} {k}": v for s in (run.shared, *run.cells) for k, v in s.keys.items()}


def changed(before, after):
    return {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}


def of(*stages, cells="AB"):
    return {f"{c} {s}" for c in cells for s in stages}


METRICS = tuple(f"metric {m}" for m in ("sscd", "lpips", "ssim", "fid_pre", "fid_real"))
ALL = ("samples", "row", *METRICS, "decision")


def test_a_training_that_ends_by_the_injection_test_depends_on_the_test():
    early = {"training.until": 0.4}
    redone = {"before samples", *of("unlearned", *ALL)}
    assert changed(keys(**early), keys(**early, **{"injection.stride": 10})) == redone


@pytest.fixture
def edited(monkeypatch, tmp_path):
    """Give a module of the package another text, as an editor would."""
    files = {}

    def edit(module, change):
        found = code._path(f"unpromptable.{module}")
        files[f"unpromptable.{module}"] = tmp_path / f"{module}.py"
        files[f"unpromptable.{module}"].write_text(change(found.read_text()))
        for kept in (code.code, code._parsed, code._imported, code.whole):
            kept.cache_clear()

    usual = code._path
    monkeypatch.setattr(code, "_path", lambda module: files.get(module) or usual(module))
    yield edit
    for kept in (code.code, code._parsed, code._imported, code.whole):
        kept.cache_clear()


MADE = of("surrogates", "unlearned", *ALL)
TARGETS = {"before data", "before samples", *MADE}
BASE = {"before pretrained", *TARGETS}
MODULES = {
    "protocols": BASE,
    "seam": BASE,
    "equations": BASE,
    "models.families.ddpm": BASE,
    "models.checkpoints": BASE,
    "models.families.sd3": set(),  # another family than the experiment's
    "sampling.chains": BASE,  # the family varies pictures by it
    "data": TARGETS,
    "pictures.reading": TARGETS,
    "miniature.portraits": TARGETS,
    "preparing.collect": TARGETS,
    "preparing.remember_set": {"before data", *MADE},
    "editing.engine": MADE,
    "editing.editors.flip": of("surrogates", "unlearned", *ALL, cells="A"),
    "editing.editors.noise": set(),
    "unlearning.training": of("unlearned", *ALL),
    "unlearning.stopping": of("unlearned", *ALL),
    "unlearning.methods.naive": of("unlearned", *ALL, cells="B"),
    "unlearning.methods.siss": set(),
    "scoring.metric_networks": {"before data", *MADE},
    "scoring.evidence": of("row", *METRICS, "decision"),
    "scoring.metrics.lpips": of("row", "metric lpips"),
    "scoring.frechet": of("row", "metric fid_pre", "metric fid_real"),
    "scoring.measured": of("row"),
    "reporting.row": of("row"),
    "reporting.rows": of("row"),
    "reporting.tables": set(),
    "reporting.reports.html": set(),
    "planning.stages": set(),
    "storage.progress": set(),
    "execution.probe": set(),
    "tracking.runs": set(),
    "paper.claims": set(),
    "pretraining.ddpm": set(),
    "steps": set(),
    "api": set(),
    "releasing.gates": set(),
}


def test_a_module_of_every_room_has_its_line_in_the_table():
    root = Path(code.__file__).parents[1]
    rooms = {p.relative_to(root).with_suffix("").parts[0] for p in root.rglob("*.py") if p.parent != root}
    alone = {p.stem for p in root.glob("*.py")} - {"__init__"}
    assert {m.partition(".")[0] for m in MODULES} == rooms | alone


@pytest.mark.parametrize("module", MODULES)
def test_a_change_of_code_redoes_what_it_makes(edited, module):
    before = keys()
    edited(module, lambda text: f"{text}\n\ndef another():\n    return 1\n")
    assert changed(before, keys()) == MODULES[module]


@pytest.mark.parametrize("block", [*BLOCKS.values(), Training])
def test_settings_are_values_alone_since_their_own_code_is_in_no_identity(block):
    assert not [name for name, of in vars(block).items() if isfunction(of) and not name.startswith("__")]


@pytest.mark.parametrize("module", ["unlearning.training", "equations", "models.families.ddpm"])
def test_a_comment_a_docstring_and_another_layout_redo_nothing(edited, module):
    before = keys()

    def rewrite(text):
        docstring = text.index('"""', 3) + 3
        rest = text[docstring:].replace("    return ", "    return  (  # why\n").replace("(  # why\n", "")
        return f'# a comment\n"""Another docstring."""{rest}\n# and one more\n'

    edited(module, rewrite)
    assert keys() == before


@pytest.mark.parametrize("inits", [("__init__.py",), ()])
def test_the_code_of_a_package_of_someone_else_counts_with_what_it_imports_of_its_own(
    tmp_path, monkeypatch, inits
):
    package = tmp_path / "theirs"
    package.mkdir()
    for init in inits:
        (package / init).write_text("")
    (package / "metric.py").write_text("from .inner import value\n")
    (package / "inner.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    told = []
    for text in ("value = 1\n", "value = 1  # one\n", "value = 2\n"):
        (package / "inner.py").write_text(text)
        for kept in (code.code, code._parsed, code._imported, code._path):
            kept.cache_clear()
        told.append(code.code("theirs.metric"))
    assert told[0] == told[1] != told[2] and "theirs" not in sys.modules


def test_looking_at_code_imports_nothing(tmp_path):
    import subprocess

    words = (
        "from unpromptable.planning.code import code; import sys; code('unpromptable.models.families.sd3');"
    )
    words += "assert 'torch' not in sys.modules and 'unpromptable.models' not in sys.modules"
    subprocess.run([sys.executable, "-c", words], check=True, cwd=Path(__file__).parents[2])
