"""The whole DAG under kfp's local runner, small: a cell that fails, a run that continues, numbers that
stay.
"""

import json
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from unpromptable import tracking

TEXT = """
name: small
forget: ["0007-3"]
sampling: {steps: 2, images: 12, shards: 2}
injection: {t: 3, draws: 2}
base: {training: {steps: 2}, editor: flip}
cells:
- {name: Ours}
- {name: Breaks, method: naive, training: {lr: 1.0e+30, steps: 3, max_grad_norm: 0}}
- {name: NegGrad, method: neggrad}
"""


def run(folder, *words):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pipelines",
            "local",
            str(folder / "small.yaml"),
            "--out",
            str(folder / "run"),
            *words,
        ],
        capture_output=True,
        text=True,
        timeout=1500,
    )
    rows = {r["name"]: r for r in json.loads((folder / "run" / "rows.json").read_text())}
    return (
        done,
        rows,
        [json.loads(line) for line in (folder / "run" / "progress.jsonl").read_text().splitlines()],
    )


@pytest.mark.slow
def test_a_failing_cell_lets_the_others_finish_and_a_second_run_redoes_only_what_is_missing(tmp_path):
    (tmp_path / "small.yaml").write_text(TEXT)
    done, rows, first = run(tmp_path)
    assert done.returncode == 1 and "lower training.lr" in done.stdout
    assert {n: r["status"] for n, r in rows.items()} == {
        "Ours": "done",
        "Breaks": "failed",
        "NegGrad": "done",
    }
    assert (
        "is nan at update" in rows["Breaks"]["error"]
        and "did not succeed" in (tmp_path / "run" / "report.html").read_text()
    )

    (tmp_path / "small.yaml").write_text(TEXT.replace("lr: 1.0e+30", "lr: 1.0e-4"))
    done, again, events = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    worked = {e["cell"] for e in events[len(first) :] if e["kind"] == "start"}
    assert worked <= {"Breaks"} and again["Ours"]["lpips"] == rows["Ours"]["lpips"]

    done, third, events_ = run(tmp_path)
    assert (
        done.returncode == 0
        and not [e for e in events_[len(events) :] if e["kind"] == "start"]
        and third == again
    )
    client = tracking.client(str(tmp_path / "run"))
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert [r.info.status for r in runs if tracking.PARENT not in r.data.tags] == ["FINISHED"]
    assert sorted(r.info.run_name for r in runs if r.info.status == "FINISHED") == [
        "Breaks",
        "NegGrad",
        "Ours",
        "small",
    ]


@pytest.mark.slow
def test_forty_five_cells_end_with_rows_a_report_and_closed_runs(tmp_path):
    cells = "".join(f"- {{name: Cell {i}, training: {{seed: {i}}}}}\n" for i in range(45))
    text = (
        TEXT[: TEXT.index("cells:")]
        .replace("steps: 2, images: 12, shards: 2", "steps: 1, images: 8, shards: 1")
        .replace("draws: 2", "draws: 1")
        .replace("steps: 2}, editor", "steps: 1}, editor")
    )
    (tmp_path / "small.yaml").write_text(f"{text}cells:\n{cells}")
    done, rows, _ = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        len(rows) == 45
        and {r["status"] for r in rows.values()} == {"done"}
        and "Cell 44" in (tmp_path / "run" / "report.html").read_text()
    )
    client = tracking.client(str(tmp_path / "run"))
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert len(runs) == 46 and {r.info.status for r in runs} == {"FINISHED"}


@pytest.mark.slow
def test_a_damaged_picture_is_told_once_where_people_look_and_is_not_tried_again(tmp_path):
    folder, shipped = tmp_path / "real", resources.files("unpromptable") / "miniature" / "ddpm"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
            folder / f"{i}.png"
        )
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])
    text = TEXT.replace('["0007-3"]', '["0.png"]')
    (tmp_path / "small.yaml").write_text(text)
    sets = (f"real={folder}", f"model.source={shipped}", "networks.name=miniature")
    done, rows, events = run(tmp_path, *(word for one in sets for word in ("--set", one)))
    told = f"prepare: {folder / '2.png'}: the image is damaged or truncated"
    assert done.returncode == 2, done.stdout + done.stderr
    assert (
        f"\nfailed: {told}" in done.stdout
        and done.stdout.count("damaged or truncated") == 1
        and not done.stderr
        and "Traceback" not in done.stdout
    )
    assert [e["step"] for e in events if e["kind"] == "failed"] == ["prepare"] and len(
        [e for e in events if e["kind"] == "start"]
    ) == 2
    page = (tmp_path / "run" / "report.html").read_text()
    assert "This run did not succeed" in page and page.count("the image is damaged or truncated") == 1
    assert {r["status"] for r in rows.values()} == {"failed"}
    client = tracking.client(str(tmp_path / "run"))
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (sweep,) = [r for r in runs if tracking.PARENT not in r.data.tags]
    assert sweep.info.status == "FAILED" and sweep.data.tags["error"].startswith(told)
