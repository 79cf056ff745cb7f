"""Timesteps as settings count them: thousandths of a process, whatever number a model has."""

from __future__ import annotations


def own_step(thousandth: int, timesteps: int) -> int:
    """A model's timestep at a thousandth of its process, at least 1.

    Settings count a process in thousandths, the paper's timesteps, whatever number a model has; one of 1000
    has these.
    """
    return max(1, thousandth * timesteps // 1000)


def own_steps(first: int, last: int, timesteps: int) -> tuple[int, int]:
    """The first and the last of a model's timesteps that lie in thousandths first..last."""
    return first * timesteps // 1000, -(-(last + 1) * timesteps // 1000) - 1
