"""The chart, rendered by the real helm."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

CHART = Path(__file__).parents[1] / "charts" / "unpromptable"
CASES = sorted(p.stem for p in (CHART / "ci").glob("*.yaml"))
HELM, NO_HELM = shutil.which("helm"), "helm is not on PATH"
API = "networkPolicy.steps.apiServer={10.0.0.1/32}"


def helm(*words, check=True):
    done = subprocess.run([HELM, *words], capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def render(*words):
    out = helm(
        "template", "unpromptable", str(CHART), "-n", "kubeflow", "--kube-version", "1.34.0", *words
    ).stdout
    return [one for one in yaml.safe_load_all(out) if one]


@pytest.fixture(scope="module", params=CASES)
def objects(request):
    return render("-f", str(CHART / "ci" / f"{request.param}.yaml"))


def pods(objects):
    for one in objects:
        if one["kind"] == "Pod":
            yield one["spec"]
        elif "template" in one.get("spec", {}):
            yield one["spec"]["template"]["spec"]


def probe_pod(*words):
    return next(o for o in render(*words) if o["metadata"]["name"].endswith("-probe"))


@pytest.fixture
def notes(tmp_path):
    """What is printed after an installation of `release`: `helm template` renders no notes, so they become an
    object of a copy of the chart.
    """
    copy = shutil.copytree(CHART, tmp_path / "chart")
    text = (copy / "templates" / "NOTES.txt").read_text()
    (copy / "templates" / "shown.yaml").write_text(
        f'{{{{ define "shown" }}}}{text}{{{{ end }}}}\nkind: Shown\ntext: {{{{ include "shown" . | quote'
        " }}\n"
    )

    def show(release, *words):
        out = helm(
            "template", release, str(copy), "-n", "kubeflow", "--kube-version", "1.34.0", *words
        ).stdout
        return next(o["text"] for o in yaml.safe_load_all(out) if o and o["kind"] == "Shown")

    return show
