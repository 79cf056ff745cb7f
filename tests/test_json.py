"""JSON is text at an edge: these modules read or write it, each for the reason given, and no other does."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
EDGES = {
    "steps": "a step's arguments are text",
    "planning": "spec.py: a cell is text between steps",
    "execution": "files of a step's output, the warm process's wire and the probe's lines",
    "storage": "marks, notes, leases, events and fingerprints are files",
    "reporting": "rows.json and a training's history are files; groups.py compares settings as text",
    "tracking": "tracking.json and a training's history are files",
    "scoring": "what was measured is a file",
    "unlearning": "training.py and states.py write a training's history",
    "editing": "inversion.py reads a network's shape",
    "models": "files of a model's folder",
    "data": "the manifest in an artifact's file",
    "paper": "claims and theory are files",
    "releasing": "a certificate is a file",
    "pretraining": "what a training was is a file beside its weights",
    "backend": "records of Argo's and answers of Kubernetes",
    "cli": "answers of Kubeflow, arguments of a pipeline, and --json",
}


def test_json_is_read_and_written_at_the_named_edges_alone():
    found = set()
    for root in (ROOT / "components" / "unpromptable", ROOT / "pipelines"):
        for file in root.rglob("*.py"):
            if re.search(r"\bjson\.(loads|dumps)\b", file.read_text()):
                found.add(file.relative_to(root).parts[0].removesuffix(".py"))
    assert found == set(EDGES)
