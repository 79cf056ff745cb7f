"""Networks as ONNX files: a file is read, checked, and becomes a function of pictures.

An ONNX file is data. It lists operators that onnxruntime knows; those of others would have to be registered,
and weights beside the file would have to be named by their folder. Neither is done here. Networks run on the
CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unpromptable import equations

BATCH = 16  # pictures of a call, where the file leaves their number open
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # mean and deviation, in levels
CLIP = ((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305))
REMEDY = "pip install '.[onnx]' in the clone"


@dataclass(frozen=True)
class Input:
    """How pictures are shown to a network that takes float32: (levels 0..255 - mean) / deviation."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    size: int = 0  # pixels a side, where the file leaves it open; 0: the file must say it
    resampling: Literal["bilinear", "bicubic"] = "bilinear"


@dataclass(frozen=True)
class Network:
    """A file's network. `where` is the setting that named it, for messages."""

    path: Path
    where: str
    shown: Input
    session: Any

    def __call__(self, images: np.ndarray) -> Tensor:
        """Its outputs for uint8 pictures (N, H, W, 3), float32 (N, D). Raises ValueError where they are not
        one row of finite numbers for each picture.
        """
        step = self._number or BATCH
        found = [self._rows(images[i : i + step]) for i in range(0, len(images), step)]
        return torch.from_numpy(np.concatenate(found))

    def directions(self, images: np.ndarray) -> Tensor:
        """The outputs at length 1, (N, D). Raises ValueError where one is 0 throughout."""
        rows = self(images)
        lengths = rows.norm(dim=1, keepdim=True)
        if not lengths.all():
            raise ValueError(f"{self.where}: {self.path} gives a picture an embedding of zeros alone")
        return rows / lengths

    def sized(self, images: np.ndarray) -> Tensor:
        """float32 (N, 3, H, W) in levels 0..255, of the size that the file asks for."""
        x = equations.unit(equations.planes(images))
        how = {"mode": self.shown.resampling, "antialias": True, "align_corners": False}
        return 255 * torch.nn.functional.interpolate(x, self._size, **how).clamp(0, 1)

    def run(self, levels: Tensor) -> np.ndarray:
        """One call: float32 (n, 3, H, W) in levels to (n, D). n: what the file asks for, or any number."""
        if self._input.type == "tensor(uint8)":
            given = levels.round().to(torch.uint8)
        else:
            mean, deviation = (
                torch.tensor(v).view(1, 3, 1, 1) for v in (self.shown.mean, self.shown.deviation)
            )
            given = (levels - mean) / deviation
        given = given.flip(1) if self.shown.channels == "bgr" else given
        given = given.movedim(1, -1) if self._last else given
        output = self._called(given.contiguous().numpy())
        if output.ndim < 2 or len(output) != len(levels):
            raise ValueError(
                f"{self.where}: {self.path} gives an array of shape {output.shape} for {len(levels)}"
                " pictures; it should give one row for each"
            )
        if not np.isfinite(output).all():
            raise ValueError(f"{self.where}: {self.path} gives values that are not finite; it is damaged")
        return output.reshape(len(output), -1).astype(np.float32)

    def _called(self, given: np.ndarray) -> np.ndarray:
        try:
            return self.session.run([self.session.get_outputs()[0].name], {self._input.name: given})[0]
        except refused() as error:
            raise ValueError(f"{self.where}: {self.path} cannot be run ({_line(error)})") from error

    def _rows(self, images: np.ndarray) -> np.ndarray:
        """Of at most one call's pictures; a file that asks for more is shown the last one again."""
        levels = self.sized(images)
        missing = (self._number or len(levels)) - len(levels)
        return self.run(torch.cat([levels, *[levels[-1:]] * missing]))[: len(images)]

    @property
    def _input(self) -> Any:
        return self.session.get_inputs()[0]

    @property
    def _last(self) -> bool:
        """Whether channels are the last axis."""
        return self._input.shape[1] != 3

    @property
    def _number(self) -> int:
        """Pictures of a call; 0 where any number will do."""
        number = self._input.shape[0]
        return number if isinstance(number, int) else 0

    @cached_property
    def _size(self) -> list[int]:
        """Height and width."""
        shape = self._input.shape
        asked = shape[1:3] if self._last else shape[2:4]
        return [side if isinstance(side, int) else self.shown.size for side in asked]


def load(path: str | Path, where: str, shown: Input = Input()) -> Network:
    """The network in an ONNX file, which setting `where` names.

    Raises ValueError where none is named, or the file is no ONNX file of pictures; FileNotFoundError where it
    is not there; ModuleNotFoundError where onnxruntime is not installed.
    """
    found = Network(file(path, where), where, shown, _session(file(path, where), where))
    _check(found)
    return found


def file(path: str | Path, where: str) -> Path:
    """The file that setting `where` names. Raises as `load` does where there is none."""
    if not path:
        raise ValueError(f"{where} is not given; name the ONNX file of the network")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{where}: {path} is not a file; name the ONNX file of the network")
    return Path(path)


def refused() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file that it cannot read or run, each an Exception of its own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotFound", "NotImplemented")
    return tuple(getattr(states, name) for name in (*names, "RuntimeException"))


def _session(path: Path, where: str) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{where}: {path} is run by onnxruntime; {REMEDY}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns of how files are written; what it refuses is raised
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except refused() as error:
        raise ValueError(f"{where}: {path} is no ONNX file that can be run ({_line(error)})") from error


def _check(network: Network) -> None:
    """Raise ValueError where the file does not take pictures of one size, or two kinds of input."""
    given = network.session.get_inputs()
    shapes = ", ".join(f"{i.name} {i.shape} {i.type}" for i in given)
    pictures = len(given) == 1 and len(given[0].shape) == 4 and 3 in (given[0].shape[1], given[0].shape[3])
    if not pictures or given[0].type not in ("tensor(float)", "tensor(uint8)"):
        raise ValueError(
            f"{network.where}: {network.path} takes {shapes}; it should take pictures alone, (N, 3, H, W) or"
            " (N, H, W, 3) of float32 or uint8"
        )
    if (told := network.session.get_outputs()[0]).type != "tensor(float)":
        raise ValueError(
            f"{network.where}: {network.path} gives {told.name} {told.type}; it should be float32"
        )
    if not all(network._size):
        raise ValueError(
            f"{network.where}: {network.path} takes {shapes}, which leaves the size of pictures open; give it"
            " as `size`"
        )


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
