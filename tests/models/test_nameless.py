"""What is saved of a model says nothing of the machine that it was loaded on."""

import json

import ddpm_small
import torch

from unpromptable.models import nameless
from unpromptable.models.families import ddpm


def test_a_saved_model_does_not_say_where_it_was_loaded_from_and_loads_as_it_was(tmp_path):
    ddpm_small.pipeline().save_pretrained(tmp_path / "secret-place", safe_serialization=True)
    model = ddpm.Model.load(tmp_path / "secret-place")
    model.save(tmp_path / "after")
    assert not [p for p in (tmp_path / "after").rglob("*.json") if "secret-place" in p.read_text()]
    after = ddpm.Model.load(tmp_path / "after").state()
    assert all(torch.equal(after[name], weights) for name, weights in model.state().items())


def test_only_configurations_that_say_a_place_are_written_anew(tmp_path):
    (tmp_path / "unet").mkdir()
    plain, placed = tmp_path / "model_index.json", tmp_path / "unet/config.json"
    plain.write_text('{"b":1,   "a": 2}')
    placed.write_text(json.dumps({"_name_or_path": "/home/x", "size": 32}))
    nameless.strip(tmp_path)
    assert plain.read_text() == '{"b":1,   "a": 2}' and json.loads(placed.read_text()) == {"size": 32}
