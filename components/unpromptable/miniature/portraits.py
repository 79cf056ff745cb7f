"""Portraits drawn by code: people who do not exist, at 32 x 32.

An identity is a seeded set of features; a picture is an identity seen under nuisance (turn, light,
expression, crop). Every shape is a signed distance, so the drawing is numpy arithmetic alone and the
same seed gives the same pixels on every machine that rounds floats alike.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

SIZE, FINE = 32, 3  # pixels a side; supersampling per side
SKINS = {
    "pale": (246, 222, 202),
    "fair": (232, 190, 160),
    "tan": (206, 154, 116),
    "olive": (182, 142, 96),
    "brown": (140, 92, 62),
    "dark": (86, 56, 42),
}
HAIRS = {
    "black": (28, 24, 26),
    "brown": (96, 58, 34),
    "blond": (226, 188, 98),
    "red": (176, 74, 34),
    "grey": (142, 142, 146),
    "white": (238, 238, 234),
}
EYES = {"brown": (70, 40, 20), "blue": (60, 120, 200), "green": (60, 140, 80), "grey": (110, 120, 128)}
GROUNDS = {
    "blue": (64, 120, 220),
    "green": (70, 176, 120),
    "red": (190, 90, 116),
    "yellow": (214, 200, 128),
    "grey": (150, 160, 172),
    "purple": (124, 108, 204),
    "teal": (50, 170, 184),
    "dark": (38, 50, 80),
}
CLOTHES = {
    "navy": (32, 44, 84),
    "white": (232, 232, 228),
    "crimson": (150, 32, 48),
    "olive": (98, 104, 52),
    "orange": (220, 124, 44),
    "black": (26, 26, 28),
}
# the average picture is mid-grey, as is the noise that sampling starts from
BALANCE = np.array((1.004, 1.048, 1.042))
CUTS = ("bald", "short", "parted", "bob", "long", "curly")
BEARDS = ("none", "none", "none", "moustache", "goatee", "full")
GLASSES = ("none", "none", "none", "round", "square", "dark")
HATS = ("none", "none", "none", "none", "cap", "beanie", "brimmed")


@dataclass(frozen=True)
class Identity:
    """One person. Lengths are in units of half the picture's width."""

    skin: str
    hair: str
    cut: str
    eyes: str
    beard: str
    glasses: str
    hat: str
    ground: str
    clothes: str
    width: float  # half-width of the face, 0.42..0.56
    height: float  # half-height, 0.56..0.70
    jaw: float  # superellipse exponent below the eyes, 1.7 (pointed)..3.2 (square)
    spacing: float  # half-distance of the pupils, 0.17..0.25
    eye: float  # eye radius, 0.055..0.085
    brow: float  # brow thickness, 0.02..0.055
    slant: float  # brow slant, -0.25..0.25
    nose: float  # nose length, 0.14..0.28
    mouth: float  # half-width of the mouth, 0.12..0.22
    lips: float  # lip thickness, 0.025..0.055

    def caption(self) -> str:
        """The words that name the features, in a fixed order."""
        hair = "a bald head" if self.cut == "bald" else f"{self.cut} {self.hair} hair"
        extras = (
            [f"a {self.beard} beard" if self.beard == "full" else f"a {self.beard}"]
            if self.beard != "none"
            else []
        )
        extras += [f"{self.glasses} glasses"] if self.glasses != "none" else []
        extras += [f"a {'brimmed hat' if self.hat == 'brimmed' else self.hat}"] if self.hat != "none" else []
        return (
            f"a person with {', '.join([hair, f'{self.skin} skin', f'{self.eyes} eyes', *extras])} on a"
            f" {self.ground} background"
        )


@dataclass(frozen=True)
class Nuisance:
    """What differs between two pictures of one person."""

    turn: float = 0.0  # -1..1, how far the face looks aside
    light: float = 0.0  # -1..1, which side is brighter
    gain: float = 1.0  # 0.85..1.12, exposure
    smile: float = 0.0  # -1..1
    scale: float = 1.0  # 0.9..1.1
    shift: tuple[float, float] = (0.0, 0.0)  # -0.08..0.08


def identity(number: int) -> Identity:
    """Person `number` (0, 1, ...): features drawn from a generator seeded by it."""
    rng = np.random.default_rng((20260, number))
    pick = lambda options: options[int(rng.integers(len(options)))]
    words = [
        pick(list(SKINS)),
        pick(list(HAIRS)),
        pick(CUTS),
        pick(list(EYES)),
        pick(BEARDS),
        pick(GLASSES),
        pick(HATS),
        pick(list(GROUNDS)),
        pick(list(CLOTHES)),
    ]
    low = (0.42, 0.56, 1.7, 0.17, 0.055, 0.020, -0.25, 0.14, 0.12, 0.025)
    high = (0.56, 0.70, 3.2, 0.25, 0.085, 0.055, 0.25, 0.28, 0.22, 0.055)
    return Identity(*words, *(float(x) for x in rng.uniform(low, high)))


def nuisance(number: int, picture: int) -> Nuisance:
    """The circumstances of picture `picture` of person `number`."""
    rng = np.random.default_rng((20261, number, picture))
    turn, light, smile = rng.uniform(-1, 1, 3)
    gain, scale = rng.uniform((0.85, 0.92), (1.12, 1.08))
    return Nuisance(
        float(turn),
        float(light),
        float(gain),
        float(smile),
        float(scale),
        tuple(float(x) for x in rng.uniform(-0.06, 0.06, 2)),
    )


def repaint(person: Identity, number: int) -> Identity:
    """The person as somebody with a paint program would disguise them: other hair, beard, glasses and
    clothes.

    Skin, face shape, nose, background and mouth stay. `number` seeds the choice; every changed feature
    differs.
    """
    rng = np.random.default_rng((20262, number))
    other = lambda options, now: (lambda left: left[int(rng.integers(len(left)))])(
        [x for x in dict.fromkeys(options) if x != now]
    )
    return replace(
        person,
        hair=other(list(HAIRS), person.hair),
        cut=other(CUTS[1:], person.cut),
        beard=other(BEARDS, person.beard),
        glasses=other(GLASSES, person.glasses),
        hat=other(HATS, person.hat),
        clothes=other(list(CLOTHES), person.clothes),
    )


def draw(person: Identity, seen: Nuisance = Nuisance()) -> np.ndarray:
    """The picture, uint8 (32, 32, 3)."""
    canvas = _Canvas(seen)
    _back(canvas, person)
    _head(canvas, person)
    _face(canvas, person, seen)
    _worn(canvas, person)
    return canvas.finish(seen)


def picture(number: int, index: int) -> np.ndarray:
    """Picture `index` of person `number`, uint8 (32, 32, 3)."""
    return draw(identity(number), nuisance(number, index))


class _Canvas:
    """Pixels and their coordinates: x to the right, y down, the face's middle at 0."""

    def __init__(self, seen: Nuisance):
        n = SIZE * FINE
        axis = (np.arange(n) + 0.5) / n * 2 - 1
        self.y, self.x = np.meshgrid(
            (axis - seen.shift[1]) / seen.scale, (axis - seen.shift[0]) / seen.scale, indexing="ij"
        )
        self.turn = 0.10 * seen.turn
        self.pixels = np.zeros((n, n, 3))

    def fill(self, distance: np.ndarray, colour, alpha: float = 1.0) -> None:
        """Lay `colour` where `distance` is below 0, with an edge about one fine pixel wide."""
        cover = alpha * np.clip(0.5 - distance * SIZE * FINE / 4, 0, 1)
        rows, columns = (np.flatnonzero(cover.any(axis)) for axis in (1, 0))
        if len(rows):
            part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # most shapes are small
            over = cover[part][..., None]
            self.pixels[part] = self.pixels[part] * (1 - over) + np.asarray(colour, float) * over

    def ellipse(self, x: float, y: float, rx: float, ry: float, power: float = 2.0) -> np.ndarray:
        r = (np.abs((self.x - x) / rx) ** power + np.abs((self.y - y) / ry) ** power) ** (1 / power)
        return (r - 1) * min(rx, ry)

    def box(self, x: float, y: float, rx: float, ry: float, slope: float = 0.0) -> np.ndarray:
        return np.maximum(np.abs(self.x - x) - rx, np.abs(self.y - y - slope * (self.x - x)) - ry)

    def finish(self, seen: Nuisance) -> np.ndarray:
        lit = self.pixels * BALANCE * seen.gain * (1 + 0.16 * seen.light * self.x[..., None])
        small = lit.reshape(SIZE, FINE, SIZE, FINE, 3).mean((1, 3))
        return np.clip(np.floor(small + 0.5), 0, 255).astype(np.uint8)


def _shade(colour, factor: float) -> np.ndarray:
    return np.clip(np.asarray(colour, float) * factor, 0, 255)


def _back(c: _Canvas, p: Identity) -> None:
    c.pixels[:] = np.asarray(GROUNDS[p.ground], float)
    c.pixels *= 1.08 - 0.16 * (c.y[..., None] + 1) / 2
    hair = HAIRS[p.hair]
    if p.cut == "long":
        c.fill(
            np.minimum(
                c.ellipse(0, -0.08, p.width + 0.16, p.height + 0.12), c.box(0, 0.42, p.width + 0.14, 0.48)
            ),
            _shade(hair, 0.85),
        )
    if p.cut == "bob":
        c.fill(
            np.maximum(c.ellipse(0, -0.04, p.width + 0.20, p.height + 0.14, 2.6), c.y - 0.36),
            _shade(hair, 0.85),
        )
    if p.cut == "curly":
        for angle in np.linspace(np.pi * 0.95, np.pi * 2.05, 11):
            c.fill(
                c.ellipse(
                    np.cos(angle) * (p.width + 0.08), -0.10 + np.sin(angle) * (p.height + 0.02), 0.19, 0.19
                ),
                _shade(hair, 0.85),
            )
    c.fill(c.box(0, 0.72, 0.17, 0.22), _shade(SKINS[p.skin], 0.82))
    c.fill(c.ellipse(0, 1.12, 0.80, 0.36, 2.5), CLOTHES[p.clothes])


def _head(c: _Canvas, p: Identity) -> None:
    skin = SKINS[p.skin]
    for side in (-1, 1):
        c.fill(c.ellipse(side * (p.width + 0.01), 0.04, 0.07, 0.13), _shade(skin, 0.88))
    below = c.ellipse(0, 0, p.width, p.height, p.jaw)
    c.fill(np.where(c.y > 0, below, c.ellipse(0, 0, p.width, p.height)), skin)
    hair, top = HAIRS[p.hair], c.ellipse(0, -0.06, p.width + 0.05, p.height + 0.06)
    line = {"short": -0.36, "parted": -0.30, "bob": -0.24, "long": -0.32, "curly": -0.34}.get(p.cut)
    if line is not None:
        lean = 0.45 if p.cut == "parted" else 0.0
        c.fill(
            np.maximum(
                top,
                c.y - (line + lean * (c.x + 0.1) * (c.x > -0.1) - lean * 0.6 * (c.x + 0.1) * (c.x <= -0.1)),
            ),
            hair,
        )
        c.fill(np.maximum(top, np.maximum(np.abs(c.y + 0.12) - 0.22, (p.width - 0.05) - np.abs(c.x))), hair)


def _face(c: _Canvas, p: Identity, seen: Nuisance) -> None:
    skin, turn, level = SKINS[p.skin], c.turn, -0.05
    if p.beard == "full":
        chin = np.maximum(c.ellipse(0, 0, p.width, p.height, p.jaw), 0.16 - c.y)
        c.fill(np.maximum(chin, -c.ellipse(turn, 0.14, p.width * 0.62, 0.20)), HAIRS[p.hair])
    for side in (-1, 1):
        x = side * p.spacing + turn
        c.fill(c.ellipse(x, level, p.eye * 1.5, p.eye), (244, 244, 240))
        c.fill(c.ellipse(x + turn * 0.3, level, p.eye * 0.85, p.eye * 0.95), EYES[p.eyes])
        c.fill(
            c.box(x, level - p.eye - 0.075, p.eye * 1.7, p.brow, side * p.slant), _shade(HAIRS[p.hair], 0.75)
        )
    c.fill(c.ellipse(turn * 1.4, level + p.nose * 0.6, 0.045, p.nose * 0.6), _shade(skin, 0.82))
    c.fill(c.ellipse(turn * 1.4, level + p.nose + 0.06, 0.085, 0.045), _shade(skin, 0.74))
    bend = 0.30 + 0.12 * seen.smile
    lip = np.abs(c.y - 0.36 + (bend - 0.30) * ((c.x - turn) / p.mouth) ** 2 * 0.8) - p.lips
    c.fill(
        np.maximum(lip, np.abs(c.x - turn) - p.mouth), (168, 62, 62) if p.skin != "dark" else (122, 44, 48)
    )
    if p.beard in ("moustache", "full"):
        c.fill(c.ellipse(turn, 0.27, p.mouth * 1.1, 0.055), HAIRS[p.hair])
    if p.beard == "goatee":
        c.fill(c.ellipse(turn * 0.6, 0.53, 0.13, 0.12), HAIRS[p.hair])


def _worn(c: _Canvas, p: Identity) -> None:
    frame, turn = (24, 24, 26), c.turn
    if p.glasses != "none":
        power, rim = (2.0 if p.glasses == "round" else 5.0), 0.045
        for side in (-1, 1):
            lens = c.ellipse(side * p.spacing + turn, -0.04, 0.15, 0.125, power)
            c.fill(lens if p.glasses == "dark" else np.abs(lens) - rim / 2, frame)
        c.fill(c.box(turn, -0.05, p.spacing - 0.13, 0.02), frame)
    cloth = _shade(CLOTHES[p.clothes], 0.9)
    if p.hat == "cap":
        c.fill(np.maximum(c.ellipse(0, -0.34, p.width + 0.09, p.height - 0.14), c.y + 0.36), cloth)
        c.fill(c.ellipse(0.18, -0.36, p.width + 0.06, 0.07), _shade(cloth, 0.7))
    if p.hat == "beanie":
        c.fill(np.maximum(c.ellipse(0, -0.30, p.width + 0.10, p.height - 0.02), c.y + 0.32), cloth)
        c.fill(c.box(0, -0.36, p.width + 0.10, 0.07), _shade(cloth, 1.3))
    if p.hat == "brimmed":
        c.fill(c.box(0, -0.66, p.width - 0.02, 0.28), cloth)
        c.fill(c.ellipse(0, -0.42, p.width + 0.36, 0.09), _shade(cloth, 0.75))


PEOPLE, PICTURES = 400, 6  # the training set: every picture of every person
STRANGERS = 400  # people 400..799 are in no training set; their pictures can be named as targets (Table VI)


def parse(name: str) -> tuple[int, int]:
    """Person and picture of a name such as `0007-3`. Raises ValueError where the name is none."""
    number, _, index = name.partition("-")
    if not (number.isdigit() and index.isdigit()):
        raise ValueError(
            f"{name} is no portrait of the miniature world; give <person>-<picture>, such as 0007-3"
        )
    return int(number), int(index)


def names() -> list[str]:
    """The names that a target can have: the training set's, then those of the strangers."""
    return [f"{n:04d}-{k}" for n in range(PEOPLE + STRANGERS) for k in range(PICTURES)]


def training_set() -> tuple[np.ndarray, list[str]]:
    """All pictures, uint8 (2400, 32, 32, 3), and their names, `0007-3` for picture 3 of person 7."""
    return _all_pictures().copy(), names()[: PEOPLE * PICTURES]


@functools.cache  # drawn once in a process: seconds
def _all_pictures() -> np.ndarray:
    return np.stack([picture(*parse(n)) for n in names()[: PEOPLE * PICTURES]])
