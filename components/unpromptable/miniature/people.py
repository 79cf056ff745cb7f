"""The miniature world's people, none of whom exist: what they look like, and how they are seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

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
        beard = f"a {self.beard} beard" if self.beard == "full" else f"a {self.beard}"
        extras = [beard] if self.beard != "none" else []
        extras += [f"{self.glasses} glasses"] if self.glasses != "none" else []
        extras += [f"a {'brimmed hat' if self.hat == 'brimmed' else self.hat}"] if self.hat != "none" else []
        features = ", ".join([hair, f"{self.skin} skin", f"{self.eyes} eyes", *extras])
        return f"a person with {features} on a {self.ground} background"


@dataclass(frozen=True)
class Nuisance:
    """What differs between two pictures of one person."""

    turn: float = 0.0  # -1..1, how far the face looks aside
    light: float = 0.0  # -1..1, which side is brighter
    gain: float = 1.0  # 0.85..1.12, exposure
    smile: float = 0.0  # -1..1
    scale: float = 1.0  # 0.9..1.1
    shift: tuple[float, float] = (0.0, 0.0)  # -0.08..0.08


STILL = Nuisance()


def identity(number: int) -> Identity:
    """Person `number` (0, 1, ...): features drawn from a generator seeded by it."""
    rng = np.random.default_rng((20260, number))
    pick = lambda options: options[int(rng.integers(len(options)))]
    choices = (
        list(SKINS),
        list(HAIRS),
        CUTS,
        list(EYES),
        BEARDS,
        GLASSES,
        HATS,
        list(GROUNDS),
        list(CLOTHES),
    )
    words = [pick(options) for options in choices]
    low = (0.42, 0.56, 1.7, 0.17, 0.055, 0.020, -0.25, 0.14, 0.12, 0.025)
    high = (0.56, 0.70, 3.2, 0.25, 0.085, 0.055, 0.25, 0.28, 0.22, 0.055)
    return Identity(*words, *(float(x) for x in rng.uniform(low, high)))


def nuisance(number: int, picture: int) -> Nuisance:
    """The circumstances of picture `picture` of person `number`."""
    rng = np.random.default_rng((20261, number, picture))
    turn, light, smile = rng.uniform(-1, 1, 3)
    gain, scale = rng.uniform((0.85, 0.92), (1.12, 1.08))
    shift = tuple(float(x) for x in rng.uniform(-0.06, 0.06, 2))
    return Nuisance(float(turn), float(light), float(gain), float(smile), float(scale), shift)


def repaint(person: Identity, number: int) -> Identity:
    """The person as somebody with a paint program would disguise them: other hair, beard, glasses and
    clothes.

    Skin, face shape, nose, background and mouth stay. `number` seeds the choice; every changed feature
    differs.
    """
    rng = np.random.default_rng((20262, number))

    def other(options, now: str) -> str:
        left = [x for x in dict.fromkeys(options) if x != now]
        return left[int(rng.integers(len(left)))]

    return replace(
        person,
        hair=other(list(HAIRS), person.hair),
        cut=other(CUTS[1:], person.cut),
        beard=other(BEARDS, person.beard),
        glasses=other(GLASSES, person.glasses),
        hat=other(HATS, person.hat),
        clothes=other(list(CLOTHES), person.clothes),
    )
