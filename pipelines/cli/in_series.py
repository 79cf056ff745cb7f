"""A hotfix in a series: it starts from the champion, verifies earlier requests again, and is registered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpromptable.releasing import begun
from unpromptable.releasing.begun import HELD
from unpromptable.storage import files

from . import series as commands
from .options import say

if TYPE_CHECKING:
    from unpromptable.releasing.earlier import Checked
    from unpromptable.releasing.gates import Finding
    from unpromptable.releasing.request import Request
    from unpromptable.releasing.series import Entry
    from unpromptable.reporting.row import Row
    from unpromptable.scoring.estimates import Estimate
    from unpromptable.tracking.registry import Version


@dataclass(frozen=True)
class Alone:
    """A request of no series."""

    asked: Request
    digest: str  # SHA-256 of the request's file, as it was read

    def rechecked(self, row: Row) -> list[Finding]:
        """No earlier requests."""
        return []

    def told(self, row: Row | None) -> None:
        """Nothing of a series."""

    def end(self, outcome: str, row: Row | None, attempts: dict[str, list[Finding]], console: Any) -> None:
        """Nothing is registered."""

    def clear(self) -> None:
        """Nothing was copied."""


@dataclass(frozen=True)
class Going:
    """A request of a series on its way."""

    asked: Request  # from the champion's folder, of no series to the steps
    digest: str  # SHA-256 of the request's file, as it was read
    name: str  # of the series
    path: Path  # the request's file
    out: Path
    home: Path  # the series' folder
    champion: Version | None
    base: str  # digest of the champion's model
    line: tuple[Entry, ...]  # the releases that led to the champion
    checked: dict[str, list[Checked]] = field(default_factory=dict)  # by attempt

    def rechecked(self, row: Row) -> list[Finding]:
        """The gates of earlier requests on an attempt."""
        from unpromptable.releasing import earlier, series

        if row.name not in self.checked:
            self.checked[row.name] = earlier.check(self.line, self.out / series.RUN, row.folder)
        return [f for number, one in enumerate(self.checked[row.name], 1) for f in one.finding(number)]

    def told(self, row: Row | None) -> dict[str, Any]:
        """What the certificate says of the series. Raises ValueError where its champion is another now."""
        now, model = commands.champion(self.home, self.name)
        was = self.champion.number if self.champion else ""
        number = now.number if now else ""
        if (number, model) != (was, self.base):
            raise ValueError(f"{self.out}: {begun.changed(self.name, was, number)}")
        base = {"version": was, "model": self.base} if was else None
        again = [one.told() for one in self._again(row)]
        return {"name": self.name, "champion": base, "earlier": again}

    def _again(self, row: Row | None) -> list[Checked]:
        """What was found of earlier targets on an attempt; nothing where no model was made."""
        return self.checked[row.name] if row else []

    def end(self, outcome: str, row: Row | None, attempts: dict[str, list[Finding]], console: Any) -> None:
        """Register what is released as the candidate, and note the request either way."""
        from unpromptable.releasing import certificate, series

        passes = outcome == certificate.RELEASED
        for one in self._again(row):
            if one.why:
                say(console, f"earlier  {one.entry.name} cannot be re-verified: {one.why}")
        entry = self._entry(outcome, row, attempts)  # before anything is registered
        with files.locked(self.home / ".lock"):
            number = self._registered() if passes else ""
            series.add(self.home, replace(entry, version=number))
        name = self.name
        if passes:
            say(console, f"series   version {number} of {name} is its candidate: unpromptable promote {name}")
        commands.page(self.home, name, console)

    def clear(self) -> None:
        """Remove the copy of what earlier requests forgot, which a purge of their own runs would not find."""
        from unpromptable.releasing import series

        (self.out / series.RUN / HELD).unlink(missing_ok=True)

    def _registered(self) -> str:
        """The version of what was released."""
        from unpromptable.planning import spec as planned
        from unpromptable.releasing import certificate, series
        from unpromptable.tracking import registry

        release, e = self.out / series.RELEASE, planned.read(self.out / series.RUN).experiment
        drawn = {"sampler": e.sampling.sampler, "steps": e.sampling.steps, "batch": e.sampling.together}
        digests = self.digest, certificate.identity(release)
        config = {"family": e.model.name, **drawn}
        return registry.register(self.home, self.name, release, *digests, config)

    def _entry(self, outcome: str, row: Row | None, attempts: dict[str, list[Finding]]) -> Entry:
        """What the series keeps of the request, of no version yet."""
        from unpromptable.releasing import drift, earlier, gates, series

        judged = attempts[row.name] if row else []
        forgotten = next((f for f in judged if f.metric == "sscd"), None)
        own = {m: row.value(m) for m in drift.METRICS} if row else {}
        far: dict[str, Estimate] | None = own
        if row and self.line:
            far = drift.measure(self.line[0].run, self.out / series.RUN, row.folder)
        return series.Entry(
            name=self.asked.name,
            sha256=self.digest,
            request=str(self.path.resolve()),
            folder=str(self.out),
            row=row.folder if row else "",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            outcome=outcome,
            version="",
            base=self.champion.number if self.champion else "",
            bound=forgotten.bound if forgotten else None,
            gates=tuple(gates.told(judged)),
            tried=len(attempts),
            budget=self.asked.attempts,
            own=own,
            drift=far,
            sscd=forgotten.mean if forgotten else None,
            earlier={one.entry.sha256: one.values for one in self._again(row)},
            tested=earlier.tested(self.out / series.RUN),
        )


def begin(asked: Request, digest: str, path: Path, out: Path, given: str | None) -> Alone | Going:
    """Where a request starts from: of a series the champion's folder, with what shows earlier targets left
    out of the pictures to keep. digest: SHA-256 of its file as it was read; given: the series' folder.

    Raises ValueError where there is no such start, or another request's folder is `out`; FileNotFoundError
    where an earlier request's run is not there.
    """
    from unpromptable.releasing import attempts, certificate, earlier, series

    if not asked.series:
        attempts.check(asked)
        begun.pin(out, asked, "", "")
        return Alone(asked, digest)
    name = asked.series
    folder = commands.home(name, given)
    champion, line = _start(asked, digest, path, folder)
    model, base = asked.model, ""
    if champion:
        release = commands.verified(folder, name, champion, "champion", None)
        model, base = str(release / certificate.MODEL), certificate.identity(release)
    started = replace(asked, series="", model=model)
    attempts.check(started)
    begun.pin(out, asked, champion.number if champion else "", base, folder)
    asked = started
    sets: dict[str, Any] = {}
    if left := earlier.kept_out(asked, line, out / ".keep"):
        sets["remember.leave_out"] = list(left)
    if earlier.hold(line, held := out / series.RUN / HELD):
        sets["training.held"] = str(held)
    asked = replace(asked, settings={**asked.settings, **sets})
    return Going(asked, digest, name, path, out, folder, champion, base, line)


def _start(asked: Request, digest: str, path: Path, folder: Path) -> tuple[Version | None, tuple[Entry, ...]]:
    """The champion and what led to it. Raises ValueError where the request names another start."""
    from unpromptable.releasing import request, series
    from unpromptable.tracking import registry

    name, entries, wanted = asked.series, series.read(folder), asked.model == request.CHAMPION
    if wanted and not entries:
        raise ValueError(f"request.model is champion: {folder} holds no series {name}; name a folder first")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    champion = registry.version(folder, name, registry.CHAMPION)
    if wanted and not champion:
        raise ValueError(f"request.model is champion: series {name} has none; promote its candidate first")
    if champion and not wanted:
        told = f"series {name} has a champion, version {champion.number}"
        raise ValueError(f"{path}: {told}; say `model: champion`, or another series for another model")
    line = tuple(series.line(entries, champion.number if champion else "", folder))
    for entry in line:
        if entry.sha256 == digest:
            raise ValueError(f"{path}: version {entry.version} of series {name} answers this request already")
    return champion, line
