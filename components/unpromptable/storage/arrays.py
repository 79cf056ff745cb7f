"""Safetensors files of uint8 arrays that need not fit into memory: read on demand, written piece by piece.

An array of a file is a read-only view of it: a slice, or chosen rows, are read when they are asked for, and
the kernel drops what was read when it needs the room. A file that is replaced by a rename, or removed, stays
readable as it was; none may be written in place while it is viewed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

PIECE = 1 << 24  # bytes that are read or written at once
NUMBER, FILLED = 8, 8  # bytes of the header's length, and to a multiple of what the header is filled
UNKNOWN = "0" * 64  # stands for a SHA-256 until it is known
KIND = "U8"

Shape = tuple[int, ...]


class Sliced(Protocol):
    """What can be taken by rows: an array, or some rows of one."""

    shape: Shape

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice) -> np.ndarray: ...


@dataclass(frozen=True)
class Layout:
    """Where each array of a file begins, counted from the file's first byte, its shape, and the metadata."""

    path: Path
    places: dict[str, tuple[int, Shape]]
    metadata: dict[str, str]

    def views(self) -> dict[str, np.ndarray]:
        """The arrays by name, read on demand."""
        whole = np.asarray(np.memmap(self.path, np.uint8, "r"))
        return {k: whole[at : at + math.prod(shape)].reshape(shape) for k, (at, shape) in self.places.items()}

    def sha256(self, name: str) -> str:
        """Identity of an array's bytes, read from the file."""
        begin, shape = self.places[name]
        found, left = hashlib.sha256(), math.prod(shape)
        with self.path.open("rb") as stream:
            stream.seek(begin)
            while left and (part := stream.read(min(PIECE, left))):
                found.update(part)
                left -= len(part)
        return found.hexdigest()


def layout(path: str | Path) -> Layout:
    """What a file says of itself.

    Raises safetensors.SafetensorError where it is not whole, ValueError where an array of it is not of uint8.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:  # it checks that the header and the length agree
        metadata = file.metadata() or {}
    with Path(path).open("rb") as stream:
        length = int.from_bytes(stream.read(NUMBER), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    wrong = sorted({one["dtype"] for one in header.values()} - {KIND})
    if wrong:
        raise ValueError(f"it holds {', '.join(wrong)}; pictures are of {KIND}")
    begin = NUMBER + length
    places = {k: (begin + one["data_offsets"][0], tuple(one["shape"])) for k, one in header.items()}
    return Layout(Path(path), places, metadata)


class Scratch:
    """Rows that are written to a file one after another, to be one array that is read on demand."""

    def __init__(self, path: Path, shape: Shape):
        """shape: of a row."""
        self.path, self.shape, self.stream = path, shape, path.open("wb")

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def add(self, rows: np.ndarray) -> None:
        """Write uint8 rows (n, *shape). Raises ValueError where they are others."""
        _joined(self.path.name, [np.empty((0, *self.shape), np.uint8), rows])
        self.stream.write(np.ascontiguousarray(rows).data)

    def rows(self) -> np.ndarray:
        """All that was added."""
        self.stream.flush()
        if not self.path.stat().st_size:
            return np.empty((0, *self.shape), np.uint8)
        return np.asarray(np.memmap(self.path, np.uint8, "r")).reshape(-1, *self.shape)


def write(
    path: Path, arrays: dict[str, list[Any]], metadata: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    """Write arrays, each in parts that follow one another, byte for byte as `safetensors.save_file` does.

    arrays: parts of uint8 (n, ...) that can be sliced. metadata: the file's, of the SHA-256 of each array;
    whatever these are, it is as long. Raises ValueError where a part is of another kind or shape.
    """
    shapes = {name: _joined(name, arrays[name]) for name in sorted(arrays)}
    head = _header(shapes, metadata(dict.fromkeys(arrays, UNKNOWN)))
    with path.open("wb") as stream:
        stream.write(head)
        found = {name: _pour(stream, (p for part in arrays[name] for p in pieces(part))) for name in shapes}
        stream.seek(0)
        stream.write(_header(shapes, metadata({name: found[name] for name in arrays})))


def _joined(name: str, parts: list[Any]) -> Shape:
    first = parts[0]
    for part in parts:
        if part.dtype != np.uint8 or part.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{name}: a part is {part.dtype} {part.shape}; it must be uint8 (n, *{first.shape[1:]})"
            )
    return sum(len(part) for part in parts), *first.shape[1:]


def _header(shapes: dict[str, Shape], metadata: dict[str, str]) -> bytes:
    at = 0
    told: dict[str, Any] = {"__metadata__": metadata}
    for name, shape in shapes.items():
        told[name] = {"dtype": KIND, "shape": list(shape), "data_offsets": [at, at + math.prod(shape)]}
        at += math.prod(shape)
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % FILLED)
    return len(text).to_bytes(NUMBER, "little") + text


def _pour(stream: BinaryIO, parts: Iterable[np.ndarray]) -> str:
    """Write one array; its SHA-256."""
    found = hashlib.sha256()
    for part in parts:
        content = np.ascontiguousarray(part).data
        found.update(content)
        stream.write(content)
    return found.hexdigest()


def pieces(array: Sliced) -> Iterator[np.ndarray]:
    """An array (n, ...) of bytes in parts of about PIECE bytes, one after another."""
    rows = max(1, PIECE // max(1, math.prod(array.shape[1:])))
    return (array[i : i + rows] for i in range(0, len(array), rows))
