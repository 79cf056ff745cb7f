"""The configurations of a saved model without the place that it was loaded from, a path of some machine."""

from __future__ import annotations

import json
from pathlib import Path

KEY = "_name_or_path"  # as diffusers and transformers write it


def strip(folder: Path) -> None:
    """Take that place out of every JSON file below a folder; loading does without."""
    for path in sorted(folder.rglob("*.json")):
        text = path.read_text(encoding="utf-8")
        if f'"{KEY}"' in text:
            told = {key: value for key, value in json.loads(text).items() if key != KEY}
            path.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")
