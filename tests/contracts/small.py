"""What every choice is tried on: the miniature's model of a family, two portraits, the evidence of a cell."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import fields
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import small_onnx
import torch

from unpromptable.editing.engine import EditContext
from unpromptable.miniature import portraits
from unpromptable.planning import plugins
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.settings import Injection, Sampling, Source, Training
from unpromptable.scoring.evidence import Evidence, Models
from unpromptable.unlearning import training

MINIATURE = Path(str(resources.files("unpromptable"))) / "miniature"
TARGETS = ("0104-3", "0204-3")
PROMPT = "flag of Japan"  # which a prompted family of the miniature knows


def choices(kind):
    return pytest.mark.parametrize("name", plugins.names(kind))


def people(*numbers, size=32):
    """Portraits, uint8 (N, size, size, 3)."""
    from PIL import Image

    drawn = [Image.fromarray(portraits.picture(n, 3)).resize((size, size)) for n in numbers]
    return np.stack([np.asarray(x) for x in drawn])


def experiment(family):
    made = plugins.make("model", family)
    return Experiment(
        "t",
        "miniature",
        "miniature",
        TARGETS,
        model=Source(family, settings=dict(made.small)),
        sampling=Sampling(made.samplers[0], 2, 4, batch=4),
        prompt=PROMPT if made.prompted else "",
    )


def base(family, folder):
    """The folder of the miniature's model of a family, as `prepare` leaves it."""
    if not (MINIATURE / family).is_dir():
        pytest.skip(f"no weights of the family {family} ship with the miniature")
    made = plugins.make("model", family)
    if not folder.is_dir():
        identity = made.fetch("miniature", folder, "", MINIATURE / family)
        assert identity == "miniature"
        made.check(folder, experiment(family))
        made.ready(folder, experiment(family))
    return folder


def load(family, folder, base=None):
    return plugins.find("model", family).model.load(folder, "cpu", experiment(family), base)


def stir(model, scale=0.05):
    """Another model of the same shapes, in place."""
    g = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in model.trained():
            p.add_(scale * torch.randn(p.shape, generator=g).to(p))
    return model


def batch(model, reference=None, micro=0):
    """One update's batch of four, the same whenever it is asked for."""
    from dataclasses import replace

    shown = people(*range(6), 104, 7, size=model.size)
    images = training.Images(shown[:6], shown[6:7], shown[7:], ("a",))
    drawn = training.draw_batch(model, Training(batch=4), images, 0, 0, False)
    return replace(drawn, reference=reference, micro=micro)


def scene(**change):
    """Two portraits of the miniature world and its model, for editors."""
    given = {
        "targets": TARGETS,
        "forget": people(104, 204),
        "remember": people(*range(8)),
        "pretrained": MINIATURE / "ddpm",
        "experiment": experiment("ddpm"),
        "seed": 0,
        "among": TARGETS,
    }
    return EditContext(**{**given, **change})


def evidence(**change):
    """A cell's evidence with the miniature's model before and after, of a person with other pictures."""
    draw = lambda n, seed: np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    one = {"p-9": draw(3, 2)}
    given = {
        "before": draw(16, 0),
        "after": draw(16, 1),
        "real": draw(24, 3),
        "remember": draw(12, 6),
        "others_before": draw(16, 7),
        "others_after": draw(16, 8),
        "injected_before": one,
        "injected_after": one,
        "forget": {"p-9": draw(1, 4)[0]},
        "surrogates": {"p-9": draw(1, 5)[0]},
        "names": tuple(f"{'p' if i < 2 else 'q'}-{i}" for i in range(24)),
        "models": Models(experiment("ddpm"), MINIATURE / "ddpm", MINIATURE / "ddpm"),
        "injection": Injection(t=2, draws=2),
        "seeds": tuple(range(16)),
        "prompts": ("flag of Laos", "flag of Peru"),
    }
    return Evidence(**{**given, **change})


def metric(name):
    """The metric as tests measure in seconds; one that asks for a network or a model gets a small one."""
    given = dict(plugins.find("metric", name).small)
    if "model" in settings_of("metric", name):
        given = {"model": str(small_onnx.shared()), **given}
    if name == "retrained":
        given = {"folder": str(retrained()), **given}
    return plugins.make("metric", name, given)


@cache
def retrained():
    """The folder of another model of the miniature's kind."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    stir(load("ddpm", MINIATURE / "ddpm")).save(folder / "ddpm")
    return folder / "ddpm"


def settings_of(kind, name):
    return {f.name for f in fields(plugins.find(kind, name))}
