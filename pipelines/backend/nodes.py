"""Which nodes can take the steps' pods, told from the nodes' list alone: no pod is started for it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from unpromptable.execution.probe import Finding

POOL_LABELS = (
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "agentpool",
    "node.kubernetes.io/instance-type",
)
UNITS = {"cpu": "CPUs", "memory": "memory"}


def fits(pods: dict[str, dict[str, Any]], nodes: list[Any]) -> Iterator[Finding]:
    """One finding for each kind of pod: where it fits, or what keeps it from every node."""
    able = [n for n in nodes if not n.spec.unschedulable and _ready(n)]
    for steps, pod in machines(pods).items():
        yield _place(", ".join(steps), pod, able)


def machines(pods: dict[str, dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Steps that ask for the same of a node -> one of their pods."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(pods):
        pod = pods[name]
        kinds.setdefault(repr((wanted(pod), pod.get("nodeSelector"), pod.get("tolerations"))), []).append(
            name
        )
    return {tuple(names): pods[names[0]] for names in kinds.values()}


def wanted(pod: dict[str, Any]) -> dict[str, Decimal]:
    """What a node must have free: requests, and limits of what has no request of its own, such as GPUs."""
    asked = [c.get("resources", {}) for c in pod["containers"]]
    found: dict[str, Decimal] = {}
    for one in asked:
        requests = one.get("requests", {})
        for name, value in {**requests, **one.get("limits", {}), **requests}.items():
            found[name] = found.get(name, Decimal(0)) + amount(value)
    return {name: value for name, value in found.items() if value}


def amount(text: str) -> Decimal:
    """A quantity of Kubernetes, such as 500m or 8Gi. Raises ValueError where it is none."""
    from kubernetes.utils.quantity import parse_quantity

    return parse_quantity(str(text))


def _place(steps: str, pod: dict[str, Any], nodes: list[Any]) -> Finding:
    selector, tolerations, need = pod.get("nodeSelector") or {}, pod.get("tolerations") or [], wanted(pod)
    chosen = [n for n in nodes if all((n.metadata.labels or {}).get(k) == v for k, v in selector.items())]
    if not chosen:
        text = f"{steps}: {_unlabelled(selector, nodes)}"
        return Finding("nodes", False, text, "scale that pool up, or change --node-selector")
    open_to = [n for n in chosen if tolerated(n.spec.taints or [], tolerations)]
    if not open_to:
        taints = sorted({f"{t.key}={t.value or ''}:{t.effect}" for n in chosen for t in n.spec.taints or []})
        text = f"{steps}: all {len(chosen)} nodes that they may use are tainted ({', '.join(taints)})"
        others = "or choose other nodes with --node-selector"
        return Finding("nodes", False, text, f"pass --toleration {taints[0].split('=')[0]}, {others}")
    pools = _pools(open_to, need)
    if any(all(_has(n, k) >= v for k, v in need.items()) for n in open_to):
        return Finding("nodes", True, f"{steps}: {pools}")
    return Finding("nodes", False, f"{steps}: {_lacking(open_to, need)} ({pools})", _remedy(need))


def _unlabelled(selector: dict[str, str], nodes: list[Any]) -> str:
    if not nodes:
        return "no node is ready"
    known = sorted(
        {f"{k}={n.metadata.labels[k]}" for n in nodes for k in selector if k in (n.metadata.labels or {})}
    )
    asked = ", ".join(f"{k}={v}" for k, v in selector.items())
    return f"no node has {asked}; there are {', '.join(known) or f'{len(nodes)} nodes without that label'}"


def _lacking(nodes: list[Any], need: dict[str, Decimal]) -> str:
    """What no node has enough of; where each is there but never together, all of it."""
    short = [k for k, v in need.items() if max(_has(n, k) for n in nodes) < v]
    say = lambda k: (
        f"{_shown(k, need[k])}, where the largest node has {_shown(k, max(_has(n, k) for n in nodes))}"
    )
    if short:
        return "no node here has " + "; nor ".join(say(k) for k in short)
    return "no node here has all of " + ", ".join(_shown(k, v) for k, v in need.items()) + " together"


def _remedy(need: dict[str, Decimal]) -> str:
    options = {"cpu": "--cpu", "memory": "--memory"}
    words = ", ".join(dict.fromkeys(options.get(k, "--gpus") for k in need))
    return f"scale up larger nodes, change --node-selector or --toleration, or ask for less: {words}"


def _pools(nodes: list[Any], need: dict[str, Decimal]) -> str:
    pools: dict[str, list[Any]] = {}
    for node in nodes:
        labels = node.metadata.labels or {}
        pools.setdefault(
            next((labels[k] for k in POOL_LABELS if k in labels), node.metadata.name), []
        ).append(node)
    special = [k for k in need if k not in UNITS]
    count = lambda many: "".join(f", {sum(_has(n, k) for n in many)} {k}" for k in special)
    return "; ".join(f"{pool}: {len(many)} nodes{count(many)}" for pool, many in sorted(pools.items()))


def _shown(name: str, value: Decimal) -> str:
    if name == "memory":
        return f"{float(value / 2**30):.4g}Gi memory"
    return f"{value.normalize():f} {UNITS.get(name, name)}"


def _has(node: Any, name: str) -> Decimal:
    return amount((node.status.allocatable or {}).get(name, "0"))


def _ready(node: Any) -> bool:
    return all(c.status == "True" for c in node.status.conditions or [] if c.type == "Ready")


def tolerated(taints: list[Any], tolerations: list[dict[str, str]]) -> bool:
    """Whether a pod with these tolerations may be placed on a node with these taints."""

    def fits(taint: Any, one: dict[str, str]) -> bool:
        same_key = one.get("key") in (None, "", taint.key)
        same_value = one.get("operator") == "Exists" or one.get("value", "") == (taint.value or "")
        return same_key and same_value and one.get("effect", taint.effect) in ("", taint.effect)

    return all(
        taint.effect == "PreferNoSchedule" or any(fits(taint, one) for one in tolerations) for taint in taints
    )
