"""Figure 4 shows what it says."""

import numpy as np

from unpromptable.paper import figure4, ridge


def test_figure_4_shows_a_surrogate_that_is_closer():
    p = figure4.example()
    low, high = ridge.closer_labels(*p[:4])
    assert low < p.y_new < high
    assert np.linalg.norm(ridge.surrogate_shift(*p)) < np.linalg.norm(ridge.exact_shift(*p[:4])) / 2
