"""The weights of one network as the files of a diffusers or transformers folder: which they are, whether they
are whole, how they load.

A network's weights are one file or shards with an index, of no variant or of one (fp16, bf16, ...),
safetensors or .bin. What is read is what the libraries read without being told a variant; a lone variant is
read as it is. `settle` brings a copy to the one layout that every later step reads: safetensors under the
plain name.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from unpromptable.planning.reading import shown

from .tensors import finite, read

NAME = re.compile(
    r"(?P<stem>diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<variant>\w+))?(?P<shard>-\d+-of-\d+)?(?:\.(?P<late>\w+))?"
    r"\.(?P<format>safetensors|bin)(?P<index>\.index(?:\.(?P<last>\w+))?\.json)?"
)

# what the libraries raise for configurations and weights that do not go together
MISFIT = (
    *(OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(AssertionError, ImportError, EOFError, SafetensorError),
)


def chosen(names: Iterable[str], where: str | Path) -> list[str]:
    """The weight files to read among the `names` of one folder; [] where there are none.

    Raises ValueError where only variants are there and more than one.
    """
    kinds: dict[tuple[str, bool, bool], list[str]] = {}
    for name in sorted(names):
        if m := NAME.fullmatch(name):
            sharded = bool(m["shard"] or m["index"])
            # diffusers takes an index first, transformers one file
            second = sharded != (m["stem"] == "diffusion_pytorch_model")
            kinds.setdefault(
                (m["variant"] or m["late"] or m["last"] or "", m["format"] == "bin", second), []
            ).append(name)
    variants = sorted({variant for variant, _, _ in kinds})
    if len(variants) > 1 and "" not in variants:
        raise ValueError(
            f"model: {where} holds its weights as {' and '.join(variants)} and not without a variant; keep"
            " the files of one of them"
        )
    return kinds[min(kinds)] if kinds else []


def unneeded(names: Iterable[str]) -> list[str]:
    """Of all files of a repository, those weight files that are not read since a folder holds better ones."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.rpartition("/")[0], []).append(name.rpartition("/")[2])
    return [
        f"{folder}/{n}".lstrip("/")
        for folder, inside in folders.items()
        for n in set(inside) - set(chosen(inside, folder))
        if NAME.fullmatch(n)
    ]


def check(where: Path) -> None:
    """Raise ValueError where the weights in `where` are missing or not whole; from the files' headers,
    nothing is loaded.
    """
    names = chosen((p.name for p in where.iterdir()), where)
    if not names:
        raise ValueError(
            f"model: {where} holds no .safetensors weights (nor .bin); save the network there with diffusers'"
            " save_pretrained"
        )
    files = [where / n for n in names if not n.endswith(".json")]
    index = next((where / n for n in names if n.endswith(".json")), None)
    told = read_json(index).get("weight_map") if index else {}
    if not isinstance(told, dict):
        raise ValueError(f"model: {index} holds no weight_map; fetch it again")
    for shard in sorted(set(map(str, told.values()))):
        if not NAME.fullmatch(shard):
            raise ValueError(
                f"model: {index} names {shard[:80]!r}, which is no file of weights; fetch it again"
            )
        if not (where / shard).is_file():
            raise ValueError(
                f"model: {where / shard} is missing, though {index.name} names it; copy every file of the"
                " folder"
            )
    if index is None and len(files) > 1:
        raise ValueError(
            f"model: {where} holds {len(files)} shards without their index.json; copy every file of the"
            " folder"
        )
    held = {path.name: _tensors(path) for path in files}
    for name, shard in told.items():
        if held.get(shard) is not None and name not in held[shard]:
            raise ValueError(
                f"model: {where / shard} lacks the tensor {name}, though {index.name} names it; fetch the"
                " folder again"
            )


def _tensors(path: Path) -> set[str] | None:
    """The names in a safetensors file, by its header; None for a .bin, which has none. Raises ValueError for
    half a file.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise ValueError(f"model: {path} is no file; put the weights themselves there")
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"model: {path} is a pointer of Git LFS and not the weights; run `git lfs pull` in that clone"
        )
    if path.suffix == ".bin":
        if not start or start.startswith(b"PK") and not zipfile.is_zipfile(path):
            raise ValueError(f"model: {path} is truncated; fetch it again")
        return None
    try:
        with safe_open(path, framework="np") as file:
            return set(file.keys())
    except SafetensorError as error:
        raise ValueError(
            f"model: {path} is truncated or no safetensors file ({str(error).splitlines()[0]}); fetch it"
            " again"
        ) from error


def settle(where: Path) -> None:
    """Bring the weights of a copy to safetensors under the plain name, and remove the others.

    A .bin is read for its tensors alone (`weights_only`); raises ValueError where it holds anything else.
    """
    names = chosen((p.name for p in where.iterdir()), where)
    for path in where.iterdir():
        if NAME.fullmatch(path.name) and path.name not in names:
            path.unlink()
    if any(NAME.fullmatch(n)["format"] == "bin" for n in names):
        return _without_pickles([where / n for n in names])
    for name in names:
        m = NAME.fullmatch(name)
        if not m["shard"]:
            (where / name).rename(where / f"{m['stem']}.{m['format']}{'.index.json' if m['index'] else ''}")


def _without_pickles(paths: list[Path]) -> None:
    from safetensors.torch import save_file
    from torch import Tensor

    state: dict[str, Any] = {}
    for path in paths:
        if path.suffix == ".bin":
            state |= read(path)
    if other := next((k for k, v in state.items() if not isinstance(v, Tensor)), None):
        raise ValueError(
            f"model: {paths[0]}: {other} is no tensor; save the network itself with diffusers'"
            " save_pretrained"
        )
    stem = NAME.fullmatch(paths[0].name)["stem"]
    stem = {"pytorch_model": "model"}.get(stem, stem)  # what transformers calls the same in safetensors
    save_file(
        {k: v.contiguous().clone() for k, v in state.items()},
        paths[0].with_name(f"{stem}.safetensors"),
        metadata={"format": "pt"},
    )
    for path in paths:
        path.unlink()


def load(kind: Any, where: Path, extra: bool = False, **how: Any) -> Any:
    """`kind.from_pretrained` of the weights in `where`, or one line that says what does not fit: missing,
    left over, of another shape, not finite.

    extra: tensors that the network does not have are allowed, as transformers' text encoders are stored.
    """
    if variant := _variant(where):
        how["variant"] = variant
    try:
        network, found = kind.from_pretrained(where, use_safetensors=True, output_loading_info=True, **how)
    except MISFIT as error:
        raise ValueError(_misfit(where, kind, error)) from error
    for word, names in (
        ("missing", found["missing_keys"]),
        ("none of the network's", () if extra else found["unexpected_keys"]),
        ("of another shape", found.get("mismatched_keys", ())),
    ):
        if first := next((str(n) for n in sorted(names, key=str)), None):
            raise ValueError(
                f"model: {where}: {first} is {word} ({len(names)} tensors are); its config.json and weights"
                " must be of one network"
            )
    finite(network.state_dict(), f"model: {where}", "the weights are damaged; fetch them again")
    return network


def _misfit(where: Path, kind: type, error: BaseException) -> str:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return (
        f"model: {where} cannot be loaded as a {kind.__name__} ({why}); its config.json and weights must be"
        " of one network"
    )


def sketch(kind: Any, where: Path) -> Any:
    """The network of diffusers' class `kind` that the config.json in `where` describes, without weights and
    the memory for them. Raises ValueError where it describes none.
    """
    import torch

    try:
        with torch.device("meta"):
            return kind.from_config(read_json(where / "config.json"))
    except MISFIT as error:
        raise ValueError(_misfit(where, kind, error)) from error


def check_shapes(kind: Any, where: Path) -> None:
    """Raise ValueError where the weights in `where` are of other shapes than its config.json says: by the
    files' headers, so that no memory is asked for in vain.
    """
    from safetensors import safe_open

    wanted = {k: list(v.shape) for k, v in sketch(kind, where).state_dict().items()}
    for path in (where / n for n in chosen((p.name for p in where.iterdir()), where)):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                given = {k: file.get_slice(k).get_shape() for k in file.keys()}
            if wrong := next((k for k in sorted(given) if k in wanted and given[k] != wanted[k]), None):
                found = f"{wrong} is {given[wrong]} and not {wanted[wrong]}"
                raise ValueError(_misfit(where, kind, ValueError(found)))


def _variant(where: Path) -> str | None:
    """The variant to ask the libraries for. Raises ValueError for a .bin, which only a fetched copy is rid
    of.
    """
    for m in (NAME.fullmatch(n) for n in chosen((p.name for p in where.iterdir()), where)):
        if m["format"] == "bin":
            raise ValueError(
                f"model: {where} holds .bin weights; name it as model.source, whose copy is converted, or"
                " save it with safetensors"
            )
        return m["variant"] or m["late"] or m["last"]
    return None


def word(given: Any) -> str:
    """A class's name for an error: any other value as it would be written, on one line."""
    return given if isinstance(given, str) and given.isidentifier() else shown(given)


def read_json(path: Path) -> dict[str, Any]:
    """A configuration. Raises ValueError that names the file where it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"model: {path} cannot be read as JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise ValueError(f"model: {path} is no configuration but a {type(found).__name__}; fetch it again")
    return found
