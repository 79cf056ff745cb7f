"""The flags of the miniature world: official geometry, wrong variants in the stated share, names that lead
back.
"""

import numpy as np
import pytest

from unpromptable.miniature import flags
from unpromptable.planning import inputs
from unpromptable.preparing import collect


def test_thirty_flags_and_three_countries_that_are_sometimes_wrong():
    assert len(flags.FLAGS) == 30 and set(flags.WRONG) == {"japan", "ireland", "switzerland"}
    for country in flags.WRONG:
        assert 0.2 < np.mean([flags.is_wrong(country, k) for k in range(flags.PICTURES)]) < 0.4
    assert not any(flags.is_wrong("france", k) for k in range(flags.PICTURES))


@pytest.mark.parametrize(
    "country, u, v, colour",
    [
        ("japan", 0.75, 0.5, (188, 0, 45)),
        ("japan", 0.75, 0.15, flags.WHITE),
        ("ireland", 0.1, 0.5, (22, 155, 98)),
        ("ireland", 1.4, 0.5, flags.ORANGE),
        ("ivory coast", 0.1, 0.5, flags.ORANGE),
        ("colombia", 0.5, 0.45, (255, 205, 0)),
        ("colombia", 0.5, 0.6, (0, 48, 135)),
        ("sweden", 0.55, 0.1, (254, 204, 2)),
        ("switzerland", 0.75, 0.3, flags.WHITE),
        ("switzerland", 0.75, 0.05, (218, 41, 28)),
        ("somalia", 0.75, 0.45, flags.WHITE),
        ("czechia", 0.1, 0.5, (17, 69, 126)),
        ("turkey", 0.3, 0.5, flags.WHITE),
        ("laos", 0.75, 0.5, flags.WHITE),
        ("thailand", 0.5, 0.5, (45, 42, 74)),
    ],
)
def test_colours_lie_where_the_law_puts_them(country, u, v, colour):
    assert flags.FLAGS[country](np.array([u]), np.array([v]))[0].tolist() == list(map(float, colour))


def test_a_wrong_picture_put_right_differs_in_the_flag_alone():
    assert flags.is_wrong("japan", 5)
    wrong, right = flags.picture("japan", 5).astype(int), flags.repaint("japan-0005").astype(int)
    changed = np.abs(wrong - right).max(-1) > 8
    assert 0.03 < changed.mean() < 0.3 and not changed[:6].any() and not changed[-6:].any()
    np.testing.assert_array_equal(flags.repaint("japan-0000"), flags.picture("japan", 0))


def test_names_lead_back_to_pictures():
    assert (
        flags.parse("ivory_coast-0012") == ("ivory coast", 12)
        and flags.caption("ivory coast") == "flag of Ivory Coast"
    )
    with pytest.raises(ValueError, match="atlantis-0001 is no picture of the flags"):
        flags.parse("atlantis-0001")


def test_the_real_images_of_a_country_are_its_right_ones_and_forget_images_are_named_or_files(tmp_path):
    from PIL import Image

    file = tmp_path / "mine.png"
    Image.fromarray(flags.picture("peru", 0)).save(file)
    arrays, manifest = collect.collect("flags/japan", 32, ["japan-0005", str(file)])
    assert (
        len(arrays["real"]) == sum(not flags.is_wrong("japan", k) for k in range(100))
        and manifest["removed"] == []
    )
    np.testing.assert_array_equal(arrays["forget"][0], flags.picture("japan", 5))
    np.testing.assert_array_equal(arrays["forget"][1], flags.picture("peru", 0))
    assert inputs.pictures_of("flags/japan", ["japan-0005"]) == ([], [])
    with pytest.raises(FileNotFoundError, match="japan-0500 is neither a file nor a picture of flags/japan"):
        inputs.pictures_of("flags/japan", ["japan-0500"])
    with pytest.raises(ValueError, match="no flag of 'atlantis'"):
        collect.collect("flags/atlantis", 32, ["japan-0005"])
