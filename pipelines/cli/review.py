"""review: a page for people without a terminal, on this machine alone unless a token guards it."""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import os
import re
import shutil
import tempfile
from pathlib import Path
from threading import Event
from typing import Any

from . import running
from .options import override, overrides, say, short

TOKEN = "UNPROMPTABLE_REVIEW_TOKEN"
SHORTEST = 16  # characters of a token: it is all that guards the page from a network
UPLOADS = "_uploads"  # of the page's folder; a reference never begins like this


def add(verbs: Any) -> None:
    """The command's words."""
    one = verbs.add_parser("review", help="a page: drop a picture, paint, compare, approve or reject")
    one.add_argument("--model", required=True, help="a diffusers folder, or a name on the hub")
    one.add_argument("--keep", required=True, help="folder of pictures that the model is to go on producing")
    one.add_argument("--out", default="runs/review", help="folder of the requests (default runs/review)")
    one.add_argument("--key", help="private key that signs the certificates; `key` makes a pair")
    one.add_argument("--world", default="paper", help="whose hyperparameters hold: paper or miniature")
    one.add_argument("--family", default="ddpm", help="the model's family: ddpm or sd3 (default ddpm)")
    one.add_argument("--prompt", default="", help="of a prompted family")
    one.add_argument("--gate", action="append", default=[], metavar="METRIC=BOUND", help=GATE)
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for `local`")
    one.add_argument("--host", default="127.0.0.1", help="address to listen on; another one needs a token")
    one.add_argument("--port", type=int, default=7860, help="its port (default 7860)")
    one.add_argument("--public", default="", metavar="ADDRESS", help=PUBLIC)
    one.add_argument("--token", help=f"what the page asks for; better given as {TOKEN}")
    one.set_defaults(run=review)


PUBLIC = "the address that people open, where a proxy gives the page another one; it needs a token"
GATE = "a bound of a release instead of the default, such as lpips=0.3; may be repeated"


def review(a: argparse.Namespace, console: Any) -> int:
    """Serve the page until it is interrupted."""
    if importlib.util.find_spec("gradio") is None:
        raise ValueError("the page needs gradio, which is not here; pip install '.[review]' in the clone")
    token, public = _token(a.host, a.token or os.environ.get(TOKEN, ""), a.public), _public(a.public)
    from pipelines.review import asked

    policy = _policy(a)
    policy.out.mkdir(parents=True, exist_ok=True, mode=0o700)
    with running.alone(policy.out):
        asked.check(policy)
        os.umask(0o077)
        running.heed()
        _serve(policy, _fresh(policy.out / UPLOADS), console, a.host, a.port, token, public)
    return 0


def _serve(policy: Any, uploads: Path, console: Any, *where: Any) -> None:
    """What is uploaded lies in a folder of this user alone, and goes with the page."""
    from pipelines.review.desk import Desk

    os.environ |= {"GRADIO_TEMP_DIR": str(uploads), "GRADIO_ANALYTICS_ENABLED": "False"}
    tempfile.tempdir = str(uploads)
    desk = Desk(policy)
    try:
        from pipelines.review import page

        with page.served(desk, uploads, *where) as address:
            say(console, f"open     {address}")
            say(console, f"stop     with Ctrl-C; the requests lie in {short(policy.out)}")
            Event().wait()
    finally:
        running.end_in_peace()
        desk.close()
        tempfile.tempdir = None
        shutil.rmtree(uploads)


def _fresh(uploads: Path) -> Path:
    """An empty folder for its owner alone; what a page that was killed left there goes."""
    if uploads.exists():
        shutil.rmtree(uploads)
    uploads.mkdir(mode=0o700)
    return uploads


def _public(given: str) -> str:
    """An address as browsers write it. Raises ValueError where it is none, or has a path."""
    found = re.fullmatch(r"(https?://[\w.-]+(?::\d+)?)/?", given.lower())
    if given and not found:
        raise ValueError(
            f"--public {given}: give an address without a path, such as https://review.example.org"
        )
    return found[1].removesuffix(":443" if found[1].startswith("https") else ":80") if found else ""


def _token(host: str, token: str, public: str = "") -> str:
    """The token to ask for. Raises ValueError where the page could be reached from elsewhere without one."""
    try:
        here = host == "localhost" or ipaddress.IPv4Address(host).is_loopback
    except ValueError as error:
        raise ValueError(f"--host {host}: give an IPv4 address, such as 127.0.0.1 or 0.0.0.0") from error
    if not token and (public or not here):
        where = f"--public {public}" if public else f"--host {host}"
        raise ValueError(
            f"{where} can be reached from other machines: set {TOKEN} to at least {SHORTEST}"
            f" characters, or leave {where.split()[0]} out"
        )
    if token and len(token) < SHORTEST:
        raise ValueError(f"the token has {len(token)} characters; give at least {SHORTEST}")
    return token


def _policy(a: argparse.Namespace) -> Any:
    """What the operator set. Raises ValueError or FileNotFoundError for what no request could be made of."""
    from pipelines.review.asked import Policy
    from unpromptable.planning import inputs
    from unpromptable.releasing import gates, signing

    if not Path(a.keep).is_dir():
        raise FileNotFoundError(f"--keep {a.keep}: no folder; name one with pictures to keep")
    key = Path(a.key).resolve() if a.key else None
    if key:
        signing.private(key)
    inputs.check_source("--model", a.model)
    form = "metric=bound, such as lpips=0.3"
    bounds = {k: _bound(k, v) for k, v in (override(word, "--gate", form) for word in a.gate)}
    gates.check(bounds)
    where = (a.model, a.keep, Path(a.out).resolve())
    return Policy(*where, a.world, a.family, a.prompt, bounds, overrides(a), key)


def _bound(metric: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"--gate {metric}={value}: give a number")
    return float(value)
