"""python -m pipelines local | plan | size | paper | submit | doctor | compile | train | paint: run an
experiment here or on a cluster, and what one needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from unpromptable.planning import reading

HERE = Path(__file__).parent
COMPILED = HERE / "ablation_sweep.yaml"
POSITIONAL, FILES = ("experiment", "folder", "target"), ("experiment", "target", "package", "mask")
PATHS = (*POSITIONAL, "out", "package", "store", "mask", "real")
LEAST_DISK = 1 << 30  # bytes that must be free before a run starts


def main(words: list[str] | None = None) -> int:
    """Parse, run, and turn bad input into one line and exit code 2."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(words)
    if rest and (not hasattr(arguments, "words") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.words += rest  # key=value after an option, which argparse does not join to those before it
    console = Console(stderr=False)
    try:
        _none_empty(arguments)
        return arguments.run(arguments, console)
    except (ValueError, OSError) as error:
        print(f"error: {_said(error)}", file=sys.stderr)
        return 2


def _said(error: Exception) -> str:
    """An error in one line; the system's own with its file first, and what to do."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return (
            f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}; mend or choose another path"
        )
    return " ".join(str(error).split())


def _none_empty(arguments: argparse.Namespace) -> None:
    """Raise ValueError for an empty word in a path's place, as an unset variable leaves it: it would mean the
    current folder.
    """
    for name in PATHS:
        value = getattr(arguments, name, None)
        if isinstance(value, str) and not value.strip():
            option = name if name in POSITIONAL else f"--{name}"
            raise ValueError(
                f"{option} is empty; name a {'file' if name in FILES else 'folder'}, or leave it out where it"
                " has a default"
            )


def local(a: argparse.Namespace, console: Console) -> int:
    """Run an experiment on this machine: check it, run the DAG in processes of its own, show progress, print
    the table.
    """
    from unpromptable import tracking
    from unpromptable.planning import plan

    overrides = dict(override(word) for word in a.set)
    text = reading.write(plan.read_yaml(a.experiment))
    resolved = plan.resolve(text, a.world, overrides)
    out = Path(a.out or f"runs/{resolved.experiment.name}").resolve()
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < LEAST_DISK:
        raise OSError(
            f"--out {out}: {free >> 20} MiB free on that disk, at least {LEAST_DISK >> 20} are needed; free"
            " some space or choose another folder"
        )
    tracking.check(str(out))
    with _Lock(out):
        title = escape(resolved.experiment.title or resolved.experiment.name)
        where = escape(f"world {resolved.experiment.world}, in {_short(out)}")
        console.print(f"[bold]{title}[/]  {len(resolved.cells)} cells, {where}", soft_wrap=True)
        code, failed = _drive(out, text, a, overrides, _pending(out, resolved), console)
    return _finish(out, code, failed, console)


def _drive(
    out: Path, text: str, a: argparse.Namespace, overrides: dict, pending: bool, console: Console
) -> tuple[int, list[dict]]:
    from unpromptable.storage import progress

    threads = str(a.threads or max(1, (os.cpu_count() or 2) // 2))  # kfp runs two loop items at a time
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    arguments = json.dumps(
        {
            "experiment": text,
            "world": a.world,
            "overrides": json.dumps(overrides),
            "store": str(out),
            "pending": pending,
        }
    )
    with (out / "log.txt").open("a") as log_file:
        child = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli.local_runner", str(out)],
            stdin=subprocess.PIPE,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            text=True,
        )
        try:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
            child.stdin.write(arguments)
            child.stdin.close()
            failed = progress.watch(str(out), child, console)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)  # the runner and every step's process
                child.wait()
                console.print("stopped; the same command continues where this one ended")
    return child.returncode, failed


def _pending(out: Path, resolved) -> bool:
    from unpromptable.storage import store

    return any(
        not store.finished(store.place(str(out), s, "row.json"), s["row_key"]) for s in resolved.cell_specs()
    )


def _finish(out: Path, code: int, failed: list[dict], console: Console) -> int:
    from unpromptable.storage import once

    rows = json.loads((out / "rows.json").read_text()) if (out / "rows.json").is_file() else []
    if any(r["status"] == "done" for r in rows):
        from pipelines.cli import result_table

        console.print(result_table.table(rows, json.loads((out / "experiment.json").read_text())["paper"]))
    told = dict.fromkeys(
        ("" if one["cell"] == once.SHARED["name"] else one["cell"], one["step"], one["text"])
        for one in failed
    )
    for cell, step, text in told:
        console.print(
            f"failed: {cell} {step}: {text}".replace("  ", " "),
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if (out / "report.html").is_file():
        console.print(
            f"report   {_short(out / 'report.html')}", highlight=False, soft_wrap=True, markup=False
        )
    console.print(f"log      {_short(out / 'log.txt')}", highlight=False, soft_wrap=True, markup=False)
    broken = code != 0 or not rows or any(r["status"] != "done" for r in rows)
    if broken and not failed:
        tail = (out / "log.txt").read_text().splitlines()[-15:]
        print(
            "\n".join(["error: the run failed outside its cells; the log ends with", *tail]), file=sys.stderr
        )
    return 2 if any(one.get("bad") for one in failed) else 1 if broken else 0


def compile_(a: argparse.Namespace, console: Console) -> int:
    """Write the compiled DAG that a cluster takes."""
    from kfp import compiler

    from pipelines import ablation_sweep
    from pipelines.pods import Fixed

    volume = not a.no_volume
    fixed = Fixed(
        a.retries,
        a.timeout_hours,
        a.shared_memory,
        volume,
        a.parallelism,
        a.pods,
        start_minutes=a.start_minutes,
        within=a.retries,
    )
    compiler.Compiler().compile(ablation_sweep.build(fixed), str(a.out))
    console.print(f"wrote {_short(Path(a.out))}", highlight=False, soft_wrap=True, markup=False)
    return 0


def train(a: argparse.Namespace, console: Console) -> int:
    """Train a DDPM on a folder of images, for experiments on your own pictures."""
    from unpromptable.execution import work

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
        try:
            settings["channels"] = tuple(int(c) for c in a.channels.split(","))
        except ValueError as error:
            raise ValueError(f"--channels {a.channels}: give whole numbers, such as 32,48,64") from error
    summary = work.train(
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


class _Lock:
    """One run at a time in one folder."""

    def __init__(self, out: Path):
        self.path = out / ".lock"

    def __enter__(self):
        import fcntl

        self.file = self.path.open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                f"--out {self.path.parent}: another run is at work there; wait for it or choose another"
                " folder"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def override(word: str) -> tuple[str, object]:
    """key=value of --set, the value read as YAML."""
    key, found, value = word.partition("=")
    if not found or not key:
        raise ValueError(f"--set {word}: expected key=value, such as training.steps=60")
    return key, reading.value(value, f"--set {key}")


def _short(path: Path) -> str:
    path = Path(path).resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _parser() -> argparse.ArgumentParser:
    from pipelines.cli import cluster, dry_run, paint, paper, size

    parser = argparse.ArgumentParser(
        prog="python -m pipelines",
        description="Make a diffusion model forget images that no prompt can name.",
    )
    verbs = parser.add_subparsers(
        required=True, metavar="local | plan | size | paper | submit | doctor | compile | train | paint"
    )
    one = verbs.add_parser("local", help="run an experiment on this machine")
    one.add_argument("experiment", help="a YAML file, or the name of an experiment that ships")
    one.add_argument("--world", default="", help="miniature or paper; the experiment's own otherwise")
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, such as training.lr=1e-5; may be repeated",
    )
    one.add_argument(
        "--out", help="folder of the run (default runs/<name>); the same folder continues or repeats a run"
    )
    one.add_argument(
        "--threads",
        type=int,
        default=0,
        help="threads per step (default half the cores, as two steps run at a time)",
    )
    one.set_defaults(run=local)
    two = verbs.add_parser("compile", help="write the compiled pipeline for a cluster")
    two.add_argument("--out", default=str(COMPILED))
    two.add_argument(
        "--retries",
        type=int,
        default=2,
        help="of a lost pod, and within it of a step that the machine failed (default 2)",
    )
    two.add_argument("--timeout-hours", type=float, default=24.0, help="of one pod (default 24)")
    two.add_argument(
        "--start-minutes", type=float, default=30.0, help="of the first pods, image and all (default 30)"
    )
    two.add_argument(
        "--shared-memory", default="1Gi", help="/dev/shm of the steps that may use a GPU (default 1Gi)"
    )
    two.add_argument(
        "--no-volume", action="store_true", help="mount no volume; the store must then be an object store"
    )
    two.add_argument("--parallelism", type=int, default=8, help="cells at a time (default 8)")
    two.add_argument("--pods", type=int, default=2, help="that share the images of one model (default 2)")
    two.set_defaults(run=compile_)
    cluster.add(verbs)
    dry_run.add(verbs, override)
    size.add(verbs, override)
    paper.add(verbs, local, override)
    paint.add(verbs)
    three = verbs.add_parser("train", help="train a DDPM on a folder of images")
    three.add_argument("folder")
    three.add_argument("--out", required=True)
    three.add_argument("--size", type=int, default=32, help="pixels a side (default 32)")
    three.add_argument("--flip", action="store_true", help="mirror pictures at random")
    for name, kind in (("steps", int), ("minutes", float), ("lr", float), ("seed", int), ("channels", str)):
        three.add_argument(f"--{name}", type=kind)
    three.add_argument(
        "--prediction", help="what the network outputs: epsilon (the default), v_prediction or sample"
    )
    three.set_defaults(run=train)
    return parser


if __name__ == "__main__":
    sys.exit(main())
