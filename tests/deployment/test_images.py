"""What the images hold is enough: the wheel in an empty environment with the images' locks only, every
component's entry run there.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import mlflow_server
import pytest
import yaml
from mlflow.tracking import MlflowClient

HERE = Path(__file__).parents[2]
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}  # an image has none of these
EXPERIMENT = """
name: small
forget: ["0007-3"]
sampling: {steps: 2, images: 12}
injection: {t: 3, draws: 2}
base: {training: {steps: 2}, editor: flip}
cells: [{name: Ours}]
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An environment made by the Dockerfile's own steps: the interpreter's path."""
    folder = tmp_path_factory.mktemp("image")
    tools, mine = folder / "tools" / "bin" / "python", str(folder / "image" / "bin" / "python")
    locks = HERE / "images" / "locks"
    for words in ((str(folder / "tools"),), ("--without-pip", str(folder / "image"))):
        subprocess.run([sys.executable, "-m", "venv", *words], check=True)

    def pip(*words):
        subprocess.run(
            [tools, "-m", "pip", *words], check=True, stdout=subprocess.DEVNULL, cwd=HERE, env=CLEAN
        )

    pip("install", "--require-hashes", "-r", str(locks / "build.lock"))
    for names in (("torch",), ("steps", "kfp")):
        pip(
            "--python",
            mine,
            "install",
            "--require-hashes",
            "--no-deps",
            *(w for n in names for w in ("-r", str(locks / f"{n}.lock"))),
        )
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), ".")
    pip("--python", mine, "install", "--no-deps", *map(str, folder.glob("*.whl")))
    return mine


class Pods:
    """Runs a component as a pod would: the command of the committed YAML, KFP's executor input, files for
    artifacts.
    """

    def __init__(self, python, folder):
        self.spec = next(yaml.safe_load_all((HERE / "pipelines" / "ablation_sweep.yaml").read_text()))
        self.folder, self.count, self.ran = folder, 0, set()
        self.environment = {
            **CLEAN,
            "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "2",
        }

    def run(self, name, parameters, **artifacts):
        """The value of a component and its output artifacts, name -> path."""
        self.count += 1
        self.ran.add(name)
        home = self.folder / f"{self.count}-{name}"
        home.mkdir()
        component = next(
            v for v in self.spec["components"].values() if v.get("executorLabel") == f"exec-{name}"
        )
        made = {
            k: self.artifact(home / k, v["artifactType"]["schemaTitle"])
            for k, v in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        given = {
            k: {
                "artifacts": [
                    self.artifact(p, "system.Artifact") for p in (v if isinstance(v, list) else [v])
                ]
            }
            for k, v in artifacts.items()
        }
        told = {
            "inputs": {"parameterValues": parameters, "artifacts": given},
            "outputs": {
                "artifacts": {k: {"artifacts": [v]} for k, v in made.items()},
                "parameters": {"Output": {"outputFile": str(home / "value")}},
                "outputFile": str(home / "output.json"),
            },
        }
        container = self.spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        words = [json.dumps(told) if w == "{{$}}" else w for w in [*container["command"], *container["args"]]]
        done = subprocess.run(
            words, env=self.environment, cwd=home, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        output = json.loads((home / "output.json").read_text()) if (home / "output.json").is_file() else {}
        return output.get("parameterValues", {}).get("Output"), {k: v["uri"] for k, v in made.items()}

    @staticmethod
    def artifact(path, kind):
        return {
            "name": Path(path).name,
            "uri": str(path),
            "type": {"schemaTitle": kind, "schemaVersion": "0.0.1"},
            "metadata": {},
        }


@pytest.fixture
def server(tmp_path):
    """An MLflow server of this environment; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = mlflow_server.start(tmp_path, port)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.mark.slow
def test_every_component_runs_with_only_what_the_image_holds(python, server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    pods, store = Pods(python, tmp_path), str(tmp_path / "store")
    run = {"store": store, "experiment": EXPERIMENT}
    [cell] = pods.run("plan", {**run, "world": "", "overrides": "{}", "images_per_shard": 6, "part": ""})[0]
    shared, _ = pods.run("prepare", run)
    draw = lambda of: [
        pods.run("sample", {"cell": of, "store": store, "machine": "2 CPU", "pod": pod, "pods": 2})
        for pod in range(2)
    ]
    draw(shared)
    pods.run("unlearn", {"cell": cell, "store": store, "machine": "2 CPU"})
    draw(cell)
    _, shown = pods.run("score", {"cell": cell, "store": store})
    assert "Ours" in Path(shown["summary"]).read_text() and "<img" in Path(shown["page"]).read_text()
    _, report = pods.run(
        "report",
        {
            **run,
            "part": "",
            "status": {"state": "COMPLETE", "pipelineJobResourceName": "x", "pipelineTaskName": "y"},
        },
    )
    assert "Ours" in Path(report["page"]).read_text()
    assert {f"exec-{n}" for n in pods.ran} == {
        e for e in pods.spec["deploymentSpec"]["executors"] if e[-2:] not in ("-2", "-3")
    }
    client = MlflowClient(server)
    [cell] = client.search_model_versions("name = 'unpromptable-small'")
    assert len(client.get_metric_history(cell.run_id, "train/remember")) == 2
    assert {f.path for f in client.list_artifacts(cell.run_id)} >= {"unlearned"}
