"""The table in the terminal says what measured its numbers."""

import dataclasses
import io

import pytest
from finished_run import failed, row

from pipelines.cli import result_table
from unpromptable.planning.settings import Networks
from unpromptable.scoring import metric_networks


def said(rows):
    """What the table says, on one line: its title breaks where the table ends."""
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=400).print(result_table.table(rows, ()))
    return " ".join(out.getvalue().split())


@pytest.mark.parametrize(
    "networks, words",
    [
        (Networks(), "Metric networks: miniature (ours; not the paper's SSCD, LPIPS or Inception)"),
        (Networks("paper"), "paper (SSCD (disc_mixup); LPIPS (AlexNet, v0.1); FID (Inception 2015))"),
        (Networks("paper", "here", sscd="onnx"), "paper (SSCD (disc_mixup as int8 ONNX); LPIPS"),
        (Networks("paper", features="alexnet"), "by the last layer of LPIPS's AlexNet, not FID)"),
    ],
)
def test_a_table_says_which_networks_and_which_forms_of_them(networks, words):
    measured = row("one", 0.2, 0.3, networks=networks.name, labels=metric_networks.labels(networks))
    other = dataclasses.replace(failed("other", "no room"), networks=networks.name)
    assert words in said([measured]) and words in said([other, measured])
