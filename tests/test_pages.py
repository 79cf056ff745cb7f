"""The pages: links that lead somewhere, commands that the command line knows, versions of the package."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from pipelines import __main__ as command_line

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / folder / "README.md" for folder in ("", "pipelines", "components", "images", "tests")),
    ROOT / "charts" / "unpromptable" / "README.md",
    ROOT / "tests" / "faults" / "README.md",
    ROOT / "pipelines" / "requests" / "README.md",
    *sorted((ROOT / ".github").glob("*.md")),
    ROOT / "CHANGELOG.md",
]
LONGEST = {"README.md": 120, "pipelines/README.md": 300}  # lines
WIDE = ("|", "![", "```", "<")  # a table's row and a picture take a line each
name = lambda page: str(page.relative_to(ROOT))
of_pages = pytest.mark.parametrize("page", PAGES, ids=name)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What GitHub calls a page's headings in links."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def commands(page: Path) -> list[str]:
    """The lines of fenced blocks that call a module of this project, each continued line joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```$", text, re.M | re.S))
    return re.findall(r"^(?:\$ )?(?:\S*/)?python -m ((?:pipelines|unpromptable)\S* .+)$", blocks, re.M)


ASKED = [(name(page), line) for page in PAGES for line in commands(page)]


@of_pages
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if not path.startswith(("https://", "http://")):
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


@of_pages
def test_prose_has_at_most_120_columns(page):
    wide = [line for line in prose(page).splitlines() if len(line) > 120 and not line.startswith(WIDE)]
    assert not wide


@pytest.mark.parametrize("page", LONGEST)
def test_a_page_that_greets_is_short(page):
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= LONGEST[page]


@pytest.mark.parametrize("page, line", [a for a in ASKED if a[1].startswith("pipelines ")])
def test_a_pages_command_is_one_that_the_command_line_takes(page, line):
    words = shlex.split(line, comments=True)[1:]
    _, rest = command_line._parser().parse_known_args(words)
    assert not [word for word in rest if word.startswith("-")]


@pytest.mark.parametrize("page, line", [a for a in ASKED if not a[1].startswith("pipelines ")])
def test_a_module_that_a_page_runs_has_that_command(page, line):
    module, *words = shlex.split(line, comments=True)
    source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
    assert '__name__ == "__main__"' in source
    reads = source + (ROOT / "components/unpromptable/pretraining/command.py").read_text(encoding="utf-8")
    assert all(word in reads for word in words if word.startswith("--"))


def test_the_pages_commands_were_found():
    assert {"README.md", "pipelines/README.md", "components/README.md"} <= {page for page, _ in ASKED}


@of_pages
def test_an_image_is_named_by_the_packages_version(page):
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    tags = re.findall(r"unpromptable/(?:cpu|gpu|tracking):([\w.]+)", page.read_text(encoding="utf-8"))
    assert set(tags) <= {version}


def test_every_experiment_and_command_stands_on_its_page():
    page = (ROOT / "pipelines" / "README.md").read_text(encoding="utf-8")
    experiments = [file.stem for file in (ROOT / "pipelines" / "experiments").glob("*.yaml")]
    verbs = next(a for a in command_line._parser()._actions if a.choices).choices
    assert not [one for one in (*experiments, *verbs) if f"`{one}" not in page]


def test_every_room_and_helper_stands_on_its_page():
    package, tests = ROOT / "components" / "unpromptable", ROOT / "tests"
    rooms = [f.name for f in package.iterdir() if (f / "__init__.py").is_file() or f.suffix == ".py"]
    page = (ROOT / "components" / "README.md").read_text(encoding="utf-8")
    assert not [room for room in rooms if f"](unpromptable/{room})" not in page and room[:2] != "__"]
    page = (tests / "README.md").read_text(encoding="utf-8")
    helpers = [file.name for file in tests.glob("*.py") if not file.name.startswith("test_")]
    assert not [helper for helper in helpers if f"]({helper})" not in page]


def test_every_fault_of_the_table_has_a_test_that_is_there():
    page = ROOT / "tests" / "faults" / "README.md"
    rows = [r.strip("|").split("|") for r in page.read_text(encoding="utf-8").splitlines() if r[:2] == "| "][
        1:
    ]
    assert (
        len(rows) >= 30
        and {len(row) for row in rows} == {5}
        and all(cell.strip() for r in rows for cell in r)
    )
    named = [re.search(r"\]\((.+?)\)`::(test_\w+)`", row[-1]) for row in rows]
    gone = [
        row[0]
        for row, test in zip(rows, named)
        if not test or f"def {test[2]}(" not in (page.parent / test[1]).read_text(encoding="utf-8")
    ]
    assert not gone and len({row[0] for row in rows}) == len(rows)


def test_the_sizes_on_the_page_are_what_the_command_prints(capsys):
    page = (ROOT / "pipelines" / "README.md").read_text()
    (words, shown) = re.search(r"^\$ python -m pipelines (size .*)\n([^`]*)```", page, re.M).groups()
    assert command_line.main(shlex.split(words)) == 0
    printed = capsys.readouterr().out.splitlines()
    numbers = lambda lines: [[float(n) for n in line.split()] for line in lines if line.strip()[:1].isdigit()]
    found, wanted = numbers(printed), numbers(shown.splitlines())
    assert len(found) == len(wanted) == 3  # a Workflow's bytes differ by its names
    assert all(row == pytest.approx(told, rel=5e-3) for row, told in zip(found, wanted))
