"""A shard in pieces, one batch of the network each: whichever device draws one, its pixels are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from unpromptable.planning.experiment import Experiment
from unpromptable.planning.spec import Shard

from .crew import Crew


class Piece(NamedTuple):
    """`count` entries from `first` on of one array of the artifact; of the injection test with its target."""

    array: str  # samples, others, or injected/TARGET
    first: int
    count: int
    target: str = ""


def of_shard(e: Experiment, shard: Shard, targets: tuple[str, ...]) -> list[Piece]:
    """All of a shard: its share of the targets denoised (Fig. 6), its images, and those of other prompts."""
    size, end = e.sampling.together, shard.first + shard.count
    drawn = [
        Piece(array, start, min(size, end - start))
        for array in (("samples", "others") if e.other_prompts else ("samples",))
        for start in range(shard.first, end, size)
    ]
    return of_targets(e, targets) + drawn


def of_targets(e: Experiment, targets: tuple[str, ...]) -> list[Piece]:
    """The injection test of these targets."""
    from unpromptable.sampling import chains

    return [
        Piece(f"injected/{target}", start, min(chains.DRAWS, e.injection.draws - start), target)
        for target in targets
        for start in range(0, e.injection.draws, chains.DRAWS)
    ]


def together(
    crew: Crew, asked: list[Piece], forget: dict[str, Any], title: str, bar: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """The arrays of an artifact as lists of pieces, drawn by a crew. forget: each target, (H, W, 3)."""
    calls = [(piece, forget.get(piece.target)) for piece in asked]
    drawn = crew.answers(calls, shown(asked, title, bar))
    names = sorted(dict.fromkeys(piece.array for piece in asked), key=lambda name: name != "samples")
    return {n: [images for piece, images in zip(asked, drawn) if piece.array == n] for n in names}


def draw(model: Any, e: Experiment, piece: Piece, image: Any, tell: Callable[[int, int], None]) -> Any:
    """A piece's pictures, uint8 (count, H, W, 3). image: the target (H, W, 3) of the injection test.

    tell(done, total): network calls.
    """
    from unpromptable.sampling import chains

    if piece.target:
        return chains.injected(model, image, replace(e.injection, draws=piece.count), tell, piece.first)
    prompts = e.other_prompts if piece.array == "others" else ()
    return chains.sample(model, e.sampling, piece.first, piece.count, tell, prompts)[0]


def shown(asked: list[Piece], title: str, bar: Callable[[int, int, str], None]) -> Callable:
    """show(number of a piece, done, total of its network calls): the bar of the array that it belongs to."""
    done: dict[int, int] = {}

    def show(number: int, calls: int, total: int) -> None:
        done[number], piece = calls, asked[number]
        alike = [i for i, other in enumerate(asked) if other.array == piece.array]
        text = f"denoising {piece.target}" if piece.target else title
        bar(sum(done.get(i, 0) for i in alike), total * len(alike), text)

    return show
