"""What a base model in memory must have, and may have; all else sees a model through this, of any family.

t (B,) are timesteps of the model's own process, x of shape (B, C, h, w) lies in its space, pictures are uint8
(B, H, W, 3).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from unpromptable import equations

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from torch import Tensor

Where: TypeAlias = "str | Path"
Device: TypeAlias = "str | torch.device"
Told: TypeAlias = "Callable[[int, int], None] | None"  # told of what is done, of all


class Model(Protocol):
    """A base model in memory."""

    device: torch.device
    timesteps: int  # of the process; settings count it in thousandths
    size: int  # pixels a side of a picture
    prompt: str = ""  # of the experiment; part of the model wherever no other prompt is given

    @classmethod
    @abstractmethod
    def load(
        cls, folder: Where, device: Device = "cpu", experiment: Any = None, base: Where | None = None
    ) -> Model:
        """The model in `folder`, which the family's `fetch` or `save` wrote.
        experiment: whose settings and prompt it takes. base: the base model's folder, where `save` leaves
        only what changed. Raises FileNotFoundError or ValueError, saying what was found, for another folder.
        """

    @abstractmethod
    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(signal, noise) at the model's timesteps t (B,): each (B,), noise above 0 at `times`."""

    @abstractmethod
    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What `predict` should give at x_t of x0 and eps, (B, C, h, w)."""

    @abstractmethod
    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output for x_t (B, C, h, w) at t (B,), as losses see it, under the model's prompt."""

    @abstractmethod
    def encode(self, images: np.ndarray) -> Tensor:
        """Pictures to model space, on `device`. Raises ValueError for a size that the model cannot take."""

    @abstractmethod
    def decode(self, x: Tensor) -> np.ndarray:
        """Model space to pictures. Raises ValueError where a value is not finite."""

    @abstractmethod
    def trained(self) -> list[Tensor]:
        """The parameters that unlearning changes, always in the same order."""

    @abstractmethod
    def reference(self) -> Model:
        """The untouched model, which training this one does not change: a frozen copy, or the adapter off."""

    @abstractmethod
    def sampler(self, name: str) -> Any:
        """A fresh scheduler of diffusers' interface, by a name among the family's `samplers`."""

    @abstractmethod
    def injection_schedule(self, t: int, stride: int = 1) -> tuple[Any, list[float]]:
        """Scheduler and its timesteps from the model's own timestep t down to a clean picture."""

    @abstractmethod
    def noise_shape(self) -> tuple[int, ...]:
        """(C, h, w) of one x_T."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What training changed, on the CPU, by name."""

    @abstractmethod
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave. Raises ValueError or RuntimeError where it is another model's."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` reads. Raises ValueError, and writes nothing, where a weight is not finite."""

    def encoded(self, images: np.ndarray, which: np.ndarray) -> Tensor:
        """Pictures `which` (B,) of an array that stays as it is; costly encoders read each of them once."""
        return self.encode(images[which])

    def times(self, index: Tensor, floored: bool = True) -> Tensor:
        """Timesteps (B,) at indices 0 .. timesteps-1 (B,), 0 the least noisy; floored: of training alone."""
        return index

    def within(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last index of `times` in thousandths first..last of the process, one at least."""
        return equations.own_steps(first, last, self.timesteps)

    def thousandths(self, t: Tensor) -> Tensor:
        """Where timesteps t (B,) lie in the process, in thousandths."""
        return t if self.timesteps == 1000 else t * 1000 / self.timesteps

    def target_of(self, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        """The output that carries x_t back to `x0`: Eq. 9 for the image itself, Eq. 10 for a surrogate."""
        return self.target(x0, equations.implied_noise(x_t, x0, *self.schedule(t)), t)

    def noise_of(self, output: Tensor, x_t: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """The noise that an output at x_t implies; signal, noise: (B,), also between timesteps. Raises
        ValueError for a family whose space is not that of pictures: it has no likelihood of them.
        """
        raise ValueError("likelihood: no `noise_of`, since its space is not that of pictures; leave it out")

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """What a sampler follows, (B, C, h, w): the output, guided where the family guides."""
        return self.predict(x_t, t)

    def with_prompts(
        self, prompts: Sequence[str], guidance: float | None = None, negative: str | None = None
    ) -> Model:
        """The same weights under one other prompt, or one per image. Raises ValueError if it takes none."""
        raise ValueError("model: its family takes no prompt; leave other_prompts and remember.prompts out")

    def unprompted(self) -> Model:
        """The same weights without a prompt."""
        return self

    def sdedit(
        self, image: np.ndarray, strength: float, draws: int, seed: int, words: Any, progress: Told = None
    ) -> np.ndarray:
        """Variations (draws, H, W, 3) of a picture (H, W, 3); words: the editor sdedit, for its settings.
        strength: in (0, 1]. progress(done, total): network calls. Raises ValueError where there are none.
        """
        raise ValueError("editor: the model's family has no `sdedit`; choose another editor")

    @contextmanager
    def inference(self) -> Iterator[Model]:
        """No gradients inside."""
        import torch

        with torch.inference_mode():
            yield self
