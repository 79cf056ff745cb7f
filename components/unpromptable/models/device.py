"""Where networks run: on one device, or in a process for each of several."""

from __future__ import annotations

import os

VARIABLE = "UNPROMPTABLE_PROCESSES"  # the pod's variable that says another number than that of its GPUs


def best() -> str:
    """'cuda' where there is one, else 'cpu'."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def memory() -> int:
    """Bytes of the GPU's memory, else of this machine's."""
    import torch

    if best() == "cuda":
        return torch.cuda.get_device_properties(0).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def processes() -> int:
    """How many processes a step may share its work among: one for each GPU that is seen, 1 without any.

    Raises ValueError where the pod's variable says another number that the GPUs cannot hold, or none at all.
    """
    told = os.environ.get(VARIABLE, "")
    if told and not (told.isdigit() and int(told)):
        raise ValueError(f"{VARIABLE} is {told!r}; give a whole number, 1 or more")
    if told == "1":
        return 1
    import torch

    seen = torch.cuda.device_count()
    if told and seen and int(told) > seen:
        raise ValueError(f"{VARIABLE} is {told}, but {seen} GPUs are seen; each process needs its own")
    return int(told) if told else max(1, seen)


def take(rank: int, number: int) -> None:
    """Make this process, which is `rank` of `number`, use its own GPU and its share of the CPU's threads."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // number))
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
