"""hotfix, verify, key: a request to forget, answered by a certified model, or refused with the reason."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from unpromptable.planning import reading

from . import local, running
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
    fix.set_defaults(run=hotfix)
    verify_ = verbs.add_parser("verify", help="check a release against its certificate, offline")
    verify_.add_argument("folder", help="the release's folder")
    verify_.add_argument("--key", help="the operator's public key; without it only hashes are compared")
    verify_.add_argument("--request", help="the request's file, if it is to be the one that was answered")
    verify_.set_defaults(run=verify)
    key_ = verbs.add_parser("key", help="make a key pair that signs certificates")
    key_.add_argument("file", help="where the private key is to lie; the public one lies beside it, as .pub")
    key_.set_defaults(run=key)


def hotfix(a: argparse.Namespace, console: Any) -> int:
    """Try one attempt after another until every gate holds; release it, or say why there is none."""
    from unpromptable.releasing import attempts, certificate, gates, release, request, signing

    path = _file(a.request)
    asked = request.read(path)
    key = Path(a.key) if a.key else None
    if key:
        signing.private(key)  # a wrong key is told before any work
    first = attempts.check(asked)
    out = Path(a.out or f"runs/{asked.name}").resolve()
    base = _looked(asked, first.experiment, out, console)
    bounds = gates.of(asked.gates, base.unrelated)
    found: certificate.Attempts = {}
    rows: dict[str, Any] = {}
    if base.ceiling.mean >= bounds["sscd"] and not _attempted(
        asked, bounds, out, a.threads, rows, found, console
    ):
        return 1
    chosen = rows[gates.best(found)] if found else None
    outcome = release.write(out / "release", asked, path, out / "run", base, chosen, found, key)
    return _ended(outcome, chosen, out / "release", a.key, console)


def _file(word: str) -> Path:
    """The file of a request: of that path, or one that ships."""
    path, shipped = Path(word), REQUESTS / f"{word}.yaml"
    return shipped if not path.exists() and shipped.is_file() else path


def _looked(asked: Any, experiment: Any, out: Path, console: Any) -> Any:
    """Prepare the run, by the steps that its attempts go on from, and judge the base model."""
    from unpromptable.execution import plan_step, prepare_step
    from unpromptable.planning import spec as planned
    from unpromptable.releasing import attempts
    from unpromptable.releasing import base as bases
    from unpromptable.storage import once

    store = out / "run"
    store.mkdir(parents=True, exist_ok=True)
    text = reading.write(asked.experiment([attempts.following(asked, {})]))
    say(console, f"request  {asked.name}: {len(asked.forget)} to forget; looking at the base model")
    with running.alone(store):
        plan_step.plan(text, asked.world, asked.settings, str(store))
        if not prepare_step.prepare(text, str(store)):
            raise ValueError(f"{(once.failure(str(store)) or {}).get('error', 'the run cannot be prepared')}")
        shared = planned.read(store).shared
        made = lambda name, stage: shared.output(store, "prepare", name, stage).path
        base = bases.look(experiment, made("data.safetensors", "data"), made("pretrained", "pretrained"))
    _described(base, console)
    return base


def _described(base: Any, console: Any) -> None:
    for number, e in enumerate(base.ceilings, 1):
        say(console, f"target {number}  what the base model makes of it is {e.mean:.3f} like it")
    say(
        console, f"others   one in a hundred pictures to keep is more than {base.unrelated:.3f} like a target"
    )
    if base.copies:
        say(console, f"copies   {base.copies} pictures to keep show a target, and are left out")


def _attempted(
    asked: Any, bounds: dict[str, float], out: Path, threads: int, rows: Any, found: Any, console: Any
) -> bool:
    """Fill rows and what the gates say of them, attempt by attempt; False where a run has no result."""
    from unpromptable.releasing import attempts, gates

    cells: list[dict[str, Any]] = []
    while cell := attempts.following(asked, found):
        cells.append(cell)
        row = _tried(asked, cells, out, threads, console)
        if row is None:
            return False
        rows[row.name], found[row.name] = row, gates.judged(row, bounds)
        if _told(row, found[row.name], console):
            break
    return True


def _tried(asked: Any, cells: list[dict[str, Any]], out: Path, threads: int, console: Any) -> Any:
    """Run the experiment with these cells, of which all but the last are finished; the last one's row, or
    None where it has no result.
    """
    from unpromptable.reporting.row import read_rows

    text = out / "experiment.yaml"
    text.write_text(reading.write(asked.experiment(cells)))
    sets = [f"{k}={reading.write(v).strip()}" for k, v in asked.settings.items()]
    run = argparse.Namespace(
        experiment=str(text), world=asked.world, set=sets, out=str(out / "run"), threads=threads
    )
    code = local.run(run, console)
    rows = {r.name: r for r in read_rows(out / "run" / "rows.json")} if not code else {}
    return rows.get(cells[-1]["name"])


def _told(row: Any, findings: list[Any], console: Any) -> bool:
    """Say what an attempt came to; whether it passes every gate."""
    passes = all(f.holds for f in findings)
    say(console, f"attempt  {row.name}: {'passes' if passes else 'does not pass'}")
    for finding in findings:
        say(console, f"         {finding.line()}")
    return passes


def _ended(outcome: str, row: Any, folder: Path, key: str | None, console: Any) -> int:
    """Say what the request came to; the exit code."""
    from unpromptable.releasing import certificate

    if outcome == certificate.REFUSED:
        say(console, f"refused  no attempt passes every gate; the best is {row.name}, nothing was released")
        say(
            console,
            f"         why: {short(folder)}/certificate.html; raise `attempts`, or paint `surrogates`",
        )
        return REFUSED
    if outcome == certificate.NOTHING:
        say(console, "nothing  the base model does not bring a target back: nothing was trained or released")
        say(console, f"         certified in {short(folder)}")
        return 0
    say(console, f"released {short(folder)}: the model of {row.name}, its card and its certificate")
    public = f" --key {shlex.quote(str(Path(key).with_suffix('.pub')))}" if key else ""
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
        say(console, f"verified {short(Path(a.folder))}: {how}")
    return 1 if wrong else 0


def key(a: argparse.Namespace, console: Any) -> int:
    """Make a key pair."""
    from unpromptable.releasing import signing

    public = signing.create(Path(a.file))
    say(console, f"made     {a.file} (private: keep it) and {public} (public: give it to who verifies)")
    return 0
