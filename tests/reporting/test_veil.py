"""Pictures of targets, surrogates, denoised draws and near copies are shown, blurred or left out."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from finished_run import EXPERIMENT, row, store  # noqa: F401  (store is a fixture)
from PIL import Image

from unpromptable import data
from unpromptable.miniature import portraits
from unpromptable.planning.settings import Report
from unpromptable.reporting import veil
from unpromptable.reporting.reports import html, prompted

SIZE = 32


@pytest.fixture
def shown(store):
    """The finished run with portraits of different people: what shows the target, and the unrelated seeds."""
    people = portraits.training_set()[0][::150]
    target, surrogate, copy = people[:3]
    draws, seeds = people[3:7], people[7:14]
    manifest = {"forget_names": ["a"], "names": [], "removed": [], "copies": {"b": 0.95}}
    pictures = {"real": people, "forget": target[None], "screened": copy[None]}
    data.save(store / "shared" / "data.safetensors", pictures, manifest)
    drawn = {"samples": seeds, "injected/a": draws}
    for path in (store / "shared" / "before.safetensors", *store.glob("cells/*/after.safetensors")):
        data.save(path, drawn, {"seeds": list(range(len(seeds)))})
    for path in store.glob("cells/*/surrogates.safetensors"):
        data.save(path, {"images": surrogate[None]}, {"targets": ["a"]})
    return store, [target, surrogate, copy, *draws], list(seeds)


def page(store, how):
    """The pictures of a run's page, (SIZE, SIZE, 3) each, and its text."""
    asked = replace(EXPERIMENT, report=Report(pictures=how))
    rows = [row("Good", 0.2, 0.3), row("Better", 0.3, 0.1)]
    text = html.Report().write(store, asked, rows, "SUCCEEDED").read_text()
    found = re.findall(r'class="px" src="data:image/png;base64,([^"]+)"', text)
    opened = [Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB") for one in found]
    return [np.asarray(o.resize((SIZE, SIZE), Image.Resampling.NEAREST)) for o in opened], text


def correlation(a, b):
    return np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1]


def has(pictures, one):
    return any((picture == one).all() for picture in pictures)


def test_a_page_shows_all_unless_asked_otherwise(shown):
    store, secret, seeds = shown
    pictures, text = page(store, "show")
    assert all(has(pictures, one) for one in secret + seeds) and "report.pictures" not in text


def test_what_shows_a_target_is_blurred_past_knowing_and_unrelated_seeds_stay(shown):
    store, secret, seeds = shown
    whole, _ = page(store, "show")
    pictures, text = page(store, "blur")
    assert len(pictures) == len(whole) and all(has(pictures, one) for one in seeds)
    veiled = [p for p in pictures if not has(seeds, p)]
    assert len(veiled) >= len(secret)
    assert max(correlation(p, one) for p in veiled for one in secret) < 0.9
    assert "strongly blurred" in text


def test_what_shows_a_target_is_left_out_and_said_and_its_distances_stay(shown):
    store, secret, seeds = shown
    pictures, text = page(store, "omit")
    assert pictures and all(has(seeds, p) for p in pictures)
    assert "left out" in text and "SSCD 0.10" in text


def test_the_blur_hides_every_portrait_of_the_world():
    people = portraits.training_set()[0][::20]
    assert max(correlation(a, b) for a, b in zip(people, veil.veiled(people, "blur"))) < 0.9


@pytest.mark.parametrize("how", ["show", "blur", "omit"])
def test_the_grid_of_a_prompted_model_veils_the_target_and_the_seeds_that_were_wrong(shown, monkeypatch, how):
    store, secret, seeds = shown
    wrong = np.arange(len(seeds)) < 2
    monkeypatch.setattr(prompted, "verdicts", lambda *_: (wrong, None))
    asked = replace(EXPERIMENT, report=Report(pictures=how))
    strips = dict(prompted.strips(store, asked, [row("Good", 0.2, 0.3)]))
    parts = {name: [s[:, k : k + SIZE] for k in range(0, s.shape[1], SIZE + 1)] for name, s in strips.items()}
    every = [one for part in parts.values() for one in part]
    assert ("target, screened" in strips) == (how != "omit")
    hidden = [secret[0], secret[2], *seeds[:2]]
    assert [has(every, one) for one in hidden] == [how == "show"] * len(hidden)
    assert all(has(parts[name], one) for name in ("before", "Good") for one in seeds[2:])
    if how == "blur":
        veiled = [p for p in every if not has(seeds, p)]
        assert veiled and max(correlation(p, one) for p in veiled for one in hidden) < 0.9


@pytest.mark.parametrize(
    "name, plain",
    [
        ("report.md", True),
        ("rows.json", True),
        ("table.csv", True),
        ("figures/tradeoff.png", True),
        ("figures/prompted.png", False),
        ("report.html", False),
        ("others.pdf", False),
    ],
)
def test_text_and_plots_of_numbers_hold_no_pictures(name, plain):
    assert veil.plain(Path(name)) == plain
