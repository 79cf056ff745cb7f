"""Frechet distances of Inception's 2048 features: one distance against pytorch-fid's, and all that one more
cell needs (fid_pre and fid_real with their intervals) against covariances and roots made anew each time.
"""

from __future__ import annotations

import numpy as np
import paired
from pytorch_fid.fid_score import calculate_frechet_distance

from unpromptable.scoring import frechet

IMAGES, FEATURES = 10_000, 2048


def features(images: int, shift: float, seed: int) -> np.ndarray:
    """Like Inception's pooled ones: at least 0, of falling spread, float32 (images, FEATURES)."""
    scale = np.exp(-np.arange(FEATURES) / 500)
    mixed = np.random.default_rng(9).normal(size=(FEATURES, FEATURES)) / FEATURES**0.5 + np.eye(FEATURES)
    drawn = np.random.default_rng(seed).normal(shift, 1, (images, FEATURES)) * scale
    return np.maximum(drawn @ mixed, 0).astype(np.float32)


def plain(a: np.ndarray, b: np.ndarray, left_out_of_both: bool) -> list[float]:
    """The whole distance and those without each tenth, each from the features, by two eigenproblems."""
    part = np.arange(len(a)) % frechet.GROUPS
    keeps = [np.ones(len(a), bool), *(part != g for g in range(frechet.GROUPS))]
    return [_plain_distance(a[k], b[k] if left_out_of_both else b) for k in keeps]


def _plain_distance(a: np.ndarray, b: np.ndarray) -> float:
    (mean, one), (other, two) = (
        (x.mean(0, dtype=float), np.cov(x.astype(float), rowvar=False)) for x in (a, b)
    )
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ two @ root).clip(0)).sum()
    return float(np.square(mean - other).sum() + np.trace(one) + np.trace(two) - 2 * shared)


def one_distance(asked) -> None:
    """One distance between statistics, the factor made anew."""
    a, b = (frechet.statistics(features(IMAGES, s, k)) for k, s in enumerate((0.5, 0.6)))
    theirs = lambda: calculate_frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    ours = lambda: frechet.distance(a, frechet.Statistics(b.mean, b.covariance, b.n))
    error = abs(ours() / theirs() - 1)
    found = paired.ratio(ours, theirs, asked.pairs, warm=0)
    paired.record(
        asked.out, "frechet", "one distance, to pytorch-fid's", found, wanted=10, error=float(error)
    )


def one_cell(asked) -> None:
    """fid_pre, fid_real and, in the plain way, the floor that all cells share: minutes a call."""
    before, real = features(IMAGES, 0.5, 0), features(IMAGES, 0.6, 1)
    after = (before + 0.1 * features(IMAGES, 0.5, 2)).astype(np.float32)
    ours = lambda: [frechet.interval(after, before, True), frechet.interval(after, real, False)]
    other = lambda: [plain(after, before, True), plain(after, real, False), plain(before, real, False)]
    kept = {}
    keep = lambda name, call: lambda: kept.update({name: call()})
    found = paired.ratio(keep("ours", ours), keep("other", other), max(1, asked.pairs // 15), warm=0)
    error = max(abs(x[0] / y[0] - 1) for x, y in zip(kept["ours"], kept["other"]))
    paired.record(asked.out, "frechet", "one more cell, to roots made anew", found, error=float(error))


if __name__ == "__main__":
    given = paired.arguments("Frechet distances of 2048 features, on the processor.").parse_args()
    one_distance(given)
    one_cell(given)
