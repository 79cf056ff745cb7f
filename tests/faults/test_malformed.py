"""Inputs that are none: thousands of experiments, pictures, models and records spoilt by chance, each read or
refused in one line.
"""

import io
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from malformed import DEEP, Chance, fault, outside
from rich.console import Console
from small_run import run

from unpromptable import data, pictures
from unpromptable.execution import parts, report_step
from unpromptable.execution.purging import found as purging
from unpromptable.planning import plan, reading
from unpromptable.planning import spec as planned
from unpromptable.reporting import row, rows
from unpromptable.storage import attempts, files, fingerprints, inventory, lease, once, progress

pytestmark = pytest.mark.slow
MALFORMED = int(os.environ.get("UNPROMPTABLE_MALFORMED", "400"))  # inputs of all kinds together
SHARES = {"experiments": 0.42, "pictures": 0.42, "models": 0.06, "records": 0.1}
FIRST = int(os.environ.get("UNPROMPTABLE_MALFORMED_FIRST", "0"))  # the number of the first input
EXPERIMENTS = sorted((Path(__file__).parents[2] / "pipelines" / "experiments").glob("*.yaml"))


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


# --- experiments ---

LINES = [
    *(
        "a: &a [*a]",
        "b: &b {c: *b}",
        "base: *nowhere",
        "<<: {name: x}",
        "<<: [1]",
        "? [a, b]\n: c",
        "null: 1",
    ),
    'name: !!python/object/apply:os.system ["touch ../outside/ran"]',
    "real: !!python/name:os.system",
    "model: !!python/object/new:subprocess.Popen [[touch, ../outside/ran]]",
    *(
        "forget: !!set {a, b}",
        "forget: !!binary aGFsbG8=",
        "title: !!timestamp 2024-01-01",
        "sweep: !!omap [a: 1]",
    ),
    "paper: !<tag:yaml.org,2002:python/tuple> [1]",
    f"title: {'9' * 5000}",
    f"sampling: {{images: {'9' * 400}}}",
    "training: {lr: 1e-999999999}",
    f"description: {'x' * 200_000}",
    f"x: {'[' * 2000}",
    f"y: {'{a: ' * 500}",
    f"z: {'- ' * 900}1",
    "l: &l0 [x, x]\n" + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 12)),
    "m: &m0 {a: 1}\n"
    + "".join(f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}], b{i}: 1}}\n" for i in range(1, 40)),
    *(
        "\tname: tab",
        "name: 'open",
        'name: "\\ud800"',
        '"\\ud800": 1',
        '"a\\nb": 2',
        'worlds: {"\\ud800\\n": 1}',
    ),
    *(
        "name: a\x07b",
        "name: \u202eabc",
        "\ufeffname: bom",
        "name: 💥",
        "name: ..",
        "name: ../../outside",
        "--- x",
        "%TAG",
    ),
    *(
        "real: ../../outside",
        "real: /proc",
        "real: /dev/zero",
        "real: pipe",
        "real: .",
        "forget: [../outside/kept.txt]",
    ),
    *(
        "forget: [/dev/zero]",
        "forget: [pipe]",
        "forget: [/proc/self/mem]",
        "forget: [/etc/passwd]",
        "real: flags/../x",
    ),
    *(
        "model: {source: ../outside}",
        "model: {source: pipe}",
        "model: {name: ../../x}",
        "networks: {folder: /proc/self}",
    ),
    *(
        "editor: os",
        "base: {method: ../x}",
        "base: {editor: {name: paint, folder: /dev}}",
        "metrics: [os.path]",
    ),
    *("base: {editor: {name: paint, folder: ../outside}}", "base: {editor: {name: paint, folder: pipe}}"),
    *(
        "sweep: {training.steps: [1, 2], training.lr: [1e-5, .nan]}",
        "sweep: {a.b.c.d: [1]}",
        "sweep: {'': [[]]}",
    ),
    "sweep: {" + ", ".join(f"training.x{i}: [1, 2, 3, 4, 5, 6, 7, 8, 9]" for i in range(30)) + "}",
    *(
        "cells: [[], {}, null]",
        "cells: {a: 1}",
        "worlds: [miniature]",
        "world: [paper]",
        "world: {a: 1}",
        "world: ../x",
    ),
    *(
        "sampling: {images: 9007199254740992, shards: 9007199254740992}",
        "sampling: {images: 100000000, shards: 100000000}",
    ),
    *(
        "sampling: {steps: 9007199254740992}",
        "injection: {t: 9007199254740992}",
        "injection: {draws: 9007199254740992}",
    ),
    "training: {steps: 9007199254740992, batch: 9007199254740992}",
]


MARKS = ("&a", "*a", "!x", "|", ">", "- ", "{", "[", "#", "%", "@")


def experiment(chance):
    """A shipped experiment's text, spoilt in its lines, its letters or its values."""
    text = chance.choice(EXPERIMENTS).read_text()
    lines = text.splitlines()
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, how = chance.randrange(len(lines) + 1), chance.randrange(7)
        line = lines[at] if at < len(lines) else "x: y"
        key, colon, rest = line.partition(":")
        if how < 2:
            new = [chance.choice(LINES)]
            first = new[0].partition(":")[0]
            lines = (
                [one for one in lines if not one.startswith(f"{first}:")] if chance.random() < 0.8 else lines
            )
        elif how == 2:
            new = [f"{key}{colon} {json.dumps(chance.value(), ensure_ascii=chance.random() < 0.5)}"]
        elif how == 3:
            new = [" " * chance.randrange(4) + line, line][: chance.randrange(3)]
        elif how == 4:
            new = [f"{key}{colon} {chance.choice(MARKS)}{rest}"]
        elif how == 5:
            new = [
                line.replace(
                    chance.choice(line or "x"), chance.choice("\"'[]{}:,#&*!|>%@`\\\0\ud800\x85\u2028")
                )
            ]
        else:
            new = [line[: chance.randrange(len(line) + 1)]]
        lines[at : at + 1] = new
    return "\n".join(lines)


def experiment_by_values(chance):
    try:
        return reading.write(
            chance.spoilt(reading.value(chance.choice(EXPERIMENTS).read_text(), "experiment"))
        )
    except (ValueError, OverflowError):  # what PyYAML itself cannot write
        return experiment(chance)


def planned_in(text, given):
    """Plan it, and hold what was planned against the folder it would go to."""
    made = plan.resolve(text).run()
    store = given / "store"
    for spec in (made.shared, *made.cells):
        assert (store / spec.folder).resolve().parent.parent == store.resolve() or spec is made.shared
    assert planned.Run.from_text(made.to_text()).to_text() == made.to_text()


def test_experiments_that_are_none_are_planned_or_refused_in_one_line(room):
    given = room / "given"
    os.mkfifo(given / "pipe")

    def make(chance):
        text = chance.choice([experiment, experiment, experiment_by_values])(chance)
        if chance.random() < 0.3:
            content = text.encode("utf-8", "surrogatepass")
            content = chance.spoilt_bytes(content) if chance.random() < 0.7 else content
            (given / "some.yaml").write_bytes(content)
            text = chance.choice(["some.yaml", str(given / "some.yaml"), "../given/some.yaml"])
        return [("plan", lambda: planned_in(text, given))]

    wrong = tried("experiments", room, make)
    assert not wrong, told(wrong)


# --- pictures ---

HEADS = (
    *(
        b"8BPS\0\1",
        b"SIMPLE  =                    T",
        b"/* XPM */",
        b"\x11\xaf",
        b"\x59\xa6\x6a\x95",
        b"\xf1\x00\x40\xbb",
    ),
    *(
        b"qoif",
        b"BLP1",
        b"BLP2",
        b"DDS ",
        b"FTEX",
        b"P7 332\n#",
        b"\x1c\x01",
        b"\x0a\x05\x01\x08",
        b"\x00\x00\x02\x00",
    ),
    *(
        b"\x80\xe8\x00\x00",
        b"PCD_",
        b"\xb1\x68\xde\x3a",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\x97JB2",
        b"GIMP",
        b"\x01\xda",
    ),
    *(
        b"II*\0",
        b"MM\0*",
        b"II+\0\x08\0\0\0",
        b"MM\0+",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\xff\xd8\xff",
        b"BM",
        b"RIFF\0\0\0\0WEBP",
    ),
    *(
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\xff\x4f\xff\x51",
        b"\0\0\0\x20ftypavif",
        b"icns",
        b"P6\n",
        b"Pf\n-1\n",
        b"PyCMYK",
    ),
)
WAYS = [
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "RGB", "RGBA", "P", "I;16")),
    *(("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")),
    ("JPEG", "RGB", {"progressive": True}),
    *(
        ("TIFF", "RGB", {"compression": c})
        for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    ),
    *(("TIFF", mode, {}) for mode in ("1", "L", "I;16", "F", "RGBA", "CMYK", "LAB", "P", "I")),
    *(("TIFF", "1", {"compression": c}) for c in ("group3", "group4")),
    *(("WEBP", "RGBA", {"lossless": lossless}) for lossless in (True, False)),
    *(("GIF", "P", {}), ("BMP", "RGB", {}), ("BMP", "P", {}), ("DIB", "RGB", {}), ("ICO", "RGBA", {})),
    *(
        ("ICNS", "RGBA", {}),
        ("TGA", "RGBA", {}),
        ("TGA", "RGB", {"compression": "tga_rle"}),
        ("PCX", "P", {}),
    ),
    *(
        ("PPM", "RGB", {}),
        ("PPM", "1", {}),
        ("PPM", "F", {}),
        ("SGI", "RGB", {}),
        ("DDS", "RGBA", {}),
        ("MSP", "1", {}),
    ),
    *(("XBM", "1", {}), ("IM", "RGB", {}), ("SPIDER", "F", {}), ("MPO", "RGB", {}), ("JPEG2000", "RGBA", {})),
    *(("AVIF", "RGB", {}), ("BLP", "P", {}), ("QOI", "RGBA", {})),
]


@pytest.fixture(scope="module")
def sound():
    """Whole pictures of every format and mode that Pillow writes here, with EXIF and colour profiles."""
    from PIL import Image, ImageCms

    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 4), np.uint8)
    exif, icc = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[274], exif[270] = 6, "x"
    made = []
    for kind, mode, how in WAYS:
        base = Image.fromarray(noise)
        picture = (
            base.convert("L").convert(mode)
            if mode in ("I;16", "F", "I")
            else base.convert("RGB").convert(mode)
        )
        more = [{"exif": exif, "icc_profile": icc}, {}]
        if kind in ("GIF", "WEBP", "TIFF", "PNG", "MPO", "AVIF"):
            more.append({"save_all": True, "append_images": [picture, picture]})
        for extra in more:
            file = io.BytesIO()
            try:
                picture.save(file, kind, **how, **extra)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # that Pillow does not write
            made.append(file.getvalue())
    assert len(made) > 60
    return tuple(dict.fromkeys(made))


def big_png(width, height, kind=0, bits=8):
    """A PNG of so many pixels in a few bytes."""
    import struct
    import zlib

    part = lambda name, body: (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    )
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", body) + part(b"IEND", b"")


def picture(chance, sound):
    how = chance.randrange(10)
    if how < 6:
        return chance.spoilt_bytes(chance.choice(sound), sound)
    if how < 8:
        return chance.choice(HEADS) + chance.randbytes(chance.choice([0, 4, 40, 2000]))
    if how == 8:
        side = lambda: chance.choice([0, 1, 7, 300, 65_535, 2**31 - 1, 2**32 - 1])
        return big_png(side(), side(), chance.choice([0, 2, 3, 4, 6]), chance.choice([1, 8, 16, 0, 255]))
    other = chance.choice(sound)
    return chance.choice(sound)[: chance.choice([4, 12, 60])] + other[chance.randrange(len(other)) :]


def test_pictures_that_are_none_are_read_or_refused_in_one_line(room, sound):
    given = room / "given"
    names = ["a.png", "a.jpg", "a.tif", "a.gif", "a.webp", "a", "a.tga", "a.icns", "ä b%s{x}.png"]

    def make(chance):
        for old in given.iterdir():
            old.unlink()
        path = given / chance.choice(names)
        path.write_bytes(picture(chance, sound))
        size = chance.choice([8, 16, 16, 64, 0])

        def one():
            read = pictures.read(path, size)
            assert read.dtype == np.uint8 and read.ndim == 3 and read.shape[2] == 3
            assert not size or read.shape == (size, size, 3)

        calls = [("read", one)]
        if chance.random() < 0.1:
            calls.append(("read_folder", lambda: pictures.read_folder(given, 8)))
        return calls

    wrong = tried("pictures", room, make)
    assert not wrong, told(wrong)


# --- models ---


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Small DDPMs as stock diffusers writes them: whole, in shards, and in the oldest layout."""
    from ddpm_small import pipeline

    root = tmp_path_factory.mktemp("models")
    pipeline().save_pretrained(root / "whole")
    pipeline("v_prediction", "cosine", 1).save_pretrained(root / "shards")
    shutil.rmtree(root / "shards" / "unet")
    pipeline("v_prediction", "cosine", 1).unet.save_pretrained(
        root / "shards" / "unet", max_shard_size="10KB"
    )
    flat = pipeline("sample", "scaled")
    flat.unet.save_pretrained(root / "flat")
    flat.scheduler.save_pretrained(root / "flat")
    return root


class Payload:
    """What runs where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch ../outside/ran",)


def with_tensors(chance, path):
    """The weights with tensors gone, more, of other shapes and kinds, or not finite."""
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(path)
    for _ in range(chance.choice([1, 2])):
        name, how = chance.choice(sorted(state)), chance.randrange(6)
        if how == 0:
            del state[name]
        elif how == 1:
            state[chance.choice(["more", "../x", "", "conv_in", "a.b.c"])] = torch.zeros(
                chance.choice([0, 1, 9])
            )
        elif how == 2:
            state[name] = state[name].to(
                chance.choice([torch.float16, torch.bfloat16, torch.int8, torch.bool])
            )
        elif how == 3:
            state[name] = state[name].reshape(-1)[: chance.choice([0, 1, 3])].clone()
        elif how == 4:
            state[name] = torch.full_like(state[name], chance.choice([float("nan"), float("inf"), 1e38]))
        else:
            state[name] = state[name].to(torch.float8_e4m3fn)
    save_file(state, path)


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


def with_files(chance, folder, path):
    """Links, pipes, folders, pickles and code in place of a file or beside it."""
    import pickle

    import torch

    how = chance.randrange(9)
    if how < 4:
        path.unlink()
    if how == 0:
        path.symlink_to(
            chance.choice(["../../../outside/kept.txt", "/dev/zero", "/etc/passwd", "nowhere", path.name])
        )
    elif how == 1:
        os.mkfifo(path)
    elif how == 2:
        path.mkdir()
    elif how == 3:
        bad = (
            {"x": Payload()}
            if chance.random() < 0.5
            else chance.choice([[1], {"x": 1}, {1: torch.zeros(1)}, 5])
        )
        name = path.with_name("diffusion_pytorch_model.bin")
        if chance.random() < 0.5:
            torch.save(bad, name)
        else:
            name.write_bytes(
                chance.choice([pickle.dumps(bad), chance.spoilt_bytes(pickle.dumps(bad)), b"PK\x03\x04x"])
            )
    elif how == 4:
        (folder / "unet.py").write_text("open('../outside/ran', 'w')")
        (folder / "pipeline.py").write_text("open('../outside/ran', 'w')")
        edit(folder / "model_index.json", _class_name=["pipeline", "Evil"], trust_remote_code=True)
    elif how == 5:
        names = ["UNet2DModel", "os.system", "../x", "subprocess.Popen", 5, None, ["pipeline", "Evil"]]
        at = chance.choice(
            ["model_index.json", "config.json", "unet/config.json", "scheduler/scheduler_config.json"]
        )
        auto = {"AutoModel": "evil.Evil", "auto_map": {"AutoModel": "evil.Evil"}, "custom_pipeline": "evil"}
        edit(folder / at, _class_name=chance.choice(names), **chance.choice([{}, auto]))
    elif how == 6:
        index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
        index.parent.mkdir(exist_ok=True)
        shard = chance.choice(
            ["../../../outside/kept.txt", "/etc/passwd", "", ".", "x\ny", 5, None, ["a"], {"b": 1}]
        )
        index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {"conv_in.weight": shard}}))
    elif how == 7:
        shutil.copytree(folder, folder / chance.choice(["unet", "scheduler", "more"]), dirs_exist_ok=True)
    else:
        part = folder / chance.choice(["unet", "scheduler"])
        shutil.rmtree(part, ignore_errors=True)
        part.symlink_to(chance.choice(["../../outside", ".", "/proc/self", "nowhere"]))


def edit(path, **change):
    """A configuration's keys changed, where it is there."""
    if path.is_file():
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


SIZES = [
    0,
    -1,
    1,
    3,
    10**5,
    10**9,
    2**63,
    10**40,
    0.5,
    "8",
    True,
    [8, 8],
    [8],
    [],
    {},
    None,
    float("nan"),
    [10**9] * 2,
]


def with_sizes(chance, path):
    """A configuration with one or two other values."""
    held = json.loads(path.read_text())
    keys = sorted(held) + ["sample_size", "num_train_timesteps", "block_out_channels", "layers_per_block"] * 3
    for _ in range(chance.choice([1, 1, 2])):
        key = chance.choice(keys)
        of = held.get(key)
        held[key] = (
            [chance.choice(SIZES) for _ in of]
            if isinstance(of, list) and chance.random() < 0.5
            else (chance.choice(SIZES))
        )
    path.write_text(json.dumps(held))


def spoil(chance, folder):
    """Spoil one to two files of a model's folder."""
    for _ in range(chance.choice([1, 1, 1, 2])):
        found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
        configs = [p for p in found if p.suffix == ".json"]
        weights = [p for p in found if p.suffix == ".safetensors"]
        how = chance.randrange(8)
        if not found:
            return
        if how < 2 and configs:
            path = chance.choice(configs)
            path.write_bytes(chance.spoilt_json(path.read_bytes() or b"{}"))
        elif how < 4 and configs:
            with_sizes(chance, chance.choice([p for p in configs if p.name != "model_index.json"] or configs))
        elif how == 4 and weights:
            with_tensors(chance, chance.choice(weights))
        elif how == 5 and weights:
            with_header(chance, chance.choice(weights))
        elif how == 6 and weights:
            path = chance.choice(weights)
            path.write_bytes(chance.spoilt_bytes(path.read_bytes()))
        else:
            with_files(chance, folder, chance.choice(found))


def test_models_that_are_none_are_loaded_or_refused_in_one_line(room, whole):
    import torch
    from safetensors import SafetensorError

    from unpromptable.models.families import ddpm

    given, threads = room / "given", torch.get_num_threads()
    torch.set_num_threads(1)
    ddpm.Model.load(whole / "whole"), ddpm.Family().operations(whole / "whole")  # what is imported once

    def make(chance):
        for old in given.iterdir():
            shutil.rmtree(old)
        folder = given / "model"
        shutil.copytree(whole / chance.choice(["whole", "whole", "shards", "flat"]), folder)
        try:
            spoil(chance, folder)
        except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError, SafetensorError):
            pass  # the second fault found nothing left to spoil
        family, counted = ddpm.Family(), chance.random() < 0.2

        def planned_with():
            family.check(folder)
            family.pixels(folder, None), fingerprints.tree(folder)
            if counted:
                family.operations(folder)

        return [
            ("plan", planned_with),
            ("load", lambda: ddpm.Model.load(folder)),
            ("fetch", lambda: family.fetch(str(folder), given / "copy")),
        ]

    try:
        wrong = tried("models", room, make)
    finally:
        torch.set_num_threads(threads)
    assert not wrong, told(wrong)


# --- records ---


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A finished run, and what runs leave that were stopped: a lease, a failure, attempts, a resume state."""
    import torch
    from ddpm_small import model

    from unpromptable.planning import plugins
    from unpromptable.unlearning import noting, states

    os.environ["MLFLOW_TRACKING_URI"] = "nowhere://x"
    store = tmp_path_factory.mktemp("ended")
    run(store)
    del os.environ["MLFLOW_TRACKING_URI"]
    cell = planned.read(store).cells[0]
    with lease.Lease(store / cell.folder / "row.json"):
        pass
    (store / cell.folder / once.NOTE).write_text(json.dumps({"step": "score", "error": "x", "again": True}))
    (store / cell.folder / attempts.NOTE).write_text(json.dumps(["score: killed; ran again, 1 of 2"]))
    parts.note(store, parts.Part(2, 2, "ab"), "planned")
    small = model()
    optimizer = torch.optim.AdamW(small.trained(), lr=1e-3)
    small.predict(torch.zeros(1, 3, 8, 8), torch.zeros(1, dtype=torch.long)).sum().backward()
    optimizer.step()
    states.save(store / "training", small, optimizer, 1, noting.Noting(plugins.make("method", "naive"), 2))
    (store / "training" / states.HISTORY).write_text('{"step": 1}\n')
    return store


RECORDS = (
    *("row.json", "rows.json", "groups.json", ".row.json.done", ".unlearned.done", ".data.safetensors.done"),
    *(
        "experiment.json",
        "progress.jsonl",
        "fingerprints.json",
        ".row.json.lease-1",
        "failed.json",
        "again.json",
    ),
    *("history.jsonl", "ab-2-of-2.json", "cell.json", "tracking.json", "training.json"),
)
ARTIFACTS = ("resume.safetensors", "data.safetensors", "before.safetensors", "surrogates.safetensors")


def spoil_record(chance, store):
    """Spoil one record of a run, and where a mark says what it marks, sometimes the mark to fit."""
    found = [p for p in sorted(store.rglob("*")) if p.is_file()]
    path = chance.choice([p for p in found if p.name in (RECORDS if chance.random() < 0.8 else ARTIFACTS)])
    content = path.read_bytes()
    path.unlink()  # the template's file is linked here
    if path.suffix == ".jsonl":
        lines = content.splitlines() or [b"{}"]
        lines[chance.randrange(len(lines))] = chance.spoilt_json(lines[0])
        path.write_bytes(b"\n".join(lines) + b"\n")
    elif path.name in RECORDS:
        path.write_bytes(chance.spoilt_json(content))
    else:
        path.write_bytes(content)
        chance.choice([with_header, lambda c, p: p.write_bytes(c.spoilt_bytes(content))])(chance, path)
    mark = path.with_name(f".{path.name}.done")
    if mark.is_file() and chance.random() < 0.7:
        key = json.loads(mark.read_text()).get("key")
        mark.unlink()
        mark.write_text(json.dumps({"key": key}))  # as an earlier version's: it says nothing of the content
    if path.name == ".row.json.lease-1" and chance.random() < 0.5:
        path.rename(
            path.with_name(
                chance.choice([".row.json.lease-²", ".row.json.lease-", f".row.json.lease-{9**99}"])
            )
        )


def readers(store, chance):
    """Everything that reads a run's records."""
    import torch
    from ddpm_small import model

    from unpromptable.planning import plugins
    from unpromptable.unlearning import noting, states

    cells = [p for p in sorted((store / "cells").iterdir()) if p.is_dir()]

    def held():
        with lease.Lease(cells[0] / "row.json") as mine:
            mine.check()

    def known():
        with fingerprints.kept(store / "fingerprints.json"):
            fingerprints.of(store / "experiment.json")

    def resumed():
        small = model()
        optimizer = torch.optim.AdamW(small.trained(), lr=1e-3)
        states.resume(store / "training", small, optimizer, noting.Noting(plugins.make("method", "naive"), 2))

    def watched():
        reader, lines = (
            progress._Reader(store / "progress.jsonl"),
            progress._Lines(Console(file=io.StringIO())),
        )
        reader.at = 0
        for one in reader.fresh():
            lines.take(one)

    def marks():
        for mark in sorted(store.rglob(".*.done")):
            (
                files.finished(mark.with_name(mark.name[1:-5]), "k"),
                inventory.key(mark.with_name(mark.name[1:-5])),
            )

    calls = {
        "rows": lambda: rows.collect(str(store)),
        "read_rows": lambda: row.read_rows(store / "rows.json"),
        "noted": lambda: [once.noted(spec.place(store)) for spec in planned.read(store).cells],
        "notes": lambda: [attempts.notes(cell) for cell in cells],
        "left": lambda: [lease.left(cell) for cell in cells],
        "alive": lambda: purging.at_work(store),
        "lease": held,
        "fingerprints": known,
        "resume": resumed,
        "watch": watched,
        "marks": marks,
        "purge": lambda: purging.look(store, ()),
        "parts": lambda: parts.at_work(store, parts.Part(1, 2, "ab")),
        "peek": lambda: [data.peek(p) for p in store.rglob("data.safetensors")],
        "load": lambda: [data.load(p) for p in store.rglob("data.safetensors")],
    }
    if chance.random() < 0.03:
        calls["report"] = lambda: report_step.report(str(store), "small", "SUCCEEDED")
    return list(calls.items())


def linked(source, target):
    """A large file as a link, all else as a copy."""
    if source.endswith((".safetensors", ".png", ".html")):
        return os.link(source, target)
    return shutil.copy2(source, target)


def test_records_that_are_none_are_read_or_refused_in_one_line(room, ended, monkeypatch):
    monkeypatch.setattr(lease, "DEAD", 0.05)
    monkeypatch.setattr(lease, "LOOK", 0.01)
    given = room / "given"

    def make(chance):
        for old in given.iterdir():
            shutil.rmtree(old)
        store = given / "store"
        shutil.copytree(ended, store, copy_function=linked)
        spoil_record(chance, store)
        return readers(store, chance)

    wrong = tried("records", room, make)
    assert not wrong, told(wrong)
