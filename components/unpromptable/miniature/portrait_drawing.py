"""One person drawn: every shape is a signed distance, so a drawing is numpy arithmetic alone."""

from __future__ import annotations

import numpy as np

from .people import CLOTHES, EYES, GROUNDS, HAIRS, SKINS, STILL, Identity, Nuisance

SIZE, FINE = 32, 3  # pixels a side, where nothing else is asked for; supersampling per side
# the average picture is mid-grey, as is the noise that sampling starts from
BALANCE = np.array((1.004, 1.048, 1.042))


def draw(person: Identity, seen: Nuisance = STILL, size: int = SIZE) -> np.ndarray:
    """The picture, uint8 (size, size, 3)."""
    canvas = _Canvas(seen, size)
    _back(canvas, person)
    _head(canvas, person)
    _face(canvas, person, seen)
    _worn(canvas, person)
    return canvas.finish(seen)


class _Canvas:
    """Pixels and their coordinates: x to the right, y down, the face's middle at 0."""

    def __init__(self, seen: Nuisance, size: int):
        n = size * FINE
        axis = (np.arange(n) + 0.5) / n * 2 - 1
        self.y, self.x = np.meshgrid(
            (axis - seen.shift[1]) / seen.scale, (axis - seen.shift[0]) / seen.scale, indexing="ij"
        )
        self.turn = 0.10 * seen.turn
        self.pixels = np.zeros((n, n, 3))

    def fill(self, distance: np.ndarray, colour) -> None:
        """Lay `colour` where `distance` is below 0, with an edge about one fine pixel wide."""
        cover = np.clip(0.5 - distance * len(self.pixels) / 4, 0, 1)
        rows, columns = (np.flatnonzero(cover.any(axis)) for axis in (1, 0))
        if len(rows):
            part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # most shapes are small
            over = cover[part][..., None]
            self.pixels[part] = self.pixels[part] * (1 - over) + np.asarray(colour, float) * over

    def ellipse(self, x: float, y: float, rx: float, ry: float, power: float = 2.0) -> np.ndarray:
        """The distance from a superellipse."""
        r = (np.abs((self.x - x) / rx) ** power + np.abs((self.y - y) / ry) ** power) ** (1 / power)
        return (r - 1) * min(rx, ry)

    def box(self, x: float, y: float, rx: float, ry: float, slope: float = 0.0) -> np.ndarray:
        """The distance from a box, its top and bottom sloping."""
        return np.maximum(np.abs(self.x - x) - rx, np.abs(self.y - y - slope * (self.x - x)) - ry)

    def finish(self, seen: Nuisance) -> np.ndarray:
        """The picture as it is lit, uint8 (size, size, 3)."""
        lit = self.pixels * BALANCE * seen.gain * (1 + 0.16 * seen.light * self.x[..., None])
        size = len(lit) // FINE
        small = lit.reshape(size, FINE, size, FINE, 3).mean((1, 3))
        return np.clip(np.floor(small + 0.5), 0, 255).astype(np.uint8)


def _back(c: _Canvas, p: Identity) -> None:
    c.pixels[:] = np.asarray(GROUNDS[p.ground], float)
    c.pixels *= 1.08 - 0.16 * (c.y[..., None] + 1) / 2
    hair = _shade(HAIRS[p.hair], 0.85)
    if p.cut == "long":
        crown = c.ellipse(0, -0.08, p.width + 0.16, p.height + 0.12)
        c.fill(np.minimum(crown, c.box(0, 0.42, p.width + 0.14, 0.48)), hair)
    if p.cut == "bob":
        c.fill(np.maximum(c.ellipse(0, -0.04, p.width + 0.20, p.height + 0.14, 2.6), c.y - 0.36), hair)
    if p.cut == "curly":
        for angle in np.linspace(np.pi * 0.95, np.pi * 2.05, 11):
            x, y = np.cos(angle) * (p.width + 0.08), -0.10 + np.sin(angle) * (p.height + 0.02)
            c.fill(c.ellipse(x, y, 0.19, 0.19), hair)
    c.fill(c.box(0, 0.72, 0.17, 0.22), _shade(SKINS[p.skin], 0.82))
    c.fill(c.ellipse(0, 1.12, 0.80, 0.36, 2.5), CLOTHES[p.clothes])


def _head(c: _Canvas, p: Identity) -> None:
    skin = SKINS[p.skin]
    for side in (-1, 1):
        c.fill(c.ellipse(side * (p.width + 0.01), 0.04, 0.07, 0.13), _shade(skin, 0.88))
    below = c.ellipse(0, 0, p.width, p.height, p.jaw)
    c.fill(np.where(c.y > 0, below, c.ellipse(0, 0, p.width, p.height)), skin)
    line = {"short": -0.36, "parted": -0.30, "bob": -0.24, "long": -0.32, "curly": -0.34}.get(p.cut)
    if line is not None:
        lean = 0.45 if p.cut == "parted" else 0.0
        _hair(c, p, line, lean)


def _hair(c: _Canvas, p: Identity, line: float, lean: float) -> None:
    """Hair above `line`, which falls to both sides of a parting by `lean`, and beside the face."""
    hair, top = HAIRS[p.hair], c.ellipse(0, -0.06, p.width + 0.05, p.height + 0.06)
    right, left = lean * (c.x + 0.1) * (c.x > -0.1), lean * 0.6 * (c.x + 0.1) * (c.x <= -0.1)
    c.fill(np.maximum(top, c.y - (line + right - left)), hair)
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
        brow = c.box(x, level - p.eye - 0.075, p.eye * 1.7, p.brow, side * p.slant)
        c.fill(brow, _shade(HAIRS[p.hair], 0.75))
    c.fill(c.ellipse(turn * 1.4, level + p.nose * 0.6, 0.045, p.nose * 0.6), _shade(skin, 0.82))
    c.fill(c.ellipse(turn * 1.4, level + p.nose + 0.06, 0.085, 0.045), _shade(skin, 0.74))
    _mouth(c, p, seen)


def _mouth(c: _Canvas, p: Identity, seen: Nuisance) -> None:
    turn = c.turn
    bend = 0.30 + 0.12 * seen.smile
    lip = np.abs(c.y - 0.36 + (bend - 0.30) * ((c.x - turn) / p.mouth) ** 2 * 0.8) - p.lips
    red = (168, 62, 62) if p.skin != "dark" else (122, 44, 48)
    c.fill(np.maximum(lip, np.abs(c.x - turn) - p.mouth), red)
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


def _shade(colour, factor: float) -> np.ndarray:
    return np.clip(np.asarray(colour, float) * factor, 0, 255)
