"""The paper's claims held against a run's rows: each holds, does not hold, or cannot be told at this n.

`python -m unpromptable.paper.claims RUN ...` judges finished runs; `--paper` judges the paper's own printed
numbers.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import yaml

from unpromptable.planning.validation import build
from unpromptable.reporting import groups, tables
from unpromptable.reporting.row import read_rows
from unpromptable.scoring import verdict
from unpromptable.storage import files, records

from . import comparing, price
from .comparing import Compared, Result, alike, better, rises
from .price import Price

HOLDS, NOT, OPEN = "holds", "does not hold", "cannot be told"


@dataclass(frozen=True)
class Claim:
    """One statement of the paper; claims.yaml explains the fields."""

    id: str
    says: str
    check: str
    metrics: tuple[str, ...]
    rows: tuple[str, ...]
    than: tuple[str, ...] = ()
    limit: float = 0.0
    of: str = ""  # before: the limit is a share of what the base model has, which the row tells too
    within: float = 0.0
    among: str = "all"
    paper: str = HOLDS
    note: str = ""
    table: str = ""
    # where it does not hold in the miniature world: whether the stage, the setting or the claim is at fault
    finding: str = ""
    # the cells that show the finding: of the experiment `why`, else of the claim's own
    shown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.check not in CHECKS:
            raise ValueError(f"claim {self.id}: no check {self.check!r}; choose from {', '.join(CHECKS)}")
        if self.among not in ("all", "forgetting") or self.paper not in (HOLDS, NOT, OPEN):
            raise ValueError(
                f"claim {self.id}: among is {self.among!r} (all or forgetting), paper {self.paper!r}"
                f" ({HOLDS}, {NOT} or {OPEN})"
            )
        if self.of not in ("", "before"):
            raise ValueError(f"claim {self.id}: of is {self.of!r}; it may be `before` or left out")

    @property
    def numbers(self) -> tuple[str, ...]:
        """The metrics that a row must have."""
        return (*self.metrics, *(f"{m}_{self.of}" for m in self.metrics if self.of))


@dataclass(frozen=True)
class Verdict:
    """A claim with its answer and the numbers it rests on."""

    claim: Claim
    answer: str
    numbers: str
    needs: Price | None = None  # of an open one: what would decide it


def read() -> dict[str, tuple[Claim, ...]]:
    """Every claim, by the experiment that tests it."""
    text = yaml.safe_load((resources.files("unpromptable") / "paper" / "claims.yaml").read_text())
    parts = {name: part for name, part in text.items() if isinstance(part, dict)}
    one = lambda c, table: build(Claim, {**c, "table": table}, f"claim {c.get('id')}")
    return {name: tuple(one(c, part["table"]) for c in part["claims"]) for name, part in parts.items()}


def judge(claim: Claim, rows: list[Result]) -> Verdict:
    """One claim against the results of its experiment."""
    found = {r.name: r for r in rows}
    wanted = [*claim.rows, *claim.than]
    needed = [n for n in found if not _out(claim, found[n])] if claim.check in ("best", "worst") else []
    missing = [n for n in [*wanted, *needed] if n not in found or not found[n].has(claim.numbers)]
    if missing:
        said = ", ".join(dict.fromkeys(missing))
        return Verdict(claim, OPEN, f"no result of {said}", Price(f"a result of {said}"))
    done = [r for r in rows if r.has(claim.metrics)]
    answers = CHECKS[claim.check](claim, [found[n] for n in claim.rows], [found[n] for n in claim.than], done)
    whole = comparing.all_of(answers)
    shown = done if claim.check in ("best", "worst", "front") else [found[n] for n in wanted]
    numbers = "; ".join(
        f"{m}: " + ", ".join(f"{r.name} {_extent(r, m)}" for r in shown) for m in claim.metrics
    )
    answer = {True: HOLDS, False: NOT, None: OPEN}[whole.answer]
    return Verdict(claim, answer, numbers, price.of(whole, shown) if answer == OPEN else None)


def _out(claim: Claim, row: Result) -> bool:
    """Whether a row is none of those that a best or worst one is sought among."""
    return claim.among == "forgetting" and row.done and not verdict.forgets(row)


def judge_all(rows: dict[str, list[Result]]) -> list[Verdict]:
    """Every claim, those of experiments without rows included."""
    return [judge(claim, rows.get(name, [])) for name, part in read().items() for claim in part]


def _limit(claim: Claim, rows: list[Result], than: list[Result], done: list[Result]) -> list[Compared]:
    side = comparing.below if claim.check == "below" else comparing.above
    share = lambda r, m: r.value(f"{m}_{claim.of}").mean if claim.of else 1.0
    return [side(r, m, claim.limit * share(r, m)) for r in rows for m in claim.metrics]


def _extreme(claim: Claim, rows: list[Result], than: list[Result], done: list[Result]) -> list[Compared]:
    others = [r for r in done if r not in rows]
    if claim.among == "forgetting":
        if not all(verdict.forgets(r) for r in rows):
            return [Compared(False)]
        others = [r for r in others if verdict.forgets(r)]
    pairs = [(r, o) if claim.check == "best" else (o, r) for r in rows for o in others]
    return [better(a, b, m) for a, b in pairs for m in claim.metrics]


def _better(claim: Claim, rows: list[Result], than: list[Result], done: list[Result]) -> list[Compared]:
    return [better(r, o, m) for r in rows for o in than for m in claim.metrics]


def _trend(claim: Claim, rows: list[Result], than: list[Result], done: list[Result]) -> list[Compared]:
    way = 1 if claim.check == "rises" else -1
    return [rises(way * np.array([r.value(m).mean for r in rows])) for m in claim.metrics]


def _alike(claim: Claim, rows: list[Result], than: list[Result], done: list[Result]) -> list[Compared]:
    return [alike(rows[0], r, m, claim.within) for r in rows[1:] for m in claim.metrics]


def _front(claim: Claim, rows: list[Result], than: list[Result], done: list[Result]) -> list[Compared]:
    able = [r for r in rows if verdict.forgets(r)]
    beaten = lambda a, b: comparing.all_of([better(b, a, m) for m in claim.metrics])
    unless = lambda c: c._replace(answer=None if c.answer is None else not c.answer, gap=-c.gap)
    return [unless(beaten(a, b)) for a, b in itertools.permutations(able, 2)] if able else [Compared(False)]


CHECKS: dict[str, Callable[[Claim, list[Result], list[Result], list[Result]], list[Compared]]] = {
    "below": _limit,
    "above": _limit,
    "best": _extreme,
    "worst": _extreme,
    "better": _better,
    "falls": _trend,
    "rises": _trend,
    "alike": _alike,
    "front": _front,
}


def _extent(row: Result, metric: str) -> str:
    value = row.value(metric)
    return tables.show(value) if metric != "deviation" else f"{value.low:.1e} to {value.high:.1e}"


def of_paper() -> list[Verdict]:
    """Every claim against the paper's own numbers: the `paper` rows of the experiments, and the formulas
    themselves.
    """
    from unpromptable.planning import plan

    from . import theory

    printed = {n: plan.read_yaml(n).get("paper") or [] for n in read() if n != "theory"}
    rows = {name: comparing.of_paper(lines) for name, lines in printed.items()}
    return judge_all({**rows, "theory": comparing.of_theory(theory.check())})


def of_runs(stores: list[Path]) -> list[Verdict]:
    """Every claim against finished runs' folders: a line per group of rows; rows.json is of the experiment
    that experiment.json names.
    """
    rows = {}
    for store in stores:
        if (store / "theory.json").is_file():
            rows["theory"] = comparing.of_theory(records.read(store / "theory.json", list))
        elif all((store / name).is_file() for name in ("experiment.json", "rows.json")):
            told = records.read(store / "experiment.json", dict, name=str, paper=list)
            printed = {str(p["name"]) for p in told["paper"] if isinstance(p, dict) and "name" in p}
            lines = groups.collect(read_rows(store / "rows.json"))
            # what the paper's table does not hold can neither make nor break what is said of it
            ours = [x for x in lines if x.name in printed or not printed]
            rows[told["name"]] = list(map(comparing.of_line, ours))
        else:
            raise FileNotFoundError(
                f"{store}: holds no run's experiment.json and rows.json, nor theory.json; name a finished"
                " run's folder"
            )
    return judge_all(rows)


def text(verdicts: list[Verdict]) -> str:
    """Markdown: how many hold, and a line per claim."""
    lines = ["| | Table | Claim | Numbers | What would decide it |", "|---|---|---|---|---|"]
    lines += [
        f"| {v.answer} | {v.claim.table} | {v.claim.says}{f' ({v.claim.note})' if v.claim.note else ''} |"
        f" {v.numbers} | {v.needs.text if v.needs else ''} |"
        for v in verdicts
    ]
    return "\n".join([summary(verdicts), "", *lines, ""])


def summary(verdicts: list[Verdict]) -> str:
    """How many of the claims hold, in one sentence."""
    count = {a: sum(v.answer == a for v in verdicts) for a in (HOLDS, NOT, OPEN)}
    return (
        f"Of {len(verdicts)} claims {count[HOLDS]} hold, {count[NOT]} do not, {count[OPEN]} cannot be told at"
        " this number of targets and images."
    )


def write(out: Path, verdicts: list[Verdict]) -> None:
    """claims.md and claims.json."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "claims.md").write_text(text(verdicts))
    of_claim = lambda c: {"id": c.id, "table": c.table, "says": c.says}
    needs = lambda v: {"needs": asdict(v.needs)} if v.needs else {}
    told = [{**of_claim(v.claim), "answer": v.answer, "numbers": v.numbers, **needs(v)} for v in verdicts]
    (out / "claims.json").write_text(json.dumps(told, indent=1))


def main(words: list[str] | None = None) -> int:
    """Print every claim's verdict, and write it as Markdown and JSON where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m unpromptable.paper.claims",
        description="The paper's claims against runs, or against the paper's own numbers.",
    )
    runs = "folders of finished runs, and of unpromptable.paper.theory"
    parser.add_argument("runs", nargs="*", type=Path, help=runs)
    parser.add_argument("--paper", action="store_true", help="judge the paper's printed numbers instead")
    out = "also write claims.md and claims.json into this folder"
    parser.add_argument("--out", type=files.named, help=out)
    a = parser.parse_args(words)
    try:
        verdicts = of_paper() if a.paper else of_runs(a.runs)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(text(verdicts), end="")
    if a.out:
        write(a.out, verdicts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
