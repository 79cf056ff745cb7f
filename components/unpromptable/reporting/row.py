"""A cell's line in the results, and a group's; rows.json and groups.json hold them as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from unpromptable.planning.reading import shown
from unpromptable.planning.validation import said
from unpromptable.scoring.estimates import Estimate
from unpromptable.storage import files, records

# keys that every row has, in the file's order, and those of a row with a result; the metrics lie between them
HEAD = (
    *("name", "line", "cell", "folder", "method", "editor", "networks"),
    *("settings", "run_id", "status", "error"),
)
WEIGHTS = "unlearned/weights"  # in a row's inputs: the model that was judged, by `fingerprints.weights`
MEASURED = ("labels", "surrogates", "seconds", "inputs")
AnyRow = TypeVar("AnyRow", bound="Row")


@dataclass(frozen=True)
class Surrogate:
    """What a target was mapped to: its distances to the target, and whether they are fine."""

    target: str
    sscd: float
    lpips: float
    rms: float  # 0-255
    changed: float  # share of pixels
    closer: float  # share of the remember images that are closer to the target
    verdict: str  # fine | copy | unrelated | redrawn
    note: str  # the verdict in words; empty where it is fine


@dataclass(frozen=True, kw_only=True)
class Took:
    """What a step took, over all attempts at it."""

    seconds: float
    gpu_seconds: float  # devices times seconds; 0 without CUDA
    memory: int  # bytes: most of a process's resident memory
    gpu_memory: int  # bytes: most that was held of a device
    again: int  # attempts that were broken off, or whose output was lost
    images_per_second: float | None  # None of a step that counts no images
    share: float | None  # of the time that its operations need at cost.RATE; None where they are not known


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell: what it is, and its numbers or what failed. In JSON a metric is a key of the row itself."""

    name: str
    line: str  # of a table, which the cell is one of; empty where it is its own
    cell: str  # the readable part of the folder's name
    folder: str  # below the store
    method: str
    editor: str
    networks: str  # the metric networks
    settings: dict[str, Any]  # by dotted key
    run_id: str | None  # in MLflow
    status: str  # done | unsampled, as it does not forget | failed | waiting for another run of the sweep
    error: str | None
    metrics: dict[str, Estimate | None]  # None where there is no result
    again: tuple[str, ...] = ()  # attempts that the machine failed
    labels: dict[str, str] = field(default_factory=dict)  # what the metric networks measure, in words
    surrogates: tuple[Surrogate, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)  # by step
    inputs: dict[str, str] = field(default_factory=dict)  # SHA-256 by what was read
    origin: str = ""  # where its method's settings come from, in the words of planning.experiment
    stopped: str = ""  # at how many images it stopped drawing, and for which other cell
    took: dict[str, Took] = field(default_factory=dict)  # by step; it differs from run to run

    @property
    def done(self) -> bool:
        """Whether the row holds numbers."""
        return self.status == "done"

    @property
    def ended(self) -> bool:
        """Whether the cell came to its end: it has numbers, or was judged and not sampled."""
        return self.status in ("done", "unsampled")

    def value(self, metric: str) -> Estimate:
        """A metric of a finished row. Raises KeyError where the row has none of that name."""
        found = self.metrics.get(metric)
        if found is None:
            raise KeyError(f"{self.name}: no {metric}; the row has {', '.join(self.means()) or 'no numbers'}")
        return found

    def means(self) -> dict[str, float]:
        """The means of the metrics, for tables that hold one number per name."""
        return {k: e.mean for k, e in self.metrics.items() if e is not None}

    @classmethod
    def from_json(cls: type[AnyRow], told: dict[str, Any]) -> AnyRow:
        """The row of a JSON object; what is none of the row's own keys is a metric. Raises ValueError where a
        key is missing, or holds what is not of its kind.
        """
        if not isinstance(told, dict):
            raise ValueError(f"a row is {shown(told)}; run the report again")
        own = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(cls)}
        needed = [k for k, asked in own.items() if asked and k != "metrics"]
        missing = [k for k in (*needed, *(MEASURED if told.get("status") == "done" else ())) if k not in told]
        if missing:
            raise ValueError(f"row {shown(told.get('name'))}: no {', '.join(missing)}; run the report again")
        given = {k: v for k, v in told.items() if k in own and k != "metrics"}
        metrics = {k: v for k, v in told.items() if k not in own}
        try:
            checked = json.dumps({**given, "metrics": metrics})
            _reader(cls).validate_json(checked, strict=True)  # type: ignore[arg-type]
        except ValidationError as error:
            where = f"row {shown(told['name'])}"
            raise ValueError(f"{said(error, cls, where)}; run the report again") from error
        given |= {k: tuple(v) for k, v in given.items() if isinstance(v, list)}
        given["took"] = {k: Took(**v) for k, v in told.get("took", {}).items()}
        given["surrogates"] = tuple(Surrogate(**s) for s in told.get("surrogates", ()))
        return cls(**given, metrics={k: v and Estimate(**v) for k, v in metrics.items()})

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object, its keys in the file's order."""
        measured = {
            "labels": self.labels,
            "surrogates": [asdict(s) for s in self.surrogates],
            "seconds": self.seconds,
            "inputs": self.inputs,
        }
        return {
            **{k: getattr(self, k) for k in HEAD},
            **({"origin": self.origin} if self.origin else {}),
            **({"again": list(self.again)} if self.again else {}),
            **{k: None if e is None else asdict(e) for k, e in self.metrics.items()},
            **(measured if self.done else {}),
            **({"stopped": self.stopped} if self.stopped else {}),
            **({"took": {k: asdict(t) for k, t in self.took.items()}} if self.took else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Line(Row):
    """One line of a table: a row, or several that differ in targets and training seeds alone, as the mean
    over targets of the mean over each one's seeds.
    """

    members: tuple[str, ...]  # names of its rows
    finished: int  # of its rows
    targets: tuple[str, ...]  # of each row
    each: dict[str, dict[str, float]]  # by target: the means of its metrics, over its seeds where several are
    paper: dict[str, Any] | None  # the paper's own numbers of that name, by metric
    # by target and training seed: the means of its metrics; empty where no target has several seeds
    by_seed: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object, its keys in the file's order."""
        without = not self.done and len(self.members) > 1
        return {
            **super().to_json(),
            **({"seconds": {}, "surrogates": []} if without else {}),
            "members": list(self.members),
            "finished": self.finished,
            "targets": list(self.targets),
            "each": self.each,
            "paper": self.paper,
            **({"by_seed": self.by_seed} if self.by_seed else {}),
        }


# of rows.json and groups.json, where metrics stand beside them
OWN = frozenset(f.name for kind in (Row, Line) for f in fields(kind))


@cache
def _reader(cls: type) -> TypeAdapter[Any]:
    exact = with_config(ConfigDict(extra="forbid"))
    exact(Surrogate), exact(Estimate)
    return TypeAdapter(cls)


def read_rows(path: Path) -> list[Row]:
    """The rows of a rows.json. Raises ValueError where it is damaged, or a row lacks a key."""
    return parse_rows(path.read_bytes(), str(path))


def parse_rows(text: bytes, where: str) -> list[Row]:
    """The same of a text. where: names it in errors."""
    told = records.parsed(text, where, list)
    try:
        return list(map(Row.from_json, told))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Rows as rows.json holds them, or lines as groups.json does."""
    files.write_text(path, json.dumps([row.to_json() for row in rows], indent=1))
