"""Files of tensors: read without unpickling anything else, and refused where a value is not finite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# what reading pickles raises besides for broken ones
BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, ImportError)


def read(path: Path) -> dict[str, Any]:
    """The tensors of a weights file; nothing else is unpickled. Raises ValueError for a file of anything
    else.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = (
            load_file(path)
            if Path(path).suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    # torch raises RuntimeError for a truncated archive
    except (pickle.UnpicklingError, SafetensorError, EOFError, RuntimeError, *BROKEN) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise ValueError(f"{path}: not a file of tensors ({why}); remove it and fetch it again") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{path}: not a file of named tensors; remove it and fetch it again")
    return found


def finite(tensors: dict[str, Any], where: str, remedy: str) -> None:
    """Raise ValueError that names the first of `tensors` with a NaN or an infinity."""
    wrong = [k for k, v in tensors.items() if v.is_floating_point() and not v.isfinite().all()]
    if wrong:
        raise ValueError(
            f"{where}: {wrong[0]} is not finite ({len(wrong)} of {len(tensors)} tensors); {remedy}"
        )
