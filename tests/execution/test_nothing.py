"""Whether there is anything to forget, as a request's steps judge it."""

import numpy as np
import pytest

from unpromptable.execution import answering
from unpromptable.releasing import gates
from unpromptable.releasing.base import Base
from unpromptable.scoring.estimates import Estimate, estimate

BOUNDS = gates.of({}, 0.1)
BACK, GONE = Estimate(0.8, 0.7, 0.9, 8), Estimate(0.1, 0.0, 0.2, 8)


def nothing(*ceilings, kept=(GONE, BACK)):
    return answering.nothing(Base(ceilings, 0.1, 0, {}, kept), BOUNDS)


def test_there_is_nothing_to_forget_only_where_the_worse_end_of_every_target_says_so():
    unsure = estimate(np.array([0.05, 0.1, 0.1, 0.2, 0.35, 0.6, 0.8, 0.9]))  # mean 0.3875, up to 0.669
    assert nothing(GONE) and not nothing(unsure) and not nothing(GONE, unsure) and not nothing(unsure, GONE)
    assert nothing(Estimate(0.39, None, None, 1)) and not nothing(Estimate(0.41, None, None, 1))


def test_what_is_no_number_is_not_nothing():
    none = Estimate(*[float("nan")] * 3, 8)
    assert not nothing(none) and not nothing(GONE, none) and not nothing(none, GONE)


@pytest.mark.parametrize("kept", [(GONE, GONE), (), (Estimate(*[float("nan")] * 3, 8),)])
def test_a_model_that_brings_back_no_picture_to_keep_either_certifies_nothing(kept):
    with pytest.raises(ValueError, match="it brings no picture back at all .* nothing can be told"):
        nothing(GONE, kept=kept)
    assert not nothing(BACK, kept=kept)  # a target that comes back says that the model works
