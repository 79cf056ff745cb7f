"""A cell's name as a folder, whatever the name."""

import re
import unicodedata

from hypothesis import assume, given
from hypothesis import strategies as some

from unpromptable.planning.slugs import LONGEST, digest, slug

shown = lambda text: (
    text.strip() and not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)
)
names = (
    some.text(min_size=1, max_size=120)
    | some.text(alphabet="aAbß é†+-. _01αλ方/\\:", min_size=1, max_size=8)
    | some.integers(55, 70).map("x".__mul__)
).filter(shown)


@given(names)
def test_a_slug_is_safe_in_every_file_system(name):
    folder = slug(name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", folder) and len(folder) <= LONGEST + 7


@given(names, names)
def test_two_names_have_different_folders(a, b):
    assume(a.strip().casefold() != b.strip().casefold())
    assert slug(a) != slug(b) or digest(a) != digest(b)


@given(some.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,3}", fullmatch=True).filter(lambda t: len(t) <= LONGEST))
def test_a_name_that_is_a_slug_already_stays(name):
    assert slug(name) == name
