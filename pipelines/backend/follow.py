"""A submission without the doctor's checks, watched: an image that cannot be pulled ends the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .api import call
from .trial_pod import PULL_REMEDY, stuck

PATIENCE = 20.0  # seconds that a pull may fail before it counts, since a registry may falter once
EVERY = 5.0


def until_started(
    api: Any, run: str, namespace: str, images: set[str], minutes: float, say: Callable[[str], None]
) -> str:
    """Wait until a pod of each image runs; the reason when one cannot, an empty text otherwise."""
    from kubernetes import client

    core, ends, since = client.CoreV1Api(api), time.monotonic() + minutes * 60, {}
    say(f"waiting until the first pods run, at most {minutes:g} minutes; --no-wait leaves this out")
    left, last = set(images), "no pod was made yet"
    while left and time.monotonic() < ends:
        listed = call(
            lambda **more: core.list_namespaced_pod(namespace, label_selector=f"pipeline/runid={run}", **more)
        )
        if isinstance(listed, int):
            why = f"the pods of {namespace} cannot be listed with these rights ({listed})"
            say(f"{why}; one that cannot start ends after its deadline")
            return ""
        for pod in listed.items:
            reason = stuck(pod.status)
            first = since.setdefault((pod.metadata.name, bool(reason)), time.monotonic())
            if reason and time.monotonic() - first >= PATIENCE:
                return f"pod {pod.metadata.name}: {reason}; {PULL_REMEDY}"
            left -= _running(pod)
            last = next(
                (c.message for c in pod.status.conditions or [] if c.status == "False" and c.message), last
            )
        if left:
            time.sleep(EVERY)
    if left:
        say(f"not started yet: {last}; the run goes on")
    return ""


def _running(pod: Any) -> set[str]:
    """Images of this pod's containers that have run."""
    begun = [
        c for c in pod.status.container_statuses or [] if c.state and (c.state.running or c.state.terminated)
    ]
    names = {c.name for c in begun}
    return {c.image for c in pod.spec.containers if c.name in names}
