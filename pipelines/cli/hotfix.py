"""hotfix, verify, sign, key: a request to forget, answered by a certified model, or refused."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unpromptable.planning import reading
from unpromptable.releasing import begun
from unpromptable.storage import fingerprints, once

from . import in_series, local, running, series
from .options import say, short

REQUESTS = Path(__file__).parents[1] / "requests"  # that ship
REFUSED = 3  # the exit code of a request that no attempt could answer


def add(verbs: Any) -> None:
    """The words of the three commands."""
    fix = verbs.add_parser(
        "hotfix", help="answer a request to forget: attempts, gates, and a certified model"
    )
    fix.add_argument(
        "request", help="a YAML file: name, model, forget, keep; or one that ships, such as two-people"
    )
    fix.add_argument("--out", help="folder of the attempts and the release (default runs/<name>)")
    fix.add_argument("--key", help="private key that signs the certificate; `key` makes a pair")
    fix.add_argument("--threads", type=int, default=0, help="threads per step, as for `local`")
    series.option(fix)
    fix.set_defaults(run=hotfix)
    verify_ = verbs.add_parser("verify", help="check a release against its certificate, offline")
    verify_.add_argument("folder", help="the release's folder")
    verify_.add_argument("--key", help="the operator's public key; without it only hashes are compared")
    verify_.add_argument("--request", help="the request's file, if it is to be the one that was answered")
    verify_.set_defaults(run=verify)
    sign_ = verbs.add_parser("sign", help="sign the certificate of a release that came from a cluster")
    sign_.add_argument("folder", help="the release's folder")
    sign_.add_argument("--key", required=True, help="the operator's private key")
    sign_.set_defaults(run=sign)
    key_ = verbs.add_parser("key", help="make a key pair that signs certificates")
    key_.add_argument("file", help="where the private key is to lie; the public one lies beside it, as .pub")
    key_.set_defaults(run=key)


def hotfix(a: argparse.Namespace, console: Any) -> int:
    """Try one attempt after another until every gate holds; release it, or say why there is none."""
    from unpromptable.releasing import request, signing

    path = _file(a.request)
    asked, digest = request.opened(path)
    key = Path(a.key) if a.key else None
    if key:
        signing.private(key)  # a wrong key is told before any work
    out = Path(a.out or f"runs/{asked.name}").resolve()
    running.heed()
    going = in_series.begin(asked, digest, path, out, a.series_folder)
    try:
        code = _answer(going, out, key, a.threads, console)
    finally:
        going.clear()
    if not path.is_file() or fingerprints.sha256(path) != digest:
        say(console, f"changed  {short(path)} is another since it was read: it was answered as it was then")
    return code


def _answer(going: Any, out: Path, key: Path | None, threads: int, console: Any) -> int:
    """All attempts, and what they came to; the exit code."""
    from unpromptable.execution import answering
    from unpromptable.releasing import release, request

    asked, store = going.asked, out / "run"
    base = _looked(asked, store, console)
    so_far = _attempted(going, out, threads, console)
    if so_far.following or so_far.best is None and not so_far.nothing:
        return 1  # the run has said why
    best, found = so_far.best, so_far.judged
    how = (store, base, best, found, key, going.told(best))
    outcome = release.write(out / answering.RELEASE, asked, going.digest, *how)
    going.end(outcome, best, found, console)
    more = len(so_far.found) >= asked.attempts < request.ATTEMPTS
    return _ended(outcome, best, out / answering.RELEASE, key, more, console)


def _file(word: str) -> Path:
    """The file of a request: of that path, or one that ships."""
    path, shipped = Path(word), REQUESTS / f"{word}.yaml"
    return shipped if not path.exists() and shipped.is_file() else path


def _looked(asked: Any, store: Path, console: Any) -> Any:
    """Prepare the run, by the steps that its attempts go on from, and judge the base model."""
    from unpromptable.execution import answering
    from unpromptable.releasing import base as bases

    store.mkdir(parents=True, exist_ok=True)
    say(console, f"request  {asked.name}: {len(asked.forget)} to forget; looking at the base model")
    with running.alone(store), _without_traces():
        answering.look(asked.to_text(), str(store))
    base = bases.read(store / answering.BASE)
    for number, e in enumerate(base.ceilings, 1):
        say(console, f"target {number}  what the base model makes of it is {e.mean:.3f} like it")
    say(console, f"others   unrelated pictures to keep are up to {base.unrelated:.3f} like a target")
    if base.copies:
        say(console, f"copies   {base.copies} pictures to keep show a target, and are left out")
    return base


@contextmanager
def _without_traces() -> Iterator[None]:
    """A step that works in this process says what stopped it, and the command's own line says it again."""
    log = logging.getLogger(once.__name__)
    log.addFilter(_traceless)
    try:
        yield
    finally:
        log.removeFilter(_traceless)


def _traceless(record: logging.LogRecord) -> bool:
    """Leave out a traceback of bad input, and of what the machine refused; a bug's stays."""
    if record.exc_info and isinstance(record.exc_info[1], once.FORESEEN):
        record.exc_info = None
    return True


def _attempted(going: Any, out: Path, threads: int, console: Any) -> Any:
    """Run attempt after attempt, and tell each as it ends. Where `following` is left, it has no result."""
    from unpromptable.execution import answering

    tried = lambda: answering.tried(going.asked, out / "run", going.rechecked)
    told, so_far = set[str](), tried()
    while True:
        for name in [n for n in so_far.found if n not in told]:
            _told(name, so_far.found[name], console)
            told.add(name)
        following = so_far.following
        if following is None:
            return so_far
        _run(going.asked, [*so_far.cells, following], out, threads, console)
        so_far = tried()
        if so_far.following == following:
            return so_far


def _run(asked: Any, cells: list[dict[str, Any]], out: Path, threads: int, console: Any) -> None:
    """Run the experiment with these cells, of which all but the last are finished."""
    text = out / begun.EXPERIMENT
    text.write_text(reading.write(asked.experiment(cells)))
    sets = [f"{k}={reading.write(v).strip()}" for k, v in asked.settings.items()]
    given = {"experiment": str(text), "world": asked.world, "set": sets, "out": str(out / "run")}
    local.run(argparse.Namespace(**given, threads=threads), console)


def _told(name: str, findings: list[Any], console: Any) -> None:
    """Say what an attempt came to."""
    passes = bool(findings) and all(f.holds for f in findings)
    word = "passes" if passes else "does not pass" if findings else "failed; its log says why"
    say(console, f"attempt  {name}: {word}")
    for finding in findings:
        say(console, f"         {finding.line()}")


def _ended(outcome: str, row: Any, folder: Path, key: Path | None, more: bool, console: Any) -> int:
    """Say what the request came to; the exit code. more: whether another attempt may be asked for."""
    from unpromptable.releasing import certificate, signing

    if outcome == certificate.REFUSED:
        say(console, f"refused  no attempt passes every gate; the best is {row.name}, nothing was released")
        remedy = "paint `surrogates`" + (", or raise `attempts`" if more else "")
        say(console, f"         why: {short(folder)}/certificate.html; {remedy}")
        return REFUSED
    if outcome == certificate.NOTHING:
        say(console, "nothing  the base model does not bring a target back: nothing was trained or released")
        say(console, f"         certified in {short(folder)}")
        return 0
    say(console, f"released {short(folder)}: the model of {row.name}, its card and its certificate")
    public = f" --key {shlex.quote(str(signing.beside(key)))}" if key else ""
    say(console, f"check it with  unpromptable verify {shlex.quote(short(folder))}{public}")
    return 0


def verify(a: argparse.Namespace, console: Any) -> int:
    """Say whether a release is as it was certified."""
    from unpromptable.releasing import certificate

    public = Path(a.key) if a.key else None
    wrong = certificate.verify(Path(a.folder), public, Path(a.request) if a.request else None)
    for line in wrong:
        say(console, f"wrong    {line}")
    if not wrong:
        how = (
            "its signature and its hashes hold" if public else "its hashes hold; give --key for its signature"
        )
        outcome = certificate.read(Path(a.folder))["outcome"]
        say(console, f"verified {short(Path(a.folder))} ({outcome}): {how}")
    return 1 if wrong else 0


def sign(a: argparse.Namespace, console: Any) -> int:
    """Sign a release whose files are as its certificate says."""
    from unpromptable.releasing import certificate

    folder = Path(a.folder)
    wrong = certificate.verify(folder, None)
    for line in wrong:
        say(console, f"wrong    {line}")
    if wrong:
        say(console, "nothing was signed")
        return 1
    certificate.sign(folder, Path(a.key))
    say(console, f"signed   {short(folder)}")
    return 0


def key(a: argparse.Namespace, console: Any) -> int:
    """Make a key pair."""
    from unpromptable.releasing import signing

    public = signing.create(Path(a.file))
    say(console, f"made     {a.file} (private: keep it) and {public} (public: give it to who verifies)")
    return 0
