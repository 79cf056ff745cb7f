"""Mappings laid over one another, each value knowing the layer that said it."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

CHOICES = ("method", "editor")  # of another name, they replace what lies under them


class Laid(dict):
    """A plain mapping that knows its values' layers.

    said: by key, the layer that a value is from. A value that is itself a mapping knows those of its own.
    """

    def __init__(self, values: Any = (), said: Any = ()):
        super().__init__(values)
        self.said: dict[str, str] = dict(said)

    def say(self, key: str, value: Any, layer: str) -> None:
        """Set one value, said by `layer` as far as it does not know better."""
        self[key], self.said[key] = marked(value, layer), layer

    def without(self, keys: Container[str]) -> Laid:
        """All but some keys."""
        return Laid({k: v for k, v in self.items() if k not in keys}, self.said)

    def layer_of(self, *path: str) -> str | None:
        """The layer that said the value at a path; None where no layer did."""
        inner = self
        for part in path[:-1]:
            inner = inner.get(part)
            if not isinstance(inner, Laid):
                return None
        return inner.said.get(path[-1]) if path[-1] in inner else None


def marked(value: Any, layer: str) -> Any:
    """A value, and all that is below it, as said by one layer; what knows its layers already keeps them."""
    if not isinstance(value, dict) or isinstance(value, Laid):
        return value
    return Laid({k: marked(v, layer) for k, v in value.items()}, dict.fromkeys(value, layer))


def lay(base: Laid, over: Laid) -> Laid:
    """`over` on top of `base`, mapping by mapping; a choice of another name replaces the old one with its
    settings.
    """
    merged = Laid(base, base.said)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Laid) and isinstance(value, Laid)
        same = both and (key not in CHOICES or old.get("name") == value.get("name", old.get("name")))
        merged[key] = lay(old, value) if same else value
        merged.said[key] = over.said[key]
    return merged
