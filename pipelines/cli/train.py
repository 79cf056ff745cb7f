"""train: a DDPM on a folder of images, for experiments on your own pictures."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from rich.console import Console


def add(verbs: Any) -> None:
    """The command's words."""
    parser = verbs.add_parser("train", help="train a DDPM on a folder of images")
    parser.add_argument("folder")
    parser.add_argument("--out", required=True)
    parser.add_argument("--size", type=int, default=32, help="pixels a side (default 32)")
    parser.add_argument("--flip", action="store_true", help="mirror pictures at random")
    for name, kind in (("steps", int), ("minutes", float), ("lr", float), ("seed", int), ("channels", str)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument(
        "--prediction", help="what the network outputs: epsilon (the default), v_prediction or sample"
    )
    parser.set_defaults(run=run)


def run(a: argparse.Namespace, console: Console) -> int:
    """Train a DDPM on a folder of images, for experiments on your own pictures."""
    from unpromptable.execution import train_command
    from unpromptable.pretraining.ddpm import widths

    if a.size < 1:
        raise ValueError(f"--size is {a.size}; it must be at least 1 pixel a side")
    settings = {
        k: v
        for k, v in (
            ("steps", a.steps),
            ("minutes", a.minutes),
            ("lr", a.lr),
            ("seed", a.seed),
            ("prediction", a.prediction),
        )
        if v is not None
    }
    if a.channels:
        settings["channels"] = widths(a.channels)
    summary = train_command.train(
        a.folder,
        a.out,
        a.size,
        a.flip,
        lambda k, n, text: console.print(f"step {k}/{n}  {text}", highlight=False, markup=False),
        **settings,
    )
    console.print(
        f"{summary['steps']} steps on {summary['images']} images, loss {summary['loss']:.4f},"
        f" {summary['minutes']} minutes; use it with "
        f" {shlex.join(['--set', f'model.source={a.out}', '--set', f'real={a.folder}'])}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    return 0
