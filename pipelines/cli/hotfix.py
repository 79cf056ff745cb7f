"""hotfix, verify, key: a request to forget, answered by a certified model, or refused with the reason."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from unpromptable.planning import reading

from . import local
from .options import say, short

REFUSED = 3  # the exit code of a request that no attempt could answer


def add(verbs: Any) -> None:
    """The words of the three commands."""
    fix = verbs.add_parser(
        "hotfix", help="answer a request to forget: attempts, gates, and a certified model"
    )
    fix.add_argument("request", help="a YAML file: name, model, forget, keep")
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
    from unpromptable.releasing import attempts, gates, release, request, signing

    path = Path(a.request)
    asked = request.read(path)
    key = Path(a.key) if a.key else None
    if key:
        signing.private(key)  # a wrong key is told before any work
    attempts.check(asked)
    out = Path(a.out or f"runs/{asked.name}").resolve()
    cells, found, rows = attempts.of(asked), {}, {}
    for number in range(1, len(cells) + 1):
        row = _tried(asked, cells[:number], out, a.threads, console)
        if row is None:
            return 1
        rows[row.name], found[row.name] = row, gates.judged(row, asked.gates)
        if _told(row, found[row.name], asked.gates, console):
            break
    chosen = rows[gates.best(found)]
    passes = release.write(out / "release", asked, path, out / "run", chosen, found, key)
    return _ended(passes, chosen, out / "release", a.key, console)


def _tried(asked: Any, cells: list[dict[str, Any]], out: Path, threads: int, console: Any) -> Any:
    """Run the experiment with these cells, of which all but the last are finished; the last one's row, or
    None where it has no result.
    """
    from unpromptable.reporting.row import read_rows

    out.mkdir(parents=True, exist_ok=True)
    text = out / "experiment.yaml"
    text.write_text(reading.write(asked.experiment(cells)))
    sets = [f"{k}={reading.write(v).strip()}" for k, v in asked.settings.items()]
    run = argparse.Namespace(
        experiment=str(text), world=asked.world, set=sets, out=str(out / "run"), threads=threads
    )
    code = local.run(run, console)
    rows = {r.name: r for r in read_rows(out / "run" / "rows.json")} if not code else {}
    return rows.get(cells[-1]["name"])


def _told(row: Any, findings: list[Any], bounds: dict[str, float], console: Any) -> bool:
    """Say what an attempt came to; whether it passes every gate."""
    passes = all(f.holds for f in findings)
    say(console, f"attempt  {row.name}: {'passes' if passes else 'does not pass'}")
    for finding in findings:
        say(console, f"         {finding.line()}")
    if row.value("sscd_ceiling").mean < bounds["sscd"]:
        say(
            console,
            "         the base model does not bring the target back either: there is little to forget",
        )
    return passes


def _ended(passes: bool, row: Any, folder: Path, key: str | None, console: Any) -> int:
    if passes:
        say(console, f"released {short(folder)}: the model of {row.name}, its card and its certificate")
        public = f" --key {shlex.quote(str(Path(key).with_suffix('.pub')))}" if key else ""
        say(console, f"check it with  unpromptable verify {shlex.quote(short(folder))}{public}")
        return 0
    say(console, f"refused  no attempt passes every gate; the best is {row.name}, and nothing was released")
    say(console, f"         why: {short(folder)}/certificate.html; raise `attempts`, or paint `surrogates`")
    return REFUSED


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
