"""Inputs spoilt by chance, and what must hold of whoever reads one: a result or one line, soon, within the
memory of a laptop, nothing written outside of its folder, nothing run.
"""

import copy
import json
import logging
import os
import random
import resource
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS, MEMORY, LONGEST = (
    20,
    2 << 30,
    1500,
)  # of one input: time, bytes more than before; letters of its line
DEEP = 100_000
NASTY = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**400), 1e308, -0.5, float("inf"), float("nan")),
    *(
        "",
        " ",
        "x" * 10_000,
        "..",
        "../../outside/kept.txt",
        "../outside",
        "/dev/zero",
        "/proc/self/mem",
        "/",
    ),
    *("\ud800", "\x00", "a\nb", "\u2028", "\u202e", "²", "é" * 300, "\x1b[2J", "1e5", "no", "%s%n", "{name}"),
    *("__import__('os').system('touch ../outside/ran')", "$(touch ../outside/ran)", "os.system"),
    *(
        [],
        {},
        [[]],
        [{}],
        [None],
        {"": None},
        {"name": 1},
        [1, "a", None],
        ["x"] * 3000,
        {"a": {"b": {"c": []}}},
    ),
]
ACTS = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MALFORMED = int(os.environ.get("UNPROMPTABLE_MALFORMED", "400"))  # inputs of all kinds together
SHARES = {"experiments": 0.42, "pictures": 0.42, "models": 0.06, "records": 0.1}
FIRST = int(os.environ.get("UNPROMPTABLE_MALFORMED_FIRST", "0"))  # the number of the first input
_watched: dict = {}  # while an input is read: the folder, and what was done outside of it


class TooSlow(BaseException):
    """The time is up; no handler of errors takes it up."""


def _hook(event: str, given: tuple) -> None:
    """Takes down what Python opens to write, changes or starts, other than in the watched folder."""
    if not _watched:
        return
    if event in RUNS:
        _watched["done"].append(f"{event} {given[0]}")
    paths = given[:2] if event in ACTS else given[:1] if event == "open" and given[2] & WRITES else ()
    for path in (os.fspath(p) for p in paths if isinstance(p, (str, bytes, os.PathLike))):
        real = os.path.realpath(os.fsdecode(path))
        if not real.startswith((_watched["folder"], "/dev/null")) and "__pycache__" not in real:
            _watched["done"].append(f"{event} {real}")


sys.addaudithook(_hook)


@contextmanager
def _bounded():
    """A time that is up, and memory that ends."""

    def end(*_):
        raise TooSlow

    before, limit = signal.signal(signal.SIGALRM, end), resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limit[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limit)


def fault(call, folder: Path) -> str:
    """What is wrong with how `call` reads its input, which lies in `folder`; empty where nothing is."""
    done = []
    _watched.update(folder=os.path.realpath(folder), done=done)
    try:
        with _bounded():
            call()
    except TooSlow:
        return f"not done after {SECONDS} s"
    except Exception as error:  # every kind is looked at here
        if wrong := _no_line(error):
            return f"{type(error).__name__}: {wrong}: {str(error)[:300]!r}"
    finally:
        _watched.clear()
    return f"did {done[0]}" if done else ""


def _no_line(error: BaseException) -> str:
    """Why an error is none that a command turns into one line of its own."""
    from unpromptable.storage.lease import Lost
    from unpromptable.storage.once import CellFailed

    text, cause = str(error), error
    while cause is not None:
        if isinstance(cause, MemoryError) or "allocate memory" in str(cause):
            return "asked for all memory"
        cause = cause.__cause__ or cause.__context__
    if type(error) not in (ValueError, CellFailed, Lost) and not isinstance(error, OSError):
        return "no error of the project's own"
    if not text.strip() or len(text) > LONGEST:
        return f"{len(text)} letters"
    return "" if all(c.isprintable() for c in text) else "more than one line, or what no terminal shows"


class Chance(random.Random):
    """What is drawn for one input, by its kind and number."""

    def __init__(self, kind: str, number: int):
        super().__init__(f"{kind} {number}")

    def value(self):
        """A value that belongs nowhere."""
        return copy.deepcopy(self.choice(NASTY))

    def spoilt(self, tree):
        """Plain values of which one to three are others, gone, twice, or elsewhere."""
        holder = {"": copy.deepcopy(tree)}
        for _ in range(self.choice([1, 1, 2, 3])):
            places = list(_places(holder))
            at, key = self.choice(places)
            if not (key in at if isinstance(at, dict) else key < len(at)):
                continue
            how = self.randrange(6)
            if how < 3:
                at[key] = self.value()
            elif how == 3 and at is not holder:
                del at[key]
            elif how == 4:
                at[key] = self.choice([[at[key]], {"name": at[key]}, str(at[key]), [at[key]] * 3])
            else:
                other, place = self.choice(places)
                if place in other if isinstance(other, dict) else place < len(other):
                    at[key] = copy.deepcopy(other[place])
        return holder[""]

    def spoilt_bytes(self, content: bytes, others: tuple[bytes, ...] = ()) -> bytes:
        """Bytes flipped, cut, doubled, emptied, filled or mixed with others."""
        found = bytearray(content)
        for _ in range(self.choice([1, 1, 2, 4, 16])):
            at, size = self.randrange(len(found) + 1), self.choice([1, 2, 4, 8, 64])
            if self.random() < 0.5:
                at = min(at, self.randrange(80))  # heads say what the rest is
            how = self.randrange(8)
            if how == 0:
                del found[at : at + size * self.choice([1, 10])]
            elif how == 1:
                found[at : at + size] = self.randbytes(size)
            elif how == 2:
                found[at : at + size] = self.choice([b"\xff", b"\x00", b"\x7f"]) * size
            elif how == 3:
                found[at:at] = found[at : at + size * 16]
            elif how == 4 and at < len(found):
                found[at] ^= 1 << self.randrange(8)
            elif how == 5:
                found[at : at + 4] = self.choice([1, 0, 2**31 - 1, 2**32 - 1, 65535, 40_000]).to_bytes(
                    4, self.choice(["big", "little"])
                )
            elif how == 6 and self.random() < 0.3:
                del found[at:]
            elif how == 7 and others:
                other = self.choice(others)
                found[at:] = other[self.randrange(len(other) + 1) :]
        return bytes(found)

    def spoilt_json(self, content: bytes) -> bytes:
        """A JSON file with other values, other bytes, or levels without end."""
        how = self.randrange(8)
        if how == 0:
            return self.choice(
                [b"", b"[" * DEEP, b'{"a":' * DEEP, b"null", b"[]", b"{}", b"1", b'"x"', b"\xff\xfe"]
            )
        if how < 3:
            return self.spoilt_bytes(content)
        return json.dumps(self.spoilt(json.loads(content))).encode()


def _places(tree):
    """Every mapping or list with each of its keys."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _places(value)


def outside(room: Path) -> dict[str, object]:
    """All that lies beside the given folder, with times and sizes."""
    return {
        str(p.relative_to(room)): (s.st_size, s.st_mtime_ns)
        for p in sorted(room.rglob("*"))
        if (room / "given") not in (p, *p.parents)
        for s in [p.lstat()]
    }


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder with another beside it, which nobody may touch."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    logging.disable(logging.CRITICAL)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept.txt").write_text("kept")
    (tmp_path / "given").mkdir()
    monkeypatch.chdir(tmp_path / "given")
    yield tmp_path
    logging.disable(logging.NOTSET)


def tried(kind, room, make):
    """What went wrong, by the input's number. make: of a chance, the calls that read the spoilt input."""
    before, wrong = outside(room), {}
    for number in range(FIRST, FIRST + max(1, round(MALFORMED * SHARES[kind]))):
        for what, call in make(Chance(kind, number)):
            if said := fault(call, room / "given"):
                wrong[f"{number} {what}"] = said
        if outside(room) != before:
            wrong[f"{number} outside"] = str(set(outside(room).items()) ^ set(before.items()))
            before = outside(room)
    return wrong


def told(wrong):
    """Every fault once, with how many there are like it."""
    kinds = {}
    for number, text in wrong.items():
        kinds.setdefault(f"{number.partition(' ')[2]}: {text.partition(': ')[0]}", []).append(
            f"{number}: {text}"
        )
    return "\n" + "\n".join(f"{len(of)} x {kind}\n    " + "\n    ".join(of[:6]) for kind, of in kinds.items())


def with_header(chance, path):
    """The weights under another header: sizes, names, kinds and places that lie."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    head, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    text = (
        json.dumps(chance.spoilt(head)).encode() if chance.random() < 0.8 else b"{" * chance.choice([1, DEEP])
    )
    length = len(text) if chance.random() < 0.8 else chance.choice([0, 1, 2**40, 2**63, 2**64 - 1])
    path.write_bytes(length.to_bytes(8, "little") + text + body)
