"""paint: a surrogate by hand for a person without a paint program: mask a region of the target and fill
it.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any


def paint(a: argparse.Namespace, console: Any) -> int:
    """Open the target, cover the boxes or the mask, write the painted picture where the editor `paint` looks
    for it.
    """
    from unpromptable.editing import painting
    from unpromptable.planning import plan

    image = painting.open_target(a.target, a.real or plan.read_world(a.world)["real"], a.size, a.background)
    mask = (
        painting.read_mask(Path(a.mask), len(image))
        if a.mask
        else painting.boxes_mask([_box(b) for b in a.box], len(image))
    )
    painted = painting.fill(image, mask, a.fill)
    share = painting.check(f"--fill {a.fill}", a.target, painted, image)
    path = painting.save(painted, Path(a.out), a.target)
    console.print(
        f"painted  {path}: {share:.1%} of {len(image)} x {len(image)} pixels changed",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    hint = shlex.join(
        [
            "--set",
            f"forget={json.dumps([a.target], ensure_ascii=False)}",
            "--set",
            "editor.name=paint",
            "--set",
            f"editor.folder={a.out}",
        ]
    )
    console.print(f"use it with  {hint}", highlight=False, soft_wrap=True, markup=False)
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
    one.add_argument(
        "--out",
        default="painted",
        help="folder for the painted picture, named like its target, its folders included (default painted)",
    )
    one.add_argument(
        "--world",
        default="miniature",
        help="where a name is looked up: miniature or paper (default miniature)",
    )
    one.add_argument("--real", help="folder in which a name is looked up, instead of the world's")
    one.add_argument(
        "--size", type=int, default=0, help="pixels a side; the default leaves a picture as large as it is"
    )
    one.add_argument(
        "--background",
        default="white",
        help=(
            "what transparent parts of the target are laid on, as pictures.background of the experiment: a"
            " colour's name or #rrggbb (default white)"
        ),
    )
    where = one.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="X0,Y0,X1,Y1",
        help="region to paint over, in pixels from the top left corner; may be repeated",
    )
    where.add_argument("--mask", help="picture of the same size, light where to paint")
    one.add_argument(
        "--fill",
        default="inpaint",
        help="inpaint (from the surroundings, the default) or a colour, by name or #rrggbb",
    )
    one.set_defaults(run=paint)
