"""paint: a surrogate by hand for a person without a paint program: mask a region of the target and fill
it.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from .options import say

BACKGROUND = (
    "what transparent parts of the target are laid on, as pictures.background of the experiment: a colour's"
    " name or #rrggbb (default white)"
)


def paint(a: argparse.Namespace, console: Any) -> int:
    """Open the target, cover the boxes or the mask, write the painted picture where the editor `paint` looks
    for it.
    """
    from unpromptable.editing import painting
    from unpromptable.planning import plan

    real = a.real or plan.read_world(a.world)["real"]
    image = painting.open_target(a.target, real, a.size, a.background)
    size = len(image)
    boxes = [_box(word) for word in a.box]
    mask = painting.read_mask(Path(a.mask), size) if a.mask else painting.boxes_mask(boxes, size)
    painted = painting.fill(image, mask, a.fill)
    share = painting.check(f"--fill {a.fill}", a.target, painted, image)
    path = painting.save(painted, Path(a.out), a.target)
    say(console, f"painted  {path}: {share:.1%} of {size} x {size} pixels changed")
    target = json.dumps([a.target], ensure_ascii=False)
    sets = (f"forget={target}", "editor.name=paint", f"editor.folder={a.out}")
    say(console, f"use it with  {shlex.join(word for one in sets for word in ('--set', one))}")
    return 0


def _box(word: str) -> tuple[float, float, float, float]:
    numbers = word.split(",")
    try:
        x0, y0, x1, y1 = (float(n) for n in numbers)
    except ValueError as error:
        raise ValueError(
            f"--box {word}: give four numbers x0,y0,x1,y1 in pixels, such as 4,2,28,12"
        ) from error
    return x0, y0, x1, y1


def add(verbs: Any) -> None:
    """The verb and its options."""
    one = verbs.add_parser("paint", help="paint over a part of a picture, as a surrogate made by hand")
    one.add_argument("target", help="a picture file, or a picture of the world by name")
    out = "folder for the painted picture, named like its target, its folders included (default painted)"
    one.add_argument("--out", default="painted", help=out)
    world = "where a name is looked up: miniature or paper (default miniature)"
    one.add_argument("--world", default="miniature", help=world)
    one.add_argument("--real", help="folder in which a name is looked up, instead of the world's")
    size = "pixels a side; the default leaves a picture as large as it is"
    one.add_argument("--size", type=int, default=0, help=size)
    one.add_argument("--background", default="white", help=BACKGROUND)
    where = one.add_mutually_exclusive_group(required=True)
    box = "region to paint over, in pixels from the top left corner; may be repeated"
    where.add_argument("--box", action="append", default=[], metavar="X0,Y0,X1,Y1", help=box)
    where.add_argument("--mask", help="picture of the same size, light where to paint")
    fill = "inpaint (from the surroundings, the default) or a colour, by name or #rrggbb"
    one.add_argument("--fill", default="inpaint", help=fill)
    one.set_defaults(run=paint)
