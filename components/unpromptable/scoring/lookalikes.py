"""Which pictures to keep look most like a target: those a fix may take along, and those it is held to."""

from __future__ import annotations

import numpy as np


def nearest(keep: np.ndarray, targets: np.ndarray, each: int) -> np.ndarray:
    """Rows of `keep` (R, D), of each target (F, D) the `each` most similar by unit descriptors, the nearest
    first; one that is near to several targets once.
    """
    order = np.argsort(-(keep @ targets.T), axis=0, kind="stable")[:each]
    return np.array(list(dict.fromkeys(order.T.ravel().tolist())), np.intp)
