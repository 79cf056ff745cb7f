"""Rows of a request to forget two people, what the base did, and the gates that judge them."""

from unpromptable.releasing import base, gates
from unpromptable.reporting.row import Row
from unpromptable.scoring.estimates import Estimate

NAMES = ("person-a.png", "person-b.png")
TEST = {"injection": {"t": 250, "draws": 8}, "networks": "our own descriptor", "model": "ab"}
BASE = base.Base((Estimate(0.9, 0.85, 0.95, 8), Estimate(0.8, None, None, 1)), 0.25, 1, TEST)
SETTINGS = {"method": "surrogate", "training.held": "/people/held.safetensors", "editor.text": "person-a"}
PARTS = {"lookalikes_sscd/00 person-c 4.png": 0.8, "group_lpips/00 person-c": 0.1, "own/person-c.png": 0.5}
BOUNDS = gates.of({}, 0.25)


def row(name="neighbours x1", sscd=0.3, nearest=0.5, **more):
    numbers = {
        "sscd": sscd,
        "sscd_ceiling": 0.9,
        "lpips": 0.1,
        "ssim": 0.9,
        "sscd_most": sscd,
        "nearest_excess": nearest - 0.6,
        "lookalikes": 0.8,
    }
    return Row(
        **{"name": name, "line": name, "cell": "c", "folder": "cells/c", "method": "surrogate"},
        **{"editor": "neighbours", "networks": "miniature", "run_id": None, "status": "done", "error": None},
        settings={"forget": ", ".join(NAMES), "training.lr": 1e-4, "real": "/people", **SETTINGS},
        metrics={k: Estimate(v, v - 0.05, v + 0.05, 8) for k, v in {**numbers, **PARTS, **more}.items()},
        labels={"sscd": "similarity by our miniature descriptor"},
        inputs={"after/injected/person-a.png": "1" * 64, "data/real": "2" * 64},
    )


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
