"""A mean over targets, each with one number or one for each training seed, and its 95 % interval.

With value = mean + target + seed the means of the targets have the variance target + seed/seeds, whatever the
two shares are. So Student's interval over these means holds 95 % of the time for 3 targets as for 30
(Gaussian parts, as many seeds of each), and with one seed per target it is the interval over targets that it
always was. A percentile bootstrap over targets, then over the seeds of each, is too narrow: where targets
differ more than seeds it holds 74, 80, 83 and 86 % of the time for 3 to 6 targets of 3 seeds, as
`tests/reporting/test_spread.py` measures. A studentised one cannot be had of so few, since one of nine
samples of 3 targets holds a single one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpromptable.scoring.estimates import Estimate, estimate


def over(values: Sequence[np.ndarray]) -> Estimate:
    """Mean over targets of the mean over each one's seeds; values: one array (seeds,) per target.

    A single target's interval is over its seeds and says nothing of other targets; of a single number there
    is none. n is the number of what the interval is over.
    """
    return estimate(values[0] if len(values) == 1 else np.array([np.mean(v) for v in values]))
