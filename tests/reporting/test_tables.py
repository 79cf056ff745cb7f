"""Numbers of tables as text."""

import pytest

from unpromptable.reporting import tables
from unpromptable.scoring.estimates import Estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Estimate(0.5, 0.4, 0.6, 8), "0.500 ± 0.100"),
        (Estimate(12.0, 11.0, 13.0, 8), "12.00 ± 1.00"),
        (Estimate(1.0, 1.0, 1.0, 8), "1.000 ± 0.000"),  # eight that agree
        (Estimate(0.5, 0.45, 0.55, 1), "0.500 ± 0.050"),  # printed digits
        (Estimate(0.5, None, None, 1), "0.500"),  # a single one, of which nothing tells how far it may be off
        (None, "—"),
    ],
)
def test_an_estimate_has_its_interval_where_there_is_one(value, text):
    assert tables.show(value) == text
