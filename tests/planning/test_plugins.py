"""A choice of another package is taken as one that ships, or refused in one line that says why."""

import pytest
from contracts import others

from unpromptable.planning import code as identity
from unpromptable.planning import plan, plugins

ODD = r"^methods: odd \(others_odd\) cannot be "


def code(name="Method", does="update", field="a: int = 1"):
    """A file with one class."""
    return f"""
from __future__ import annotations
from dataclasses import dataclass
from unpromptable import protocols

@dataclass(frozen=True)
class {name}(protocols.Method):
    {field}
    def {does}(self, model, batch):
        return {{}}
"""


@pytest.mark.parametrize(
    "name, text, value, words",
    [
        ("siss", code(), "", "siss of the package others_siss has the name of one of unpromptable itself"),
        ("odd", code(does="step"), "", "odd .*lacks update; see unpromptable.protocols.Method"),
        (
            "odd",
            code("Other"),
            "",
            "`Method` must be a frozen .* subclasses unpromptable.protocols.Method",
        ),
        ("odd", "class Method:\n    pass\n", "", "`Method` must be a frozen dataclass"),
        (
            "odd",
            code().replace("(frozen=True)", ""),
            "",
            "`Method` must be a frozen dataclass",
        ),
        ("odd", "import not_here\n", "", "odd .*cannot be imported: No module named 'not_here'"),
        ("odd", "", "nowhere.at_all", "odd .nowhere.at_all. cannot be imported"),
        ("odd", "raise RuntimeError('no\\ndriver')\n", "", ODD + "imported: RuntimeError: no driver"),
        ("odd", "def f(:\n", "", ODD + "imported: SyntaxError: invalid syntax"),
        ("odd", "print(nowhere)\n", "", ODD + "imported: NameError: name 'nowhere' is not defined"),
        (
            "odd",
            code(field="a: Nowhere = 1"),
            "",
            "settings cannot be read: NameError: name 'Nowhere' is not",
        ),
        ("odd", code(field="a: object() = 1"), "", "settings cannot be read: [A-Z][a-zA-Z]+: "),
    ],
)
def test_what_is_no_choice_is_refused_in_one_line(name, text, value, words, tmp_path):
    others.put(tmp_path, "method", name, text, value)
    with others.on_path(tmp_path), pytest.raises(ValueError, match=words) as caught:
        plugins.make("method", name)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("methods: ")


def test_a_family_without_its_model_or_samplers_is_refused(tmp_path):
    text = code("Family", "fetch").replace("protocols.Method", "protocols.Family")
    others.put(tmp_path, "model", "odd", text)
    with (
        others.on_path(tmp_path),
        pytest.raises(ValueError, match="lacks chain, model, pixels, samplers"),
    ):
        plugins.find("model", "odd")


def test_two_packages_cannot_share_a_name(tmp_path):
    for package in ("first", "second"):
        others.put(tmp_path, "method", "nothing", code(), package=package)
    with others.on_path(tmp_path):
        with pytest.raises(ValueError, match="nothing of the package .* has the name of one of the package"):
            plugins.names("method")


def test_an_entry_point_may_name_the_class(tmp_path):
    others.put(tmp_path, "method", "named", code("Other"), "others_named:Other")
    with others.on_path(tmp_path):
        assert type(plugins.make("method", "named")).__name__ == "Other"
        assert "named" in plugins.names("method")
    assert "named" not in plugins.names("method")


def test_a_changed_choice_of_another_package_trains_anew_and_draws_no_other_pictures_before(tmp_path):
    others.put(tmp_path, "method", "nothing", code())
    keys = []
    with others.on_path(tmp_path):
        for text in (code(), code() + "# a comment\n", code().replace("{}", "{'remember': 0.0}")):
            (tmp_path / "others_nothing.py").write_text(text)
            for kept in (identity.code, identity._parsed, identity._imported, identity._path):
                kept.cache_clear()
            run = plan.resolve("name: t\nforget: ['0012-3']\ncells: [{method: nothing}]\n").run()
            keys.append((run.cells[0].keys["unlearned"], run.shared.keys["samples"]))
    assert keys[0] == keys[1] and keys[1][0] != keys[2][0] and keys[1][1] == keys[2][1]


def test_a_report_that_cannot_be_imported_is_refused_by_the_plan_that_has_its_files(tmp_path):
    others.put(tmp_path, "report", "odd", "raise RuntimeError('no driver')\n")
    text = "name: t\nforget: ['0012-3']\ncells: [{editor: flip}]\n"
    with others.on_path(tmp_path):
        with pytest.raises(
            ValueError, match="reports: odd .others_odd. cannot be imported: RuntimeError: no"
        ):
            plan.resolve(text)
        assert plan.resolve(text, inputs=False).cells
    assert plan.resolve(text).cells
