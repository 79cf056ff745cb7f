"""A finished run of three cells, for pages and tables."""

import json

import numpy as np
import pytest

from unpromptable import data

EXPERIMENT = {
    "name": "demo",
    "title": "Forgetting <one> face",
    "description": "d",
    "networks": {"name": "miniature"},
    "real": "miniature",
    "forget": ["a"],
    "paper": [{"name": "Good", "sscd": 0.19, "lpips": 0.35}],
    "sampling": {"sampler": "ddim", "steps": 2, "images": 12, "first_seed": 0},
    "injection": {"t": 250, "draws": 4},
}


def row(name, sscd, lpips):
    value = lambda m: {"mean": m, "low": m - 0.05, "high": m + 0.05, "n": 12}
    return {
        "name": name,
        "cell": name.lower(),
        "folder": f"cells/{name.lower()}",
        "method": "surrogate",
        "status": "done",
        "error": None,
        "labels": {"sscd": "a", "lpips": "b", "fid": "c"},
        "settings": {"method": "surrogate", "training.lr": lpips},
        "surrogates": [
            {
                "target": "a",
                "sscd": 0.1,
                "lpips": 0.5,
                "rms": 40.0,
                "changed": 0.4,
                "verdict": "fine",
                "note": "",
            }
        ],
        "seconds": {"unlearn": 3.0},
        "inputs": {},
        **{
            k: value(v)
            for k, v in (
                ("sscd", sscd),
                ("lpips", lpips),
                ("ssim", 1 - lpips),
                ("fid_pre", lpips),
                ("fid_real", lpips),
                ("sscd_ceiling", 0.95),
            )
        },
    }


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
