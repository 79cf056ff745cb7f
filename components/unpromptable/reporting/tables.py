"""Rows in the paper's form, and what they say in words."""

from __future__ import annotations

from typing import Any

from unpromptable.scoring.verdict import COLUMNS, THRESHOLD, best, forgets


def show(value: dict[str, Any] | None) -> str:
    """An estimate as mean ± half of its interval."""
    if value is None:
        return "—"
    digits = 3 if abs(value["mean"]) < 10 else 2
    if value["low"] is None:  # a mean over targets of which one alone finished
        return f"{value['mean']:.{digits}f}"
    return f"{value['mean']:.{digits}f} ± {(value['high'] - value['low']) / 2:.{digits}f}"


def cells(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One finished row's columns: text, whether best among those that forget, and the mark of the first."""
    return [
        {
            "text": show(row[key]),
            "best": best(rows, key) == row["name"],
            "mark": ("✓" if forgets(row) else "✗") if key == "sscd" else "",
        }
        for key, _, _ in COLUMNS
    ]


def verdict(rows: list[dict[str, Any]]) -> str:
    """The result in a few sentences."""
    done, able = [r for r in rows if r["status"] == "done"], [r for r in rows if forgets(r)]
    target, it = (
        ("the targets", "them") if any(len(r.get("members", ())) > 1 for r in rows) else ("the target", "it")
    )
    if not done:
        return "No cell finished, so there is nothing to compare."
    sure = [r["name"] for r in able if _whole(r)]
    close = [r["name"] for r in able if not _whole(r)]
    kept = [r["name"] for r in done if not forgets(r)]
    words = [
        (
            f"{_list(sure)} forgot {target}: the similarity's whole interval lies below 0.4."
            if sure
            else f"No method forgot {target} beyond doubt."
        )
    ]
    words += (
        [f"{_list(close)} fell below 0.4 on average, with an interval that reaches above it."]
        if close
        else []
    )
    words += [f"{_list(kept)} did not forget {it}."] if kept else []
    wins: dict[str, list[str]] = {}
    for key, title, sign in COLUMNS:
        if sign and able:
            wins.setdefault(best(rows, key) or "", []).append(title.split()[0])
    if len(able) > 1:
        words += [
            "Of those that forgot, "
            + "; ".join(f"{name} keeps the model best by {_list(keys)}" for name, keys in wins.items())
            + "."
        ]
    ceiling = done[0].get("sscd_ceiling")
    words += (
        [f"Before unlearning {target} came back with similarity {ceiling['mean']:.2f}."] if ceiling else []
    )
    return " ".join(words)


def _whole(row: dict[str, Any]) -> bool:
    """Whether a row's whole interval lies below the threshold."""
    return row["sscd"]["high"] is not None and row["sscd"]["high"] < THRESHOLD


def doubts(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(row, target, note) of every surrogate that a method read and that is a near copy, unrelated, or a
    random image by intention.
    """
    from unpromptable.planning import plugins

    reads = lambda r: plugins.find("method", r["method"]).reads_surrogate
    return [
        (r["name"], s["target"], s["note"])
        for r in rows
        for s in r.get("surrogates") or ()
        if s.get("note") and reads(r)
    ]


def differing(rows: list[dict[str, Any]]) -> list[str]:
    """The settings that are not the same in every cell."""
    keys = sorted({k for r in rows for k in r["settings"]})
    return [k for k in keys if len({str(r["settings"].get(k)) for r in rows}) > 1]


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
