"""Make a trained diffusion model forget images that no prompt can name. Each verb has a room.

`unpromptable.forget(pipe, images, keep=...)` does all of it from Python; `unpromptable.evaluate(before,
after, ...)` judges a model that another method unlearned.
"""

from typing import Any

CALLS = ("forget", "evaluate", "Forgotten")  # of api, which is loaded when one of them is asked for


def __getattr__(name: str) -> Any:
    if name not in CALLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from unpromptable import api

    return getattr(api, name)
