"""A DDPM's process as its folder states it: schedule, prediction, variance, pictures; all else is refused by
name.

Read from JSON alone, so that a folder is judged before anything is loaded; the formulas are diffusers'
DDPMScheduler's.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import equations

from . import checkpoints, hub

PIPELINES, SCHEDULERS = ("DDPMPipeline", "DDIMPipeline"), ("DDPMScheduler", "DDIMScheduler")
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large")
SPACINGS = ("leading", "linspace", "trailing")


def check(root: Path, unet: Path, home: Path, sampling: Any = None) -> None:
    """Raise ValueError or FileNotFoundError where the pipeline at `root` is another process.

    unet, home: the folders of its network and its scheduler. sampling: an experiment's, whose steps must suit
    the schedule.
    """
    index = root / "model_index.json"
    if index.is_file():
        _check_pipeline(checkpoints.read_json(index), index)
    _check_network(checkpoints.read_json(unet / "config.json"), unet / "config.json")
    found, path = hub.scheduler(home, "ddpm"), home / "scheduler_config.json"
    _check_scheduler(found, path)
    if sampling is not None:
        _check_steps(found, sampling.steps, path)


def side(path: Path) -> int:
    """Pixels a side of the pictures of the network whose config.json is at `path`: a number, or two equal
    ones.
    """
    found = checkpoints.read_json(path).get("sample_size")
    pair = found if isinstance(found, list) else [found, found]
    if len(pair) != 2 or not all(_whole(p, 1) for p in pair):
        raise ValueError(
            f"model: {path} has sample_size {found!r}; the family ddpm needs the side of its pictures "
            "in pixels, such as 256"
        )
    if pair[0] != pair[1]:
        raise ValueError(
            f"model: {path} has sample_size {found!r}, rectangular pictures; the family ddpm takes square "
            "ones alone"
        )
    return pair[0]


def timesteps(config: dict[str, Any], steps: int) -> np.ndarray:
    """A sampler's timesteps of so many steps, falling, as `timestep_spacing` and `steps_offset` place
    them.
    """
    total, spacing = config.get("num_train_timesteps", 1000), config.get("timestep_spacing", "leading")
    if spacing == "linspace":
        return np.linspace(0, total - 1, steps).round()[::-1].astype(np.int64)
    if spacing == "trailing":
        return np.round(np.arange(total, 0, -total / steps)).astype(np.int64) - 1
    return np.arange(steps)[::-1] * (total // steps) + config.get("steps_offset", 0)


def abar(config: dict[str, Any]) -> np.ndarray:
    """The squared signal left at every timestep, (T,) float64, by the betas and `rescale_betas_zero_snr`."""
    total = config.get("num_train_timesteps", 1000)
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    kind = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is not None:
        betas = np.array(config["trained_betas"], np.float64)
    elif kind == "squaredcos_cap_v2":  # Nichol 2021, Eq. 17
        signal = np.cos((np.arange(total + 1) / total + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = np.minimum(1 - signal[1:] / signal[:-1], 0.999)
    else:
        root = 0.5 if kind == "scaled_linear" else 1
        betas = np.linspace(start**root, end**root, total) ** (1 / root)
    kept = np.cumprod(1 - betas)
    if config.get("rescale_betas_zero_snr"):  # Lin 2023, Algorithm 1
        signal = np.sqrt(kept)
        kept = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    return kept


def _check_pipeline(index: dict[str, Any], path: Path) -> None:
    kind = index.get("_class_name")
    _need(kind in PIPELINES, path, f"is a {kind}", f"the family ddpm reads {_or(PIPELINES)} alone")
    listed = {k: v for k, v in index.items() if not k.startswith("_") and isinstance(v, list) and v}
    parts = {k: v for k, v in listed.items() if v[-1] is not None}
    more = sorted(set(parts) - {"unet", "scheduler"})
    _need(
        not more,
        path,
        f"has parts besides unet and scheduler ({', '.join(more)})",
        "the family ddpm makes pixels, neither latents nor anything a prompt asks for",
    )
    scheduler = parts.get("scheduler", [SCHEDULERS[0]])[-1]
    _need(
        scheduler in SCHEDULERS,
        path,
        f"names a {scheduler}",
        f"the family ddpm reads {_or(SCHEDULERS)} alone",
    )


def _check_network(c: dict[str, Any], path: Path) -> None:
    inside, outside = c.get("in_channels", 3), c.get("out_channels", 3)
    _need(
        _whole(inside, 1) and inside in (1, 3),
        path,
        f"has in_channels {inside!r}",
        "the family ddpm's pictures have 3 (colour) or 1 (grey), and latents are not implemented",
    )
    _need(
        _whole(outside, 1) and outside in (inside, 2 * inside),
        path,
        f"has in_channels {inside} and out_channels {outside!r}",
        "the network must give as many channels as it takes",
    )
    _need(
        outside == inside,
        path,
        f"has out_channels {outside} for in_channels {inside}: it also predicts a variance",
        "learned variances are not implemented; give a model of fixed variance",
    )
    classes = {k: c[k] for k in ("class_embed_type", "num_class_embeds") if c.get(k) is not None}
    _need(
        not classes,
        path,
        f"has {', '.join(f'{k} {v}' for k, v in classes.items())}: a class-conditional network",
        "the family ddpm is unconditional",
    )
    time = c.get("time_embedding_type", "positional")
    _need(
        time == "positional",
        path,
        f"has time_embedding_type {time!r}",
        "the family ddpm needs positional: others read another kind of time",
    )
    _need(
        not c.get("center_input_sample"),
        path,
        "has center_input_sample true: its pictures lie in 0..1",
        "the family ddpm's lie in -1..1",
    )
    blocks = c.get("block_out_channels", [224, 448, 672, 896])
    _need(
        isinstance(blocks, list) and len(blocks) > 0,
        path,
        f"has block_out_channels {blocks!r}",
        "it must be a list of channels, one for each resolution",
    )
    levels = len(blocks)
    _need(
        side(path) % 2 ** (levels - 1) == 0,
        path,
        f"has sample_size {side(path)}, which cannot be halved {levels - 1} times",
        "its network cannot run; correct sample_size or block_out_channels",
    )


def _check_scheduler(c: dict[str, Any], path: Path) -> None:
    kind, prediction = c.get("_class_name"), c.get("prediction_type", "epsilon")
    _need(
        kind in SCHEDULERS,
        path,
        f"is a {kind}",
        f"the family ddpm reads {_or(SCHEDULERS)} alone; where the model was trained with their process, save"
        " it with one of them",
    )
    _need(
        prediction in equations.PREDICTIONS,
        path,
        f"has prediction_type {prediction!r}",
        f"implemented are {_or(equations.PREDICTIONS)}",
    )
    _need(
        c.get("predict_epsilon", True) is True,
        path,
        "has predict_epsilon false, which diffusers no longer reads",
        "write prediction_type 'sample' in its place",
    )
    variance, spacing = c.get("variance_type", "fixed_small"), c.get("timestep_spacing", "leading")
    _need(
        variance in VARIANCES,
        path,
        f"has variance_type {variance!r}",
        f"implemented are {_or(VARIANCES)} (diffusers' fixed_large_log takes the root of a logarithm)",
    )
    _need(spacing in SPACINGS, path, f"has timestep_spacing {spacing!r}", f"implemented are {_or(SPACINGS)}")
    total, offset = c.get("num_train_timesteps", 1000), c.get("steps_offset", 0)
    clip = c.get("clip_sample_range", 1.0)
    _need(
        _whole(total, 2),
        path,
        f"has num_train_timesteps {total!r}",
        "it must be a whole number of at least 2",
    )
    _need(_whole(offset, 0), path, f"has steps_offset {offset!r}", "it must be a whole number of at least 0")
    _need(_number(clip) and clip > 0, path, f"has clip_sample_range {clip!r}", "it must be above 0")
    ratio, most = c.get("dynamic_thresholding_ratio", 0.995), c.get("sample_max_value", 1.0)
    _need(
        _number(ratio) and 0 <= ratio <= 1 and _number(most) and most > 0,
        path,
        f"has dynamic_thresholding_ratio {ratio!r} and sample_max_value {most!r}",
        "the first must lie in 0..1, the second above 0",
    )
    _check_betas(c, total, path)
    kept = abar(c).astype(np.float32)
    _need(
        bool((kept[:-1] > 0).all()),
        path,
        "has betas that leave no signal before the last timestep",
        "correct the betas",
    )
    _need(
        kept[-1] > 0 or prediction != "epsilon",
        path,
        "has prediction_type 'epsilon' and no signal at the last timestep (zero terminal SNR)",
        "no picture can be told from noise alone there; the model must predict v_prediction or sample",
    )


def _check_betas(c: dict[str, Any], total: int, path: Path) -> None:
    kind, trained = c.get("beta_schedule", "linear"), c.get("trained_betas")
    if trained is None:
        _need(
            kind in BETAS,
            path,
            f"has beta_schedule {kind!r}",
            f"implemented are {_or(BETAS)}; write others out as trained_betas",
        )
        trained = [c.get("beta_start", 1e-4), c.get("beta_end", 0.02)]
    else:
        _need(
            isinstance(trained, list) and len(trained) == total,
            path,
            f"has {len(trained) if isinstance(trained, list) else trained!r} trained_betas for {total}"
            " num_train_timesteps",
            "give one for each",
        )
    wrong = [b for b in trained if not _number(b) or not 0 < b <= 1]
    _need(
        not wrong,
        path,
        f"has beta {wrong[0]!r}" if wrong else "",
        "a beta is a share of the variance, above 0 and at most 1",
    )


def _check_steps(config: dict[str, Any], steps: int, path: Path) -> None:
    total = config.get("num_train_timesteps", 1000)
    if steps > total:
        raise ValueError(
            f"sampling.steps is {steps}, but the model of {path} has {total} timesteps; take at most as "
            "many steps"
        )
    found = timesteps(config, steps)
    if len(found) != steps or found.min() < 0 or found.max() >= total:
        spacing, offset = config.get("timestep_spacing", "leading"), config.get("steps_offset", 0)
        raise ValueError(
            f"sampling.steps is {steps}, which the {spacing} spacing of {path} (steps_offset {offset}) places"
            f" on timesteps {found.max()} to {found.min()}, outside 0..{total - 1}; choose another number"
        )


def _need(holds: bool, path: Path, found: str, allowed: str) -> None:
    if not holds:
        raise ValueError(f"model: {path} {found}; {allowed}")


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
