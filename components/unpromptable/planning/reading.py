"""YAML text to plain values, and back: a key is given once, a word is a word, and nothing is larger than it
looks.

Scalars are read as YAML 1.2 has them, so that `no` and `2024-05-01` are words and `1e-5` is a number.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import yaml

# levels, and values with every alias written out: far above what an experiment needs
DEEPEST, LARGEST = 40, 50_000
TAG = "tag:yaml.org,2002:"
SCALARS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # the direction of writing
PLAIN = {TAG + name for name in ("map", "seq", "str", "null", "bool", "int", "float")}


class Reader(yaml.SafeLoader):
    """Safe values alone, at most DEEPEST levels of them."""

    yaml_implicit_resolvers: dict = {}
    level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As the base class, counting levels before Python's own stack ends."""
        self.level += 1
        if self.level > DEEPEST:
            raise yaml.composer.ComposerError(
                None, None, f"more than {DEEPEST} levels deep", self.peek_event().start_mark
            )
        node = super().compose_node(parent, index)
        self.level -= 1
        return node


class Writer(yaml.SafeDumper):
    """Quotes what `Reader` would not read as a word, and writes out what is shared."""

    yaml_implicit_resolvers: dict = {}

    def ignore_aliases(self, data: Any) -> bool:
        """Every value is written where it stands."""
        return True


for _name, _pattern, _first in SCALARS:
    for _class in (Reader, Writer):
        _class.add_implicit_resolver(TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)


def value(text: str, where: str) -> Any:
    """The value of a YAML text. Raises ValueError, one line that begins with `where`, for anything else than
    plain values.
    """
    try:
        reader = Reader(text)
        node = reader.get_single_node()
    except yaml.YAMLError as error:
        raise ValueError(_said(error, where)) from error
    if node is None:
        return None
    _weigh(node, where, [], {})
    try:
        return reader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:  # int() and float() raise the latter
        raise ValueError(_said(error, where)) from error


def _said(error: Exception, where: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = getattr(error, "problem", None) or getattr(error, "context", None) or error
    return (
        f"{where}: not valid YAML{f' in line {mark.line + 1}' if mark else ''}:"
        f" {' '.join(str(words).split())}"
    )


def write(given: Any) -> str:
    """The YAML text that `value` reads as `given`."""
    return yaml.dump(given, Dumper=Writer, allow_unicode=True)


def file(path: Path) -> str:
    """A YAML file's text. Raises ValueError where it is not UTF-8."""
    return text(path.read_bytes(), str(path))


def text(content: bytes, where: str) -> str:
    """The text of a YAML file's bytes. Raises ValueError that begins with `where` for what is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error


def shown(given: Any) -> str:
    """A value in an error's words: on one line and not too long."""
    text = repr(given)
    return text if len(text) <= 80 else text[:77] + "..."


def named(given: Any) -> str:
    """A key in an error's words: as it is where it is a word, else as `shown`."""
    text = str(given)
    return text if text.isprintable() and 0 < len(text) <= 80 else shown(given)


def check_line(where: str, text: str) -> None:
    """Raise ValueError for a text of several lines, or with characters that no terminal shows or that turn
    the others round.
    """
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in TURNS for c in text):
        raise ValueError(f"{where} is {shown(text)}; give it in one line, without control characters")


def check_path(where: str, text: str) -> None:
    """Raise ValueError for what can be the name of no file, folder or model: nothing, several lines, or too
    long.
    """
    check_line(where, text)
    if not text.strip():
        raise ValueError(f"{where} is empty; give a name or a path")
    if len(text.encode()) > 4000 or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError(
            f"{where} is {shown(text)} of {len(text)} characters, longer than a path can be; correct it"
        )


def _weigh(
    node: yaml.Node, where: str, above: list[int], known: dict[int, tuple[int, int]]
) -> tuple[int, int]:
    """How many values and levels a node stands for. Raises for a key given twice, a node inside itself, and
    what is too large.
    """
    line = node.start_mark.line + 1
    if id(node) in above:
        raise ValueError(
            f"{where}: the value in line {line} holds itself (an alias to what it stands in); write it out"
        )
    if node.tag not in PLAIN:
        raise ValueError(
            f"{where}: line {line} has the tag {node.tag.removeprefix(TAG)!r}; give plain words, numbers,"
            " lists and mappings"
        )
    if id(node) not in known:
        inner = []
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, where)
            inner = [v for _, v in node.value]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        sizes, levels = zip((0, 0), *(_weigh(n, where, [*above, id(node)], known) for n in inner))
        known[id(node)] = size, level = 1 + sum(sizes), 1 + max(levels)
        if size > LARGEST or level > DEEPEST:
            raise ValueError(
                f"{where}: the value in line {line} stands for {size:,} values on {level} levels, its aliases"
                f" written out; at most {LARGEST:,} on {DEEPEST} are read"
            )
    return known[id(node)]


def _check_keys(node: yaml.MappingNode, where: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag not in (TAG + "str", TAG + "merge"):
            what = repr(key.value)[:40] if isinstance(key, yaml.ScalarNode) else "a list or a mapping"
            raise ValueError(
                f"{where}: the key in line {line} is {what}; keys are words, so quote it or correct it"
            )
        if key.value in lines:
            raise ValueError(
                f"{where}: the key {shown(key.value)} is given twice, in lines {lines[key.value]} and {line};"
                " keep one of them"
            )
        lines[key.value] = line
