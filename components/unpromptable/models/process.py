"""A DDPM's process as its folder states it: schedule, prediction, variance, pictures; all else is refused by
name.

Read from JSON alone, so that a folder is judged before anything is loaded.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import equations
from unpromptable.planning.reading import shown

from . import checkpoints, hub, noise_schedule

PIPELINES, SCHEDULERS = ("DDPMPipeline", "DDIMPipeline"), ("DDPMScheduler", "DDIMScheduler")
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large")
SPACINGS = ("leading", "linspace", "trailing")
MOST, LONGEST, WIDEST = 64, 100_000, 16_384  # resolutions and layers of each; timesteps; pixels a side


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
        _check_steps(found, sampling, path)


def side(path: Path) -> int:
    """Pixels a side of the pictures of the network whose config.json is at `path`: a number, or two equal
    ones.
    """
    found = checkpoints.read_json(path).get("sample_size")
    pair = found if isinstance(found, list) else [found, found]
    if len(pair) != 2 or not all(_whole(p, 1) and p <= WIDEST for p in pair):
        raise ValueError(
            f"model: {path} has sample_size {shown(found)}; the family ddpm needs the side of its pictures "
            f"in pixels, such as 256, at most {WIDEST:,}"
        )
    if pair[0] != pair[1]:
        raise ValueError(
            f"model: {path} has sample_size {found!r}, rectangular pictures; the family ddpm takes square "
            "ones alone"
        )
    return pair[0]


def _check_pipeline(index: dict[str, Any], path: Path) -> None:
    kind = index.get("_class_name")
    _need(
        kind in PIPELINES,
        path,
        f"is a {checkpoints.word(kind)}",
        f"the family ddpm reads {_or(PIPELINES)} alone",
    )
    listed = {k: v for k, v in index.items() if not k.startswith("_") and isinstance(v, list) and v}
    parts = {k: v for k, v in listed.items() if v[-1] is not None}
    more = sorted(set(parts) - {"unet", "scheduler"})
    alone = "the family ddpm makes pixels, neither latents nor anything a prompt asks for"
    _need(not more, path, f"has parts besides unet and scheduler ({', '.join(more)})", alone)
    scheduler = parts.get("scheduler", [SCHEDULERS[0]])[-1]
    known = f"the family ddpm reads {_or(SCHEDULERS)} alone"
    _need(scheduler in SCHEDULERS, path, f"names a {checkpoints.word(scheduler)}", known)


def _check_network(c: dict[str, Any], path: Path) -> None:
    _check_channels(c.get("in_channels", 3), c.get("out_channels", 3), path)
    _check_conditions(c, path)
    blocks = c.get("block_out_channels", [224, 448, 672, 896])
    listed = "it must be a list of channels, one for each resolution"
    right = isinstance(blocks, list) and 0 < len(blocks) <= MOST and all(_whole(b, 1) for b in blocks)
    _need(right, path, f"has block_out_channels {shown(blocks)}", listed)
    layers, bound = c.get("layers_per_block", 2), f"it must be a whole number of 1 to {MOST}"
    right = _whole(layers, 1) and layers <= MOST
    _need(right, path, f"has layers_per_block {shown(layers)}", bound)
    halvings, pixels = len(blocks) - 1, side(path)
    found = f"has sample_size {pixels}, which cannot be halved {halvings} times"
    remedy = "its network cannot run; correct sample_size or block_out_channels"
    _need(pixels % 2**halvings == 0, path, found, remedy)


def _check_channels(inside: Any, outside: Any, path: Path) -> None:
    allowed = "the family ddpm's pictures have 3 (colour) or 1 (grey), and latents are not implemented"
    right = _whole(inside, 1) and inside in (1, 3)
    _need(right, path, f"has in_channels {shown(inside)}", allowed)
    found = f"has in_channels {inside} and out_channels {shown(outside)}"
    right = _whole(outside, 1) and outside in (inside, 2 * inside)
    _need(right, path, found, "the network must give as many channels as it takes")
    found = f"has out_channels {outside} for in_channels {inside}: it also predicts a variance"
    allowed = "learned variances are not implemented; give a model of fixed variance"
    _need(outside == inside, path, found, allowed)


def _check_conditions(c: dict[str, Any], path: Path) -> None:
    """What the network is given beside the picture: the time alone, in the usual form."""
    classes = {k: c[k] for k in ("class_embed_type", "num_class_embeds") if c.get(k) is not None}
    found = f"has {', '.join(f'{k} {v}' for k, v in classes.items())}: a class-conditional network"
    _need(not classes, path, found, "the family ddpm is unconditional")
    time = c.get("time_embedding_type", "positional")
    allowed = "the family ddpm needs positional: others read another kind of time"
    _need(time == "positional", path, f"has time_embedding_type {shown(time)}", allowed)
    found = "has center_input_sample true: its pictures lie in 0..1"
    _need(not c.get("center_input_sample"), path, found, "the family ddpm's lie in -1..1")


def _check_scheduler(c: dict[str, Any], path: Path) -> None:
    kind, prediction = c.get("_class_name"), c.get("prediction_type", "epsilon")
    allowed = (
        f"the family ddpm reads {_or(SCHEDULERS)} alone; where the model was trained with their process, save"
        " it with one of them"
    )
    _need(kind in SCHEDULERS, path, f"is a {checkpoints.word(kind)}", allowed)
    known = f"implemented are {_or(equations.PREDICTIONS)}"
    _need(prediction in equations.PREDICTIONS, path, f"has prediction_type {shown(prediction)}", known)
    found = "has predict_epsilon false, which diffusers no longer reads"
    _need(c.get("predict_epsilon", True) is True, path, found, "write prediction_type 'sample' in its place")
    _check_variance_and_spacing(c, path)
    _check_numbers(c, path)
    _check_betas(c, c.get("num_train_timesteps", 1000), path)
    _check_signal(c, prediction, path)


def _check_variance_and_spacing(c: dict[str, Any], path: Path) -> None:
    variance, spacing = c.get("variance_type", "fixed_small"), c.get("timestep_spacing", "leading")
    known = f"implemented are {_or(VARIANCES)} (diffusers' fixed_large_log takes the root of a logarithm)"
    _need(variance in VARIANCES, path, f"has variance_type {shown(variance)}", known)
    _need(
        spacing in SPACINGS,
        path,
        f"has timestep_spacing {shown(spacing)}",
        f"implemented are {_or(SPACINGS)}",
    )


def _check_numbers(c: dict[str, Any], path: Path) -> None:
    total, offset = c.get("num_train_timesteps", 1000), c.get("steps_offset", 0)
    clip = c.get("clip_sample_range", 1.0)
    whole = "it must be a whole number of at least"
    right = _whole(total, 2) and total <= LONGEST
    _need(right, path, f"has num_train_timesteps {shown(total)}", f"{whole} 2 and at most {LONGEST:,}")
    _need(_whole(offset, 0), path, f"has steps_offset {shown(offset)}", f"{whole} 0")
    _need(_number(clip) and clip > 0, path, f"has clip_sample_range {shown(clip)}", "it must be above 0")
    ratio, most = c.get("dynamic_thresholding_ratio", 0.995), c.get("sample_max_value", 1.0)
    right = _number(ratio) and 0 <= ratio <= 1 and _number(most) and most > 0
    found = f"has dynamic_thresholding_ratio {shown(ratio)} and sample_max_value {shown(most)}"
    _need(right, path, found, "the first must lie in 0..1, the second above 0")


def _check_signal(c: dict[str, Any], prediction: str, path: Path) -> None:
    kept = noise_schedule.abar(c).astype(np.float32)
    found = "has betas that leave no signal before the last timestep"
    _need(bool((kept[:-1] > 0).all()), path, found, "correct the betas")
    found = "has prediction_type 'epsilon' and no signal at the last timestep (zero terminal SNR)"
    remedy = "no picture can be told from noise alone there; the model must predict v_prediction or sample"
    _need(kept[-1] > 0 or prediction != "epsilon", path, found, remedy)


def _check_betas(c: dict[str, Any], total: int, path: Path) -> None:
    kind, trained = c.get("beta_schedule", "linear"), c.get("trained_betas")
    if trained is None:
        known = f"implemented are {_or(BETAS)}; write others out as trained_betas"
        _need(kind in BETAS, path, f"has beta_schedule {shown(kind)}", known)
        trained = [c.get("beta_start", 1e-4), c.get("beta_end", 0.02)]
    else:
        count = len(trained) if isinstance(trained, list) else shown(trained)
        found = f"has {count} trained_betas for {total} num_train_timesteps"
        _need(isinstance(trained, list) and len(trained) == total, path, found, "give one for each")
    wrong = [b for b in trained if not _number(b) or not 0 < b <= 1]
    allowed = "a beta is a share of the variance, above 0 and at most 1"
    _need(not wrong, path, f"has beta {shown(wrong[0])}" if wrong else "", allowed)


def _check_steps(config: dict[str, Any], sampling: Any, path: Path) -> None:
    total, steps = config.get("num_train_timesteps", 1000), sampling.steps
    if steps > total:
        raise ValueError(
            f"sampling.steps is {steps}, but the model of {path} has {total} timesteps; take at most as "
            "many steps"
        )
    found = noise_schedule.timesteps(config, steps, sampling.sampler)
    if len(found) != steps or found.min() < 0 or found.max() >= total:
        spacing, offset = config.get("timestep_spacing", "leading"), config.get("steps_offset", 0)
        raise ValueError(
            f"sampling.steps is {steps}, which the {spacing} spacing of {path} (steps_offset {offset}) places"
            f" on timesteps {found.max()} to {found.min()}, outside 0..{total - 1}; choose another number"
        )
    if (different := len(set(found.tolist()))) < steps:
        raise ValueError(
            f"sampling.steps is {steps}, for which {sampling.sampler} finds {different} different timesteps"
            f" among the {total} of {path}; take fewer steps"
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
