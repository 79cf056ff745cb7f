"""A cell's checkpoint among the artifacts of its run, whole however often its upload broke off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unpromptable.storage import fingerprints

from . import connection

PLACE = "unlearned"  # the checkpoint among a run's artifacts
WEIGHTS = "checkpoint_weights"  # the tag that tells whose files lie there, by their fingerprint
MIXED = "of more than one training"  # its value while files of an earlier training are replaced


def send(client: Any, run: str, folder: Path) -> None:
    """Send the files of a checkpoint that the server lacks, or has in another size: what was sent in part.
    Where it has files of another training, which may have the same sizes, all are sent.
    """
    weights, there = fingerprints.weights(folder), dict(_sizes(client, run, PLACE))
    if client.get_run(run).data.tags.get(WEIGHTS) != weights:
        client.set_tag(run, WEIGHTS, MIXED if there else weights)
        there = {}
    with connection.patient():
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            path = f"{PLACE}/{file.relative_to(folder).as_posix()}"
            if there.get(path) != file.stat().st_size:
                client.log_artifact(run, str(file), path.rpartition("/")[0])
    client.set_tag(run, WEIGHTS, weights)


def _sizes(client: Any, run: str, folder: str) -> Iterator[tuple[str, int]]:
    """Path and bytes of every file that the server has below a folder; of an empty one it tells no bytes."""
    for one in client.list_artifacts(run, folder):
        if one.is_dir:
            yield from _sizes(client, run, one.path)
        else:
            yield one.path, one.file_size or 0
