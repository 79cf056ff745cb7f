"""promote, rollback, history: a series of releases in MLflow's model registry, and its page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpromptable.storage import files

from .options import say, short

if TYPE_CHECKING:
    from unpromptable.tracking.registry import Version


def add(verbs: Any) -> None:
    """The words of the three commands."""
    what = {
        "promote": (promote, "make a series' candidate its champion, from which the next request starts"),
        "rollback": (rollback, "make the champion before the champion again"),
        "history": (history, "write a series' page: integrity over its releases, and what stays forgotten"),
    }
    for name, (run, says) in what.items():
        one = verbs.add_parser(name, help=says)
        one.add_argument("series", metavar="SERIES", help="its name, `series` in the requests")
        option(one)
        if name != "history":
            key = "the operator's public key; without it only hashes are compared"
            one.add_argument("--key", help=key)
        one.set_defaults(run=run)


def option(parser: argparse.ArgumentParser) -> None:
    """The option that says where a series lies."""
    where = "folder of the series: its entries and page, and without a server its registry"
    parser.add_argument("--series-folder", help=f"{where} (default releases/SERIES)")


def home(name: str, given: str | None) -> Path:
    """A series' folder. Raises ValueError where that is no name of one."""
    from unpromptable.releasing import request

    request.check_name("series", name)
    return Path(given or f"releases/{name}").resolve()


def _there(a: argparse.Namespace) -> Path:
    """The folder of a series that has begun. Raises FileNotFoundError where none has."""
    from unpromptable.releasing import series

    folder = home(a.series, a.series_folder)
    if not (folder / series.FILE).is_file():
        raise FileNotFoundError(
            f"{folder}: no series; a hotfix whose request says `series: {a.series}` begins one"
        )
    return folder


def promote(a: argparse.Namespace, console: Any) -> int:
    """Make the candidate the champion, where it verifies and began from the champion that is."""
    from unpromptable.releasing import certificate
    from unpromptable.tracking import registry

    folder, key = _there(a), Path(a.key) if a.key else None
    with files.locked(folder / ".lock"):
        candidate = registry.version(folder, a.series, registry.CANDIDATE)
        if candidate is None:
            raise ValueError(f"series {a.series}: no candidate; a hotfix that passes its gates makes one")
        _noted(folder, a.series, candidate)
        release = verified(folder, a.series, candidate, registry.CANDIDATE, key)
        _follows(folder, a.series, candidate, certificate.read(release).get("series") or {})
        registry.promote(folder, a.series, candidate)
    say(console, f"promoted version {candidate.number} of {a.series}: it is the champion")
    page(folder, a.series, console)
    return 0


def _noted(folder: Path, name: str, candidate: Version) -> None:
    """Raise ValueError where a candidate was registered, and its hotfix was ended before it was noted."""
    from unpromptable.releasing import series

    if candidate.number not in (e.version for e in series.read(folder)):
        raise ValueError(
            f"series {name}: its candidate, version {candidate.number}, has no entry in"
            f" {folder / series.FILE}; run its hotfix again, which notes it"
        )


def _follows(folder: Path, name: str, candidate: Version, certified: dict[str, Any]) -> None:
    """Raise ValueError where a candidate began from another model than the champion, or is of no series."""
    began = certified.get("champion") or {"version": "", "model": ""}
    now, model = champion(folder, name)
    if certified.get("name") == name and began["model"] == model:
        return
    words = lambda number: f"version {number}" if number else "a folder"
    raise ValueError(
        f"series {name}: its candidate, version {candidate.number}, began from {words(began['version'])}, and"
        f" the champion is {words(now.number) if now else 'none'} now or was altered; answer its request"
        " anew with another --out; the champion stays"
    )


def champion(folder: Path, name: str) -> tuple[Version | None, str]:
    """The champion, and the digest of its model as its files are now; None and an empty text for none."""
    from unpromptable.releasing import certificate
    from unpromptable.tracking import registry

    found = registry.version(folder, name, registry.CHAMPION)
    return found, certificate.identity(registry.fetched(folder, name, found)) if found else ""


def verified(folder: Path, name: str, found: Version, alias: str, key: Path | None) -> Path:
    """The release of a version. Raises ValueError where it is not what was certified."""
    from unpromptable.releasing import certificate
    from unpromptable.tracking import registry

    release = registry.fetched(folder, name, found)
    wrong = certificate.verify(release, key)
    if wrong:
        raise ValueError(
            f"series {name}: its {alias}, version {found.number}, does not verify ({'; '.join(wrong[:3])});"
            " the champion stays"
        )
    return release


def rollback(a: argparse.Namespace, console: Any) -> int:
    """Make the champion before the champion again, where it verifies."""
    from unpromptable.tracking import registry

    folder, key = _there(a), Path(a.key) if a.key else None
    with files.locked(folder / ".lock"):
        now = registry.version(folder, a.series, registry.CHAMPION)
        if now is None or not now.before:
            which = f"version {now.number}, was the first" if now else "none"
            raise ValueError(f"series {a.series}: nothing to go back to; its champion is {which}")
        before = registry.numbered(folder, a.series, now.before)
        verified(folder, a.series, before, "champion before", key)
        registry.back(folder, a.series, now)
    say(console, f"back     version {before.number} of {a.series} is the champion again")
    say(console, f"         what version {now.number} forgot, it may show: answer that request anew")
    page(folder, a.series, console)
    return 0


def history(a: argparse.Namespace, console: Any) -> int:
    """Write the series' page, and say in a sentence whether retraining is the better answer."""
    page(_there(a), a.series, console)
    return 0


def page(folder: Path, name: str, console: Any) -> None:
    """Write the series' page, and say what it says."""
    from unpromptable.releasing import history, series
    from unpromptable.tracking import registry

    found = [registry.version(folder, name, a) for a in (registry.CHAMPION, registry.CANDIDATE)]
    champion, candidate = (one.number if one else "" for one in found)
    told = history.write(folder, name, series.read(folder), champion, candidate)
    say(console, f"history  {told}")
    say(console, f"         {short(folder / history.PAGE)}")
