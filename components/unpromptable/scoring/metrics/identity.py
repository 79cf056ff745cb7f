"""Identity: how far a face recogniser puts the denoised target from the target; at 0 it is the same face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from unpromptable import protocols
from unpromptable.scoring import onnx_files
from unpromptable.scoring.estimates import Estimate, over_targets


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """1 minus the cosine of a face recogniser's embeddings, 0 to 2; beyond the paper.

    The recogniser is any ONNX file of pictures of one size, to which pictures are resized as they are: no
    face is looked for and none is aligned, so they should be crops of faces as it was trained on. From which
    distance on two faces are of two people is the recogniser's own: 0.637 of SFace, as OpenCV has it.
    """

    model: str = ""  # the ONNX file
    # as it is fed: (levels 0..255 - mean) / deviation; these are SFace's, others take 127.5 and 127.5
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"  # their order
    size: int = 0  # pixels a side, for a file that leaves it open

    def __post_init__(self):
        if min(self.deviation) <= 0:
            raise ValueError(f"identity.deviation is {self.deviation}; give three numbers above 0")
        if self.channels not in ("rgb", "bgr") or self.size < 0:
            raise ValueError(
                f"identity: channels are {self.channels!r} (rgb or bgr), size {self.size} (0, or the side)"
            )

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """identity: of the denoised targets after, against the target; identity_before: before;
        identity_pair: after against before, as SSCD compares them. Means over draws, the interval over
        targets, or over one target's draws.
        """
        shown = onnx_files.Input(self.mean, self.deviation, self.channels, self.size)
        recogniser = onnx_files.load(self.model, "identity.model", shown)
        found: dict[str, list[np.ndarray]] = {"identity": [], "identity_before": [], "identity_pair": []}
        for target, image in evidence.forget.items():
            own = recogniser.directions(image[None])[0]
            before, after = (
                recogniser.directions(side[target])
                for side in (evidence.injected_before, evidence.injected_after)
            )
            for key, alike in zip(found, (after @ own, before @ own, (before * after).sum(1))):
                found[key].append(1 - alike.numpy())
        return {key: over_targets(values) for key, values in found.items()}

    def files(self) -> list[Path]:
        """The recogniser. Raises ValueError where none is named, FileNotFoundError where it is not there."""
        return [onnx_files.file(self.model, "identity.model")]
