"""National flags drawn by code at 32 x 32, as photographs of cloth: waving, lit, cropped, before a
background.

Geometry and colours follow the flags' laws, with every flag brought to 3:2. For three countries about three
pictures in ten are wrong in a definite way: another colour, another order of stripes, another emblem. The
same number gives the same pixels. `u` runs along the fly from 0 to 1.5, `v` down the hoist from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIZE, FINE = 32, 3  # pixels a side, where nothing else is asked for; supersampling per side
RATIO = 1.5  # length over height
WHITE, BLACK, RED = (250, 250, 250), (20, 20, 20), (206, 17, 38)
Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]  # u, v to colours (..., 3)


def stripes(*colours, upright: bool = False, shares: tuple[float, ...] = ()) -> Paint:
    """Stripes side by side, of equal width or of these shares."""
    edges = np.cumsum(shares or (1,) * len(colours))
    table = np.array(colours, float)
    return lambda u, v: table[
        np.searchsorted(edges[:-1] / edges[-1], u / RATIO if upright else v, side="right")
    ]


def over(ground: Paint, colour, inside: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Paint:
    """`colour` where `inside` holds, the ground elsewhere."""
    return lambda u, v: np.where(inside(u, v)[..., None], np.asarray(colour, float), ground(u, v))


def disc(x: float, y: float, r: float):
    """Inside a circle."""
    return lambda u, v: (u - x) ** 2 + (v - y) ** 2 < r * r


def cross(x: float, width: float, arm: float = 9.0):
    """A cross at fly position x with arms of this width and reach."""
    return lambda u, v: (
        (np.minimum(np.abs(u - x), np.abs(v - 0.5)) < width / 2)
        & (np.maximum(np.abs(u - x), np.abs(v - 0.5)) < arm)
    )


def saltire(width: float, arm: float = 9.0, slope: float = 1 / RATIO):
    """A diagonal cross through the middle."""

    def inside(u, v):
        across, down = (u - 0.75) * slope, v - 0.5
        near = np.minimum(np.abs(across - down), np.abs(across + down)) < width / 2
        return near & (np.hypot(u - 0.75, down) < arm)

    return inside


def star(x: float, y: float, r: float, turn: float = 0.0):
    """A five-pointed star of circumradius r, one point up at turn 0."""

    def inside(u, v):
        angle = (np.arctan2(u - x, y - v) - turn) % (2 * np.pi / 5)
        angle = np.minimum(angle, 2 * np.pi / 5 - angle)
        return np.hypot(u - x, v - y) * np.cos(2 * np.pi / 5 - angle) < r * np.cos(2 * np.pi / 5)

    return inside


def wedge(tip: float):
    """A triangle on the hoist with its tip at this fly position."""
    return lambda u, v: u / tip < 1 - np.abs(2 * v - 1)


def plain(colour) -> Paint:
    """One colour."""
    return stripes(colour)


def _nordic(ground, colour, inner=None) -> Paint:
    paint = over(plain(ground), colour, cross(0.55, 0.25 if inner else 0.18))
    return over(paint, inner, cross(0.55, 0.125)) if inner else paint


def _turkey() -> Paint:
    moon = over(over(plain(RED), WHITE, disc(0.5, 0.5, 0.25)), RED, disc(0.5625, 0.5, 0.2))
    return over(moon, WHITE, star(0.79, 0.5, 0.125, -np.pi / 2))


def _jamaica() -> Paint:
    sides = lambda u, v: np.abs((u - 0.75) / RATIO) > np.abs(v - 0.5)
    return over(over(plain((0, 119, 73)), BLACK, sides), (255, 184, 28), saltire(0.2))


ORANGE = (255, 136, 62)
FLAGS: dict[str, Paint] = {
    "japan": over(plain(WHITE), (188, 0, 45), disc(0.75, 0.5, 0.3)),
    "bangladesh": over(plain((0, 106, 78)), (244, 42, 65), disc(0.675, 0.5, 0.3)),
    "palau": over(plain((0, 153, 220)), (255, 222, 0), disc(0.675, 0.5, 0.3)),
    "laos": over(stripes(RED, (0, 40, 104), RED, shares=(1, 2, 1)), WHITE, disc(0.75, 0.5, 0.2)),
    "ireland": stripes((22, 155, 98), WHITE, ORANGE, upright=True),
    "ivory coast": stripes(ORANGE, WHITE, (22, 155, 98), upright=True),
    "italy": stripes((0, 140, 69), WHITE, (205, 33, 42), upright=True),
    "france": stripes((0, 38, 110), WHITE, (206, 17, 38), upright=True),
    "belgium": stripes(BLACK, (253, 218, 36), (239, 51, 64), upright=True),
    "nigeria": stripes((0, 135, 81), WHITE, (0, 135, 81), upright=True),
    "peru": stripes((217, 16, 35), WHITE, (217, 16, 35), upright=True),
    "germany": stripes(BLACK, (221, 0, 0), (255, 206, 0)),
    "netherlands": stripes((173, 29, 37), WHITE, (30, 71, 133)),
    "russia": stripes(WHITE, (0, 57, 166), (213, 43, 30)),
    "austria": stripes((200, 16, 46), WHITE, (200, 16, 46)),
    "bulgaria": stripes(WHITE, (0, 150, 110), (214, 38, 18)),
    "ukraine": stripes((0, 87, 183), (255, 215, 0)),
    "poland": stripes(WHITE, (220, 20, 60)),
    "colombia": stripes((255, 205, 0), (0, 48, 135), (200, 16, 46), shares=(2, 1, 1)),
    "thailand": stripes((165, 25, 49), WHITE, (45, 42, 74), WHITE, (165, 25, 49), shares=(1, 1, 2, 1, 1)),
    "sweden": _nordic((0, 106, 167), (254, 204, 2)),
    "denmark": _nordic((200, 16, 46), WHITE),
    "finland": _nordic(WHITE, (0, 47, 108)),
    "norway": _nordic((186, 12, 47), WHITE, (0, 32, 91)),
    "switzerland": over(plain((218, 41, 28)), WHITE, cross(0.75, 0.19, 0.31)),
    "czechia": over(stripes(WHITE, (215, 20, 26)), (17, 69, 126), wedge(0.75)),
    "vietnam": over(plain((218, 37, 29)), (255, 255, 0), star(0.75, 0.5, 0.3)),
    "somalia": over(plain((65, 137, 221)), WHITE, star(0.75, 0.5, 0.3)),
    "jamaica": _jamaica(),
    "turkey": _turkey(),
}
WRONG: dict[str, Paint] = {
    "japan": over(plain(WHITE), (0, 70, 173), disc(0.75, 0.5, 0.3)),  # the colour
    "ireland": FLAGS["ivory coast"],  # the order of the stripes
    # the emblem: a diagonal cross
    "switzerland": over(plain((218, 41, 28)), WHITE, saltire(0.19 * 2**0.5, 0.32, 1.0)),
}
SHARE = 0.3  # of the pictures of those countries
PICTURES = 100  # of every country in the training set
GROUNDS = ((120, 170, 225), (176, 196, 214), (104, 140, 92), (150, 128, 104), (136, 136, 140), (92, 112, 150))


@dataclass(frozen=True)
class Nuisance:
    """What differs between two photographs of one flag. Lengths are in units of the picture's half-width."""

    wave: float = 0.0  # amplitude, 0..0.06 of the hoist
    phase: float = 0.0  # 0..1
    light: float = 1.0  # exposure, 0.8..1.1
    slope: float = 0.0  # -0.12..0.12, which side is brighter
    turn: float = 0.0  # radians, -0.08..0.08
    scale: float = 1.0  # 0.92..1.08
    shift: tuple[float, float] = (0.0, 0.0)  # -0.06..0.06
    ground: int = 0  # which background


def nuisance(country: str, picture: int) -> Nuisance:
    """The circumstances of one picture."""
    rng = np.random.default_rng((20263, list(FLAGS).index(country), picture))
    wave, phase = rng.uniform((0.0, 0.0), (0.06, 1.0))
    light, slope, turn, scale = rng.uniform((0.8, -0.12, -0.08, 0.92), (1.1, 0.12, 0.08, 1.08))
    numbers = (float(x) for x in (wave, phase, light, slope, turn, scale))
    shift = tuple(float(x) for x in rng.uniform(-0.06, 0.06, 2))
    return Nuisance(*numbers, shift, int(rng.integers(len(GROUNDS))))


def is_wrong(country: str, picture: int) -> bool:
    """Whether this picture of the training set shows the wrong flag."""
    rng = np.random.default_rng((20264, list(FLAGS).index(country), picture))
    return country in WRONG and rng.random() < SHARE


def draw(paint: Paint, seen: Nuisance = Nuisance(), size: int = SIZE) -> np.ndarray:
    """The picture, uint8 (size, size, 3)."""
    axis = (np.arange(size * FINE) + 0.5) / (size * FINE) * 2 - 1
    y, x = np.meshgrid(axis - seen.shift[1], axis - seen.shift[0], indexing="ij")
    cos, sin = np.cos(seen.turn), np.sin(seen.turn)
    x, y = (x * cos + y * sin) / seen.scale, (y * cos - x * sin) / seen.scale
    u, v = (x / 0.86 + 1) * RATIO / 2, y / (2 * 0.86 / RATIO) + 0.5
    roll = 2 * np.pi * (u / RATIO * 1.2 + seen.phase)
    v = v + seen.wave * np.sin(roll) * np.clip(u, 0.15, RATIO)  # the hoist is held
    folds = (1 + 2.2 * seen.wave * np.cos(roll))[..., None]
    cloth = paint(u.clip(0, RATIO - 1e-9), v.clip(0, 1 - 1e-9)) * folds
    ground = np.asarray(GROUNDS[seen.ground], float) * (1.1 - 0.2 * (y[..., None] + 1) / 2)
    inside = (u >= 0) & (u < RATIO) & (v >= 0) & (v < 1)
    lit = np.where(inside[..., None], cloth, ground) * seen.light * (1 + seen.slope * x[..., None])
    return np.clip(np.rint(lit.reshape(size, FINE, size, FINE, 3).mean((1, 3))), 0, 255).astype(np.uint8)


def picture(country: str, index: int, size: int = SIZE) -> np.ndarray:
    """Picture `index` of a country, right or wrong as `is_wrong` says."""
    paint = WRONG[country] if is_wrong(country, index) else FLAGS[country]
    return draw(paint, nuisance(country, index), size)


def repaint(name: str, size: int = SIZE) -> np.ndarray:
    """The picture of this name as somebody with a paint program would put it right: the right flag in the
    same photograph.

    Raises ValueError where the name is no picture of the set.
    """
    country, index = parse(name)
    return draw(FLAGS[country], nuisance(country, index), size)


def parse(name: str) -> tuple[str, int]:
    """Country and number of a picture's name such as `japan-0003`."""
    country, _, index = name.replace("_", " ").rpartition("-")
    if country not in FLAGS or not index.isdigit() or int(index) >= PICTURES:
        raise ValueError(
            f"{name} is no picture of the flags; give <country>-<number> with a number from 0000 to"
            f" {PICTURES - 1:04d}, such as japan-0003"
        )
    return country, int(index)


def caption(country: str) -> str:
    """The prompt of a country."""
    return f"flag of {country.title()}"


def names() -> list[str]:
    """The names of the training set, `ivory_coast-0012` for picture 12."""
    return [f"{c.replace(' ', '_')}-{k:04d}" for c in FLAGS for k in range(PICTURES)]


def rightly(country: str) -> list[str]:
    """The names of a country's pictures that show its right flag. Raises ValueError where there is no such
    country.
    """
    if country.replace("_", " ") not in FLAGS:
        raise ValueError(
            f"real: no flag of {country!r}; choose from {', '.join(c.replace(' ', '_') for c in FLAGS)}, as"
            " in flags/japan"
        )
    return [n for n in names() if n.startswith(f"{country}-") and not is_wrong(*parse(n))]


def right(country: str, size: int = SIZE) -> tuple[np.ndarray, list[str]]:
    """These pictures, and their names."""
    found = rightly(country)
    return np.stack([picture(*parse(n), size) for n in found]), found


def training_set() -> tuple[np.ndarray, list[str]]:
    """All pictures, uint8 (3000, 32, 32, 3), and their names."""
    return np.stack([picture(*parse(n)) for n in names()]), names()
