"""The editor tedigan with the networks that ship, and three portraits that they never saw."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from unpromptable.editing.engine import EditContext
from unpromptable.miniature import portraits
from unpromptable.planning import plan, plugins

NAMES = ("0010-3", "0021-3", "0043-3")

CAPTION = "a person with white hair"

MINIATURE = plan.read_world("miniature")["reals"]["miniature"]["editors"]["tedigan"]

SHIPPED = Path(str(resources.files("unpromptable"))) / "miniature" / "tedigan"


def editor(**settings):
    return plugins.make("editor", "tedigan", {**MINIATURE, "prompt": CAPTION, **settings})


@pytest.fixture(scope="module")
def scene():
    """Three portraits of the base model's training set, which generator, encoder and CLIP never saw."""
    pictures = np.stack([portraits.picture(*map(int, n.split("-"))) for n in NAMES])
    return EditContext(NAMES, pictures, pictures, Path(), "ddpm", 0)
