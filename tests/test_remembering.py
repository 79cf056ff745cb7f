"""The remember set of a prompted model: its own outputs, screened against the forget images, and the report that shows them."""
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from unpromptable import config, data, networks, remembering
from unpromptable.miniature import flags
from unpromptable.reports import prompted

SHIPPED = Path(str(resources.files("unpromptable") / "miniature" / "sd3"))


def experiment(**change):
    given = {"name": "flags", "world": "miniature", "real": "flags/japan", "forget": ("japan-0005",), "prompt": "flag of Japan", "networks": config.Networks("flags"), "sampling": config.Sampling("euler", 8, 16, batch=16),
             "model": config.Source("sd3", settings={"rank": 4, "t5_tokens": 0, "guidance": 2.0}), "remember": config.Remember("model", 24, screen=0.55)}
    return config.Experiment(**{**given, **change})


def test_wrong_outputs_are_screened_and_the_set_is_filled_up():
    forget = flags.picture("japan", 5)[None]
    arrays, told = remembering.draw(experiment(), SHIPPED, forget, "cpu")
    eyes = networks.load("flags")
    assert len(arrays["remember"]) == 24 and len(arrays["screened"]) >= 1
    assert (eyes.classify(arrays["remember"]) == 0).all() and (eyes.classify(arrays["screened"]) == 30).all()
    assert len(told["remember_seeds"]) == 24 and min(told["screened_similarity"]) >= 0.55 and not set(told["remember_seeds"]) & set(told["screened_seeds"])
    manifest = {"names": [], "removed": []}
    np.testing.assert_array_equal(data.remember(arrays, manifest), arrays["remember"])


def test_a_screen_that_keeps_next_to_nothing_says_so():
    with pytest.raises(ValueError, match=r"remember: only 0 of 10 outputs of the prompt differ from the forget images by remember.screen \(0.001\)"):
        remembering.draw(experiment(remember=config.Remember("model", 2, screen=0.001)), SHIPPED, flags.repaint("japan-0005")[None], "cpu")


def test_the_report_of_a_prompted_model_names_rates_and_shows_the_screened(tmp_path):
    right, wrong = np.stack([flags.repaint(f"japan-{k:04d}") for k in range(12)]), flags.picture("japan", 5)[None]
    before = np.concatenate([right[:8], wrong])
    data.save(tmp_path / "shared" / "data.safetensors", {"real": right, "forget": wrong, "remember": right, "screened": wrong}, {"forget_names": ["a"], "names": [], "removed": []})
    data.save(tmp_path / "shared" / "before.safetensors", {"samples": before, "others": right[:9]}, {"seeds": list(range(9))})
    data.save(tmp_path / "cells" / "ours" / "after.safetensors", {"samples": right[:9], "others": right[:9]}, {"seeds": list(range(9))})
    value = {"mean": 0.125, "low": 0.1, "high": 0.2, "n": 9}
    row = {"name": "Ours", "folder": "cells/ours", "status": "done", "labels": {"sscd": "a"}, **{k: value for k in ("wrong", "right", "wrong_before", "right_before", "lpips_kept", "ssim_kept", "fid_kept")}}
    told = {"name": "x", "title": "", "prompt": "flag of Japan", "other_prompts": [], "networks": {"name": "flags", "folder": ""}}
    text = prompted.write(tmp_path, told, [row], "SUCCEEDED").read_text()
    assert "| Ours | 12.5% (10.0% to 20.0%) |" in text and "n = 9" in text and "other prompts ↓" not in text
    assert prompted.grid(tmp_path, told, [row]).shape[0] == 3 * 34
    assert [name for name, _ in prompted.strips(tmp_path, told, [row])] == ["before", row["name"], "target, screened"]
    assert prompted.write(tmp_path, {**told, "prompt": ""}, [row], "SUCCEEDED") is None
