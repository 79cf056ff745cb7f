"""The project's habits that no linter holds: rooms that say what they hold, settings that load without torch,
a lock that is whole, pages that tell the truth.
"""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "components" / "unpromptable", ROOT / "pipelines")
ROOMS = [file.parent for package in PACKAGES for file in sorted(package.rglob("__init__.py"))]
MODULES = [file for package in PACKAGES for file in sorted(package.rglob("*.py"))]
LONGEST_FUNCTION, LONGEST_MODULE = 40, 300  # lines
LOCKS = [ROOT / "requirements.lock", *sorted((ROOT / "images" / "locks").glob("*.lock"))]


def own(line):
    """The value of a line `name = "value"` of pyproject.toml."""
    return re.search(rf'^{line} = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_it_holds(room):
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert said and said.rstrip().endswith(".")


def test_functions_and_modules_are_short():
    long = [str(f) for f in MODULES if len(f.read_text().splitlines()) > LONGEST_MODULE]
    long += [
        f"{file} {node.name}"
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    assert MODULES and not long


@pytest.mark.parametrize("module", ["planning.plan", "planning.settings", "storage.once", "steps"])
def test_plans_and_stores_load_without_torch(module):
    asked = f"import unpromptable.{module}, sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_has_a_hash_for_every_package_and_no_address(lock):
    text = lock.read_text().replace("\\\n", " ")
    line = r"\S+==\S+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+"
    assert text.strip() and all(re.fullmatch(line, one) for one in text.splitlines())
    assert "://" not in text


def test_the_images_have_the_versions_of_the_lock():
    first, *others = (dict(re.findall(r"^(\S+?)==(\S+)", lock.read_text(), re.M)) for lock in LOCKS)
    for lock, versions in zip(LOCKS[1:], others):
        assert lock.stem == "build" or not {k: v for k, v in versions.items() if first.get(k, v) != v}


def test_the_command_is_the_one_of_python_m_pipelines():
    module, _, name = own("unpromptable").partition(":")
    with pytest.raises(SystemExit) as end:
        getattr(import_module(module), name)(["--help"])
    assert end.value.code == 0


def test_chart_images_and_citation_are_of_the_packages_version():
    """The chart's own version is at least that: it grows by itself where the chart's values change."""
    chart = yaml.safe_load((ROOT / "charts" / "unpromptable" / "Chart.yaml").read_text())
    values = yaml.safe_load((ROOT / "charts" / "unpromptable" / "values.yaml").read_text())
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    tag = values["images"]["cpu"].rpartition(":")[2]
    assert {str(chart["appVersion"]), str(cited["version"]), tag} == {own("version")}
    numbers = lambda text: [int(n) for n in text.split(".")]
    assert numbers(chart["version"]) >= numbers(own("version"))
    assert f"## [{own('version')}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_metric_that_the_contributors_page_adds_measures_what_it_says():
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / ".github" / "CONTRIBUTING.md").read_text(), re.S)
    room = {"__name__": "change"}
    exec(code, room)
    before = np.full((3, 4, 4, 3), 200, np.uint8)
    evidence = SimpleNamespace(
        before=before, after=before + np.array([1, 2, 6], np.uint8).reshape(3, 1, 1, 1)
    )
    assert room["Metric"]().measure(evidence, None)["change"].mean == 3


@pytest.mark.parametrize(
    "path",
    re.findall(
        r"`((?:components|pipelines|charts|images|tests|\.ci)/[\w./]+)`",
        (ROOT / ".github" / "CONTRIBUTING.md").read_text(),
    ),
)
def test_a_place_that_the_contributors_page_names_is_there(path):
    assert (ROOT / path).exists() or path.endswith("/change.py")


def test_no_two_test_files_have_one_name():
    alone = [p for p in (ROOT / "tests").rglob("test_*.py") if not (p.parent / "__init__.py").exists()]
    names = [path.name for path in alone]
    assert sorted(names) == sorted(set(names)), "pytest collects neither of two files of one name"
