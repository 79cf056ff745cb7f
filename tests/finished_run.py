"""A finished run of three cells, for pages and tables."""

import json

import numpy as np
import pytest

from unpromptable import data
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.settings import Injection, Sampling
from unpromptable.reporting.row import Row, Surrogate
from unpromptable.scoring.estimates import Estimate

SURROGATE = Surrogate("a", 0.1, 0.5, 40.0, 0.4, 0.1, "fine", "")
EXPERIMENT = Experiment(
    name="demo",
    world="miniature",
    real="miniature",
    forget=("a",),
    title="Forgetting <one> face",
    description="d",
    paper=({"name": "Good", "sscd": 0.19, "lpips": 0.35},),
    sampling=Sampling(steps=2, images=12),
    injection=Injection(draws=4),
)


def row(name, sscd, lpips, **given):
    """A finished cell's row; fields that are given stand in place of these."""
    numbers = {"sscd": sscd, "lpips": lpips, "ssim": 1 - lpips, "fid_pre": lpips, "fid_real": lpips}
    told = {
        "name": name,
        "line": "",
        "cell": name.lower(),
        "folder": f"cells/{name.lower()}",
        "method": "surrogate",
        "editor": "paint",
        "networks": "miniature",
        "settings": {"method": "surrogate", "training.lr": lpips},
        "run_id": None,
        "status": "done",
        "error": None,
        "metrics": {k: around(v) for k, v in {**numbers, "sscd_ceiling": 0.95}.items()},
        "labels": {"sscd": "a", "lpips": "b", "fid": "c"},
        "surrogates": (SURROGATE,),
        "seconds": {"unlearn": 3.0},
    }
    return Row(**{**told, **given})


def failed(name, error):
    """The row of a cell without a result."""
    none = {"labels": {}, "surrogates": (), "seconds": {}, "metrics": {"sscd": None}}
    return row(name, 0.0, 0.0, status="failed", error=error, settings={"method": "x"}, **none)


def around(mean, half=0.05):
    """A mean in the middle of its interval."""
    return Estimate(mean, mean - half, mean + half, 12)


@pytest.fixture
def store(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    data.save(
        tmp_path / "shared" / "data.safetensors",
        {"real": pictures, "forget": pictures[:1]},
        {"forget_names": ["a"], "names": [], "removed": []},
    )
    data.save(
        tmp_path / "shared" / "before.safetensors",
        {"samples": pictures, "injected/a": pictures[:4]},
        {"seeds": list(range(12))},
    )
    for name in ("good", "better", "keeps"):
        folder = tmp_path / "cells" / name
        data.save(
            folder / "after.safetensors",
            {"samples": pictures, "injected/a": pictures[:4]},
            {"seeds": list(range(12))},
        )
        data.save(folder / "surrogates.safetensors", {"images": pictures[:1]}, {"targets": ["a"]})
        (folder / "history.jsonl").write_text(
            "".join(json.dumps({"step": i, "remember": 1.0, "forget": 2.0}) + "\n" for i in range(30))
        )
    return tmp_path
