"""What the page says of a request, in plain words and as tables."""

from __future__ import annotations

from html import escape

from unpromptable.releasing import gates, outcome

from .desk import State

SAYS: dict[State, str] = {
    "idle": "Drop the picture that the model must not produce again, give it a reference, and start.",
    "working": "**{name}** is at work. This page may be closed: the work goes on, and is here again later.",
    "stopped": "**{name}** was stopped. Start it again and it continues where it ended.",
    "failed": "**{name}** failed. The last lines below say why; nothing was released.",
    "refused": "**{name}**: no attempt passes every gate, so nothing was released. Paint over the picture, or"
    " allow more attempts where fewer than six were.",
    "nothing": "**{name}**: the model does not bring the picture back, so there is nothing to forget. The"
    " certificate says so.",
    "released": "**{name}** passes every gate. Compare, then approve or reject it.",
    "approved": "**{name}** is approved. The model and its certificate lie in `{folder}`.",
    "rejected": "**{name}** was rejected, and its release removed. Nothing of it is released.",
}


def table(found: outcome.Outcome) -> str:
    """The gates of every attempt as a table of HTML."""
    rows = [
        f"<tr class='{'holds' if f.holds else 'fails'}'><td>{escape(name) if not k else ''}</td>"
        f"<td>{escape(gates.means(f.metric))}</td><td>{f.mean:.3f}</td><td>{f.value:.3f}</td>"
        f"<td>{gates.side(f.metric)} {f.bound:g}</td><td>{'holds' if f.holds else 'does not hold'}</td></tr>"
        for name, findings in found.findings.items()
        for k, f in enumerate(findings)
    ]
    heads = ("attempt", "what was measured", "mean", "at its worst", "must be", "gate")
    head = "".join(f"<th>{one}</th>" for one in heads)
    return f"<table id='gates'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
