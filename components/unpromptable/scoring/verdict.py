"""When a cell has forgotten, and which of those that have keeps the model best."""

from __future__ import annotations

from typing import Any

THRESHOLD = 0.4  # SSCD below it is forgotten (IV)
COLUMNS = (
    ("sscd", "SSCD < 0.4", 0),
    ("lpips", "LPIPS ↓", -1),
    ("ssim", "SSIM ↑", 1),
    ("fid_pre", "FID_pre ↓", -1),
    ("fid_real", "FID_real ↓", -1),
)


def forgets(row: dict[str, Any]) -> bool:
    """Whether a finished row's mean SSCD is below the threshold."""
    return row["status"] == "done" and row["sscd"]["mean"] < THRESHOLD


def best(rows: list[dict[str, Any]], key: str) -> str | None:
    """The name of the row that is best in a column among those that forget; None where none does."""
    sign = next(s for k, _, s in COLUMNS if k == key)
    able = [r for r in rows if forgets(r)]
    return max(able, key=lambda r: sign * r[key]["mean"])["name"] if able and sign else None
