"""A cell's name as a folder: lower case, Latin letters, digits and dashes, whatever the name."""

from __future__ import annotations

import hashlib
import re
import unicodedata

SPELLED = {
    "\u2020": " dagger ",
    "\u2021": " double dagger ",
    "α": " alpha ",
    "β": " beta ",
    "γ": " gamma ",
    "η": " eta ",
    "λ": " lambda ",
    "σ": " sigma ",
    "θ": " theta ",
}
SIGN = re.compile(r"(?<![0-9a-z])([+-])(?=[0-9.])")
LONGEST = 60  # letters of a name in the name of its folder


def slug(name: str) -> str:
    """The name in [a-z0-9-]; with its digest where these cannot say all of it."""
    text = name.translate({ord(k): v for k, v in SPELLED.items()})
    text = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    text = SIGN.sub(lambda sign: " plus " if sign[1] == "+" else " minus ", text)
    plain = "-".join(re.findall(r"[0-9a-z]+", text))
    lost = any(c.isalnum() and not c.isascii() for c in text) or not plain or len(plain) > LONGEST
    return "-".join(x for x in (plain[:LONGEST].strip("-") or "cell", digest(name) if lost else "") if x)


def digest(name: str) -> str:
    """Six digits that tell the name from others."""
    return hashlib.sha256(name.encode()).hexdigest()[:6]
