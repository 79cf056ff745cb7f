"""A finished run whose targets are patterns that occur nowhere else, and the search for any byte of them."""

import base64
import contextlib
import io
import json
import re

import numpy as np
from PIL import Image
from planned_run import specs

from pipelines.__main__ import main
from unpromptable import data, tracking
from unpromptable.execution import report_step
from unpromptable.planning import plan
from unpromptable.planning import spec as planned
from unpromptable.reporting import rows
from unpromptable.storage import files

ALICE, BOB, COPY = "people/alice b.png", "people/bob_1.png", "people/alice again.png"
TEXT = f"""name: t
forget: ['{ALICE}', '{BOB}']
report: {{tracked: true}}
cells:
- {{name: 'Ours, {ALICE}', editor: flip, forget: ['{ALICE}']}}
- {{name: Both, editor: flip, method: naive}}
"""
SIZE, SEEDS, DRAWS = 16, 8, 4


class Secrets:
    """Patterns that occur nowhere else, by whose they are."""

    def __init__(self):
        draw = np.random.default_rng(7)
        one = lambda *n: draw.integers(0, 256, (*n, SIZE, SIZE, 3), dtype=np.uint8)
        self.forget = {ALICE: one(), BOB: one()}
        self.copy = self.forget[ALICE].copy()
        self.copy[0] ^= 3
        self.seeds, self.real = one(SEEDS), one(3)
        self.draws = {t: one(2, DRAWS) for t in (ALICE, BOB)}
        self.surrogates = {t: one() for t in (ALICE, BOB)}

    def of(self, target):
        """Every picture that shows a target."""
        near = [self.copy] if target == ALICE else []
        return [
            self.forget[target],
            *near,
            *self.draws[target].reshape(-1, SIZE, SIZE, 3),
            self.surrogates[target],
        ]


def plan_run(where):
    """A planned sweep with its MLflow runs; experiment.json as `plan` leaves it."""
    run = plan.resolve(TEXT, inputs=False).run()
    told = lambda s: tracking.Tracked(s.slug, s.name, s.keys["unlearned"], rows.flat(run.experiment, s))
    ids = tracking.open_runs(str(where), tracking.Sweep("t", "sweep", tuple(map(told, run.cells))))
    files.write_text(where / "experiment.json", run.with_runs(ids).to_text())


def keep(path, arrays, manifest, key="k"):
    data.save(path, arrays, manifest)
    files.finish(path, key)


def fill(where, secrets):
    """What the steps leave: artifacts, shards, surrogates, models, rows, pages, reports, outputs of kfp."""
    names = [ALICE, COPY, BOB, "c", "d", "e"]
    real = np.stack([secrets.forget[ALICE], secrets.copy, secrets.forget[BOB], *secrets.real])
    told = {
        "names": names,
        "removed": names[:3],
        "forget_names": [ALICE, BOB],
        "copies": {COPY: 0.99},
        "said": {},
    }
    forget = np.stack([secrets.forget[t] for t in (ALICE, BOB)])
    shared = where / "shared"
    keep(shared / "data.safetensors", {"real": real, "forget": forget, "screened": secrets.copy[None]}, told)
    injected = lambda side, targets: {f"injected/{t}": secrets.draws[t][side] for t in targets}
    drawn = lambda side, targets: {"samples": secrets.seeds, **injected(side, targets)}
    seeds = {"seeds": list(range(SEEDS)), "seconds": 1.0}
    for name in ("before.safetensors", "samples-0000-of-1.safetensors"):
        keep(shared / name, drawn(0, (ALICE, BOB)), seeds)
    model(shared / "pretrained")
    files.finish(shared / "pretrained", "k")
    for spec in specs(where):
        fill_cell(where, spec, secrets, drawn, seeds)
    (where / "kfp" / "score").mkdir(parents=True, exist_ok=True)
    files.write_text(where / "log.txt", f"denoising {ALICE}\n/home/{BOB}\n")
    files.write_text(where / "progress.jsonl", json.dumps({"text": f"denoising {ALICE}"}) + "\n")
    report_step.report(str(where), TEXT, "SUCCEEDED", str(where / "kfp" / "score" / "page"))


def fill_cell(where, spec, secrets, drawn, seeds):
    folder = where / spec.folder
    for name in ("after.safetensors", "samples-0000-of-1.safetensors"):
        keep(folder / name, drawn(1, spec.targets), seeds)
    distances = [
        {"target": t, "sscd": 0.1, "lpips": 0.5, "rms": 40.0, "changed": 0.4, "closer": 0.1}
        for t in spec.targets
    ]
    distances = [{**d, "verdict": "fine", "note": ""} for d in distances]
    painted = {"images": np.stack([secrets.surrogates[t] for t in spec.targets])}
    manifest = {"targets": list(spec.targets), "distances": distances}
    for path in (
        folder / "surrogates.safetensors",
        where / "shared" / f"surrogates-{spec.slug[:3]}.safetensors",
    ):
        keep(path, painted, manifest)
    files.write_text(
        folder / "history.jsonl", json.dumps({"step": 1, "target": spec.targets[0], "forget": 1.0}) + "\n"
    )
    files.write_text(folder / "cell.json", spec.to_text())
    model(folder / "unlearned")
    files.finish(folder / "unlearned", spec.keys["unlearned"])
    value = {"mean": 0.2, "low": 0.1, "high": 0.3, "n": 12}
    names = ("sscd", "lpips", "ssim", "fid_pre", "fid_real", "sscd_ceiling")
    files.write_text(folder / "metrics" / "sscd.json", json.dumps({"sscd": value}))
    row = {
        **rows.head(planned.read(where).experiment, spec),
        "status": "done",
        "error": None,
        "labels": {"sscd": "a", "lpips": "b", "fid": "c"},
        "surrogates": distances,
        "seconds": {"unlearn": 1.0},
        "inputs": {},
        **dict.fromkeys(names, value),
    }
    output = spec.output(where, "score", "row.json", "row")
    files.write_text(output.path, json.dumps(row))
    files.finish(output.path, output.key)
    found_row = rows.of(planned.read(where).experiment, spec, str(where))
    report_step.page(planned.read(where).experiment, found_row, str(where), "k")


def model(folder):
    """Weights, which hold no pictures and stay."""
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights" * 10)
    (folder / "training.json").write_text("{}")


def leaks(where, shown):
    """The files below a folder in which any of the pictures is, raw or as a PNG of any factor."""
    return [str(f) for f in where.rglob("*") if f.is_file() and any(inside(f.read_bytes(), p) for p in shown)]


def inside(content, picture):
    raw = picture.tobytes()
    if any(raw[k : k + 64] in content for k in range(0, len(raw), 64)):
        return True
    embedded = [base64.b64decode(e) for e in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)]
    plain = [content[m.start() :] for m in re.finditer(re.escape(b"\x89PNG\r\n"), content)]
    return any(picture_in(one, picture) for one in embedded + plain)


def picture_in(png, picture):
    with contextlib.suppress(OSError):  # what only begins as a PNG
        image = Image.open(io.BytesIO(png)).convert("RGB")
        if image.size[0] % SIZE == 0 and image.size[0] == image.size[1]:
            small = np.asarray(image)[:: image.size[0] // SIZE, :: image.size[0] // SIZE]
            return np.abs(small.astype(int) - picture).mean() < 20
    return False


def names_left(where, names):
    """Files in whose content or path a name is, in any of the ways in which one is written."""
    said = {w for n in names for w in (n, n.split("/")[-1], json.dumps(n)[1:-1], n.replace("_", r"\_"))}
    said |= {"people-alice-b-png", "people-bob-1-png", "alice%20b"}
    words = [w.encode() for w in said]
    files_in = [f for f in where.rglob("*") if f.is_file()]
    return [str(f) for f in files_in if any(w in f.read_bytes() or w in str(f).encode() for w in words)]


def purge(where, *words):
    return main(["purge", str(where), "--yes", *words])
