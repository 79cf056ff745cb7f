"""What CLIP sees, and the miniature CLIP's captions and contrast."""

import pytest
import torch
from torch.nn import functional as F

from unpromptable.editing.tedigan import clip
from unpromptable.miniature import portraits
from unpromptable.pretraining import captions
from unpromptable.pretraining import clip as ours


@pytest.mark.parametrize("size, side", [(256, 224), (32, 28)])
def test_one_small_matrix_equals_the_detour_through_a_large_picture(size, side):
    x = torch.randn(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    detour = F.avg_pool2d(F.interpolate(x, scale_factor=28, mode="nearest"), 32)
    assert detour.shape[-1] == side and torch.allclose(clip.view(x, side), detour, atol=1e-12)


def test_a_picture_smaller_than_clip_sees_is_refused():
    with pytest.raises(ValueError, match="pictures of 16 pixels are smaller than the 28"):
        clip.view(torch.zeros(1, 3, 16, 16), 28)


def test_every_caption_fits_and_is_spelled_from_known_words():
    words = captions.tokenizer()
    for number in range(6000, 6060):
        tokens = words(captions.sentence(captions.phrases(portraits.identity(number)))).input_ids
        assert len(tokens) <= captions.LENGTH and tokens.count(words.eos_token_id) == 1


def test_a_caption_is_right_for_every_picture_of_which_it_is_true():
    has = torch.tensor([[1.0, 1, 0], [1, 0, 1], [1, 1, 1]])
    says = torch.tensor([[1.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert ours.matches(has, says).tolist() == [[True, False, True], [False, True, True], [True, True, True]]
    sure = torch.where(ours.matches(has, says), 9.0, -9.0)
    assert ours.loss(sure, ours.matches(has, says).float()) < ours.loss(
        -sure, ours.matches(has, says).float()
    )
