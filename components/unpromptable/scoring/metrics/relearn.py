"""Relearning: how many updates on a few other pictures, of the person or of others, bring the target back;
what is truly gone takes long.

Beyond the paper. The updates are plain training (Eq. 2) over the whole process, of as many pictures whatever
the cell's batch and timesteps are, since cells are compared by them; the optimiser is the cell's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from unpromptable import equations, pictures, protocols
from unpromptable.planning.settings import Training
from unpromptable.sampling import chains
from unpromptable.scoring.estimates import Estimate, of_one, over_targets
from unpromptable.scoring.verdict import THRESHOLD

SOURCES = ("person", "unrelated", "target")
POOL = 512  # unrelated pictures that are drawn from


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Updates until the denoised target is again like the base model's, looked at every few; the base model
    itself needs 0.
    """

    small: ClassVar[Mapping[str, Any]] = {"updates": 2, "every": 1, "draws": 2}
    # person, other pictures of it; unrelated, images to keep of nobody's targets; target, the picture itself
    source: str = "person"
    # of other pictures of the person; empty takes the real images whose names begin like the target's, 0004-0
    # for 0004-3
    folder: str = ""
    curve: bool = False  # go on to the end where it is back, and tell the similarity at every look
    updates: int = 100  # at most
    every: int = 20  # updates between two looks
    draws: int = 8  # noise draws per look
    batch: int = 8  # pictures of an update; as many at a time as the cell's training.micro_batch says
    lr: float = 0.0  # 0 is the cell's; say one where cells differ in theirs
    seed: int = 0

    def __post_init__(self):
        least = min(self.updates, self.every, self.draws, self.batch)
        if least < 1 or self.updates % self.every or self.lr < 0:
            raise ValueError(
                f"relearn: updates {self.updates}, every {self.every}, draws {self.draws}, batch {self.batch}"
                f", lr {self.lr}; every must divide updates, and none may be below 1 but lr, which may be 0"
            )
        if self.source not in SOURCES:
            raise ValueError(f"relearn.source: no {self.source!r}; choose from {', '.join(SOURCES)}")
        if self.folder and self.source != "person":
            raise ValueError(f"relearn.folder holds pictures of the person; leave it out for {self.source}")

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """relearn: updates until SSCD is 0.4 or more, `updates` where it never is; relearn_sscd: the SSCD
        there; relearn_least: the updates of the target that comes back first. With curve relearn_sscd_at_N:
        the SSCD after N updates.
        """
        looks = [self._target(evidence, networks, t) for t in evidence.forget]
        back = [next((k for k, a in enumerate(seen) if a >= THRESHOLD), len(seen) - 1) for seen in looks]
        steps = [np.array([float(k * self.every)]) for k in back]
        at = lambda places: over_targets([np.array([seen[k]]) for seen, k in zip(looks, places)])
        curve = range(0, self.updates + 1, self.every) if self.curve else ()
        return {
            "relearn": over_targets(steps),
            "relearn_sscd": at(back),
            "relearn_least": of_one(steps, least=True),
            **{f"relearn_sscd_at_{n}": at([n // self.every] * len(looks)) for n in curve},
        }

    def files(self) -> list[Path]:
        """The pictures of `folder`, links out of it followed, as `pictures.links` may ask. Raises where it
        holds none.
        """
        return list(pictures.find(self.folder, True, "relearn.folder").files) if self.folder else []

    def check(self, names: Sequence[str], targets: Sequence[str]) -> None:
        """Raises ValueError where a target has no other picture of its person, and no folder names some."""
        if self.source == "person" and not self.folder:
            for target in targets:
                _others(names, target, targets)

    def taught(self, training: Training) -> int:
        """Those of a part of a batch."""
        return min(training.micro_batch or self.batch, self.batch)

    def _target(self, evidence, networks, target: str) -> list[float]:
        """The SSCD at every look, until the target is back, or to the end."""
        model, looks = evidence.model("after"), []
        wanted = networks.descriptor(evidence.injected_before[target][: self.draws])
        shown, settings = self._pictures(evidence, target), evidence.training
        test = replace(evidence.injection, draws=len(wanted))
        optimizer = torch.optim.AdamW(
            model.trained(),
            lr=self.lr or settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            eps=settings.eps,
        )
        for done in range(0, self.updates + 1):
            if done % self.every == 0:
                seen = chains.injected(model, evidence.forget[target], test)
                looks.append(float((networks.descriptor(seen) * wanted).sum(1).mean()))
                if looks[-1] >= THRESHOLD and not self.curve:
                    break
            if done < self.updates:
                self._update(model, optimizer, shown, done, settings)
        return looks

    def _update(self, model, optimizer, pictures: np.ndarray, step: int, settings) -> None:
        g = chains.generator(self.seed, step, 3)
        x0 = model.encode(pictures[torch.randint(len(pictures), (self.batch,), generator=g).numpy()])
        t = model.times(torch.randint(model.timesteps, (self.batch,), generator=g).to(model.device))
        eps = torch.randn(x0.shape, generator=g).to(x0)
        for part in torch.arange(self.batch, device=model.device).split(self.taught(settings)):
            x, e, at = x0[part], eps[part], t[part]
            output = model.predict(equations.noisy(x, e, *model.schedule(at)), at)
            error = equations.squared_error(output, model.target(x, e, at))
            (error.sum() / self.batch).backward()
        if settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(model.trained(), settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _pictures(self, evidence, target: str) -> np.ndarray:
        """What is trained on, (K, H, W, 3). Raises ValueError where there is none."""
        own = {
            "target": lambda: evidence.forget[target][None],
            "unrelated": lambda: self._unrelated(evidence),
        }
        return own[self.source]() if self.source in own else self._person(evidence, target)

    def _person(self, evidence, target: str) -> np.ndarray:
        """Other pictures of the person."""
        if self.folder:
            how, size = evidence.pictures, evidence.real.shape[1]
            return pictures.read_folder(
                self.folder, size, how.links, how.background, "relearn.folder", how.max_pixels
            )[0]
        return evidence.real[_others(evidence.names, evidence.named(target), _named(evidence))]

    def _unrelated(self, evidence) -> np.ndarray:
        """Some of the images to keep, or of the real ones, that are no picture of any target's person."""
        pool = evidence.real if evidence.remember is None else evidence.remember
        shown = pool[np.sort(np.random.default_rng(self.seed).permutation(len(pool))[:POOL])]
        own = _named(evidence)
        mine = [evidence.real[i] for t in own for i in _same(evidence.names, t, own)]
        theirs = {picture.tobytes() for picture in (*mine, *evidence.forget.values())}
        kept = [i for i, picture in enumerate(shown) if picture.tobytes() not in theirs]
        if not kept:
            raise ValueError("relearn.source is unrelated, but every image to keep is of a target's person")
        return shown[kept]


def _named(evidence) -> list[str]:
    """What the targets are called among the real images."""
    return [evidence.named(t) for t in evidence.forget]


def _others(names: Sequence[str], target: str, targets: Collection[str]) -> list[int]:
    """`_same`. Raises ValueError where there is none."""
    if mine := _same(names, target, targets):
        return mine
    raise ValueError(
        f"relearn: no other picture of {target} among the real images; name a folder of some as"
        " relearn.folder"
    )


def _same(names: Sequence[str], target: str, targets: Collection[str]) -> list[int]:
    """The places of other pictures of the target's person among the real images, by their names."""
    person = pictures.group(target)
    return [i for i, name in enumerate(names) if pictures.group(name) == person and name not in targets]
