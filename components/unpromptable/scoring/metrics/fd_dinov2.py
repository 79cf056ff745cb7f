"""FD_DINOv2: the Fréchet distance in DINOv2's features, which see what people see where FID does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpromptable import protocols
from unpromptable.scoring import frechet, onnx_files
from unpromptable.scoring.estimates import Estimate
from unpromptable.storage import fingerprints

# DINOv2 takes 224 pixels a side and ImageNet's mean and deviation (Stein 2023 resizes by bicubic)
SHOWN = onnx_files.Input(*onnx_files.IMAGENET, size=224, resampling="bicubic")


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Of any ONNX file's features, so it is FD_DINOv2 where the file is DINOv2 ViT-L/14 (Stein 2023).

    Numbers of images as of FID: sets of other sizes are not compared.
    """

    model: str = ""  # the ONNX file

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """fd_dinov2: after against before, pairs by seed; fd_dinov2_real: after against the real images;
        fd_dinov2_floor: before against them. Raises ValueError where before and after differ in number.
        """
        if len(evidence.before) != len(evidence.after):
            raise ValueError(
                f"fd_dinov2: {len(evidence.before)} images before, {len(evidence.after)} after are no pairs"
            )
        network = onnx_files.load(self.model, "fd_dinov2.model", SHOWN)
        seen = {w: _features(w, network, evidence, networks) for w in ("before", "after", "real")}
        distance = lambda a, b, paired: Estimate(
            *frechet.interval(seen[a], seen[b], paired=paired), len(seen[a])
        )
        return {
            "fd_dinov2": distance("after", "before", True),
            "fd_dinov2_real": distance("after", "real", False),
            "fd_dinov2_floor": distance("before", "real", False),
        }

    def files(self) -> list[Path]:
        """The network. Raises ValueError where none is named, FileNotFoundError where it is not there."""
        return [onnx_files.file(self.model, "fd_dinov2.model")]


def _features(which: str, network: onnx_files.Network, evidence, networks) -> np.ndarray:
    """(n, F) of a side, once for all cells where it is the same for them."""
    of = fingerprints.of(network.path, time=False)
    compute = lambda: network(getattr(evidence, which)).numpy()
    return evidence.once(f"fd-dinov2-{which}", (which,), networks, compute, of)
