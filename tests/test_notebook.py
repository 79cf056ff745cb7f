"""The notebook runs as it stands, from its first cell to its last."""

import json
from pathlib import Path

PATH = Path(__file__).parents[1] / "pipelines" / "forget.ipynb"


def test_the_notebook_runs_and_its_model_forgets_where_the_untouched_one_does_not(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    cells = [c for c in json.loads(PATH.read_text())["cells"] if c["cell_type"] == "code"]
    names: dict = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), str(PATH), "exec"), names)
    assert len(cells) == 4 and names["result"].gone and not names["other"].gone
    assert capsys.readouterr().out.startswith("forgotten")
