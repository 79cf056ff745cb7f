"""How the page looks: fonts of the reader's own machine, the brush's colours, and its sheet of styles."""

from __future__ import annotations

FONTS = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")
COLOURS: list[str | tuple[str, float]] = [
    "#c08a5e",
    "#8d5a3b",
    "#f1c9a5",
    "#3b2a20",
    "#808080",
    "#ffffff",
    "#000000",
]
CSS = """
#gates {width: 100%; border-collapse: collapse} #gates td, #gates th {text-align: left; padding: .35em .6em}
#gates td, #gates th {border: 0; border-bottom: 1px solid #d6d3d1}
#gates .holds td:last-child {color: #15803d} #gates .fails td:last-child {color: #b91c1c; font-weight: 600}
#status {padding: .6em 1em; border-left: 4px solid #f97316; background: #fff7ed; color: #1c1917}
#log textarea {font-family: ui-monospace, monospace; font-size: .8em}
"""
