"""The page's desk: what it writes of a request, one window at a time, and that nothing is left running."""

import dataclasses
import json
import os
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from pipelines.review import desk as desks
from pipelines.review import words
from pipelines.review.asked import Asked, Policy
from pipelines.review.desk import Desk, Shown
from unpromptable import pictures
from unpromptable.miniature import __file__ as miniature
from unpromptable.miniature import portraits
from unpromptable.planning import reading
from unpromptable.releasing import begun, decision, request

TARGET, OTHER = portraits.picture(12, 3), portraits.picture(7, 1)
CLEAR = np.zeros((448, 448, 4), np.uint8)
PAINTED = CLEAR.copy()
PAINTED[100:300, 100:300] = (192, 138, 94, 255)


@pytest.fixture
def desk(tmp_path):
    """A desk of the miniature's model; what it began ends with the test."""
    keep = tmp_path / "keep"
    keep.mkdir()
    for number in range(3):
        Image.fromarray(portraits.picture(number, 0)).save(keep / f"{number}.png")
    model = os.path.join(os.path.dirname(miniature), "ddpm")
    one = Desk(Policy(model, str(keep), tmp_path / "out", settings={"networks.name": "miniature"}))
    yield one
    one.close()


def test_a_request_is_what_the_command_reads_and_its_pictures_are_numbered(desk):
    desk.start("a", Asked("ticket-1", [TARGET], [[PAINTED]], attempts=2, due="2026-12-24"))
    asked = request.read(desk.folder / "request.yaml")
    assert asked.name == "ticket-1" and asked.attempts == 2 and asked.due == "2026-12-24"
    assert [os.path.basename(f) for f in asked.forget] == ["picture-1.png"]
    assert (pictures.read(desk.folder / "pictures/picture-1.png") == TARGET).all()
    painted = pictures.read(desk.folder / "painted/picture-1.png")
    assert (painted[10, 10] == (192, 138, 94)).all() and (painted[0] == TARGET[0]).all()
    assert asked.surrogates == str(desk.folder / "painted")


def test_without_paint_attempts_make_their_own_surrogates(desk):
    desk.start("a", Asked("ticket-1", [TARGET], [[CLEAR]]))
    assert not request.read(desk.folder / "request.yaml").surrogates


@pytest.mark.parametrize(
    "asked, said",
    [
        (Asked("Jane Doe", [TARGET]), "not the name of a person"),
        (Asked("../up", [TARGET]), "give a reference of letters"),
        (Asked("ticket-1", []), "no picture was dropped"),
        (Asked("ticket-1", [TARGET] * 5), "at most 4"),
        (Asked("ticket-1", [TARGET] * 2, [[PAINTED], []]), "picture 2 has no paint"),
        (Asked("ticket-1", [TARGET], due="soon"), "give a day such as"),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_and_nothing_begins(desk, asked, said):
    with pytest.raises(ValueError, match=said):
        desk.start("a", asked)
    assert desk.state() == "idle" and desk.work is None
    assert not [p for p in desk.policy.out.rglob("*") if p.is_file()]


def test_a_refused_request_leaves_an_earlier_one_of_its_reference_as_it_was(desk):
    desk.start("a", Asked("ticket-1", [TARGET], [[PAINTED]]))
    desk.stop("a", "ticket-1")
    files = lambda: (
        {p: p.read_bytes() for p in desk.folder.glob("[pr]*/*.png")}
        | {"request": (desk.folder / "request.yaml").read_bytes()}
    )
    before = files()
    with pytest.raises(ValueError, match="give a day"):
        desk.start("a", Asked("ticket-1", [OTHER] * 2, due="tomorrow"))
    assert files() == before and len(before) == 3


def test_what_is_asked_again_takes_the_place_of_what_was_asked_before(desk):
    desk.start("a", Asked("ticket-1", [TARGET, OTHER], [[PAINTED], [PAINTED]]))
    desk.stop("a", "ticket-1")
    desk.start("a", Asked("ticket-1", [OTHER]))
    assert [p.name for p in desk.folder.glob("p*/*")] == ["picture-1.png"]
    assert (pictures.read(desk.folder / "pictures/picture-1.png") == OTHER).all()


def test_another_picture_under_a_reference_that_began_is_refused_and_the_first_one_stays(desk):
    desk.start("a", Asked("ticket-1", [TARGET]))
    desk.stop("a", "ticket-1")
    begun.pin(desk.folder, request.read(desk.folder / "request.yaml"), "", "")  # as `hotfix` does
    with pytest.raises(ValueError, match="another request began here .forget differ."):
        desk.start("a", Asked("ticket-1", [OTHER]))
    assert (pictures.read(desk.folder / "pictures/picture-1.png") == TARGET).all()
    desk.start("a", Asked("ticket-1", [TARGET], [[PAINTED]]))


def test_what_a_page_that_was_killed_wrote_of_a_request_goes_with_the_next_page(desk):
    (desk.policy.out / "_asked" / "pictures").mkdir(parents=True)
    Desk(desk.policy)
    assert not (desk.policy.out / "_asked").exists()


def test_a_second_window_begins_stops_and_decides_nothing_while_the_first_works(desk):
    desk.start("a", Asked("ticket-1", [TARGET]))
    second = (
        lambda: desk.start("b", Asked("ticket-2", [TARGET])),
        lambda: desk.stop("b", "ticket-1"),
        *(lambda do=do: do("b", Shown("ticket-1")) for do in (desk.approve, desk.reject)),
    )
    for do in second:
        with pytest.raises(ValueError, match="another window of this page.*nothing released"):
            do()
    assert desk.state() == "working" and not (desk.policy.out / "ticket-2").exists()
    with pytest.raises(ValueError, match="not decided yet"):
        desk.start("a", Asked("ticket-2", [TARGET]))


def test_a_closed_windows_work_goes_on_in_the_next_one(desk):
    desk.start("a", Asked("ticket-1", [TARGET]))
    assert not desk.owns("b")
    desk.leave("b")
    assert desk.owns("a")
    desk.leave("a")
    assert desk.state() == "working" and desk.owns("b") and not desk.owns("a")


def test_stopping_ends_the_process_and_another_request_may_begin(desk):
    desk.start("a", Asked("ticket-1", [TARGET]))
    process = desk.work.process
    desk.stop("a", "ticket-1")
    assert process.poll() is not None and desk.state() == "stopped"
    desk.start("b", Asked("ticket-2", [TARGET]))
    assert desk.state() == "working" and desk.owns("b")


def test_a_request_that_fails_says_why_and_released_nothing(desk):
    desk.policy = dataclasses.replace(desk.policy, key=desk.policy.out / "gone.key")
    desk.start("a", Asked("ticket-1", [TARGET]))
    deadline = time.monotonic() + 120
    while desk.state() == "working":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert desk.state() == "failed" and "no such key" in " ".join(desk.work.said)
    assert not (desk.folder / "release").exists()
    with pytest.raises(ValueError, match="no release to decide about"):
        desk.approve("a", Shown("ticket-1"))


class Answered:
    """The command of a request, done at once: a release lies there, as a new one each time."""

    stopped, said, count = False, (), 0

    def __init__(self, path, out, key):
        Answered.count += 1
        (out / "release").mkdir(exist_ok=True)
        told = {"outcome": "released", "number": Answered.count}
        (out / "release" / "certificate.json").write_text(json.dumps(told))
        self.stops = 0

    def ended(self):
        return 0

    def stop(self):
        self.stops += 1


@pytest.fixture
def decided(desk, monkeypatch):
    """A desk whose requests are answered at once, and whose releases are as certified."""
    monkeypatch.setattr(desks, "Work", Answered)
    monkeypatch.setattr(decision.certificate, "verify", lambda *_: [])
    return desk


def test_only_the_release_that_a_window_shows_is_approved_or_rejected(decided):
    """One window's connection breaks off, another decides and goes on, and the first page still shows what it
    showed.
    """
    decided.start("a", Asked("ticket-1", [TARGET]))
    seen = decided.shown()
    decided.leave("a")
    decided.reject("b", decided.shown())
    decided.start("b", Asked("ticket-2", [TARGET]))
    decided.leave("b")
    for do in (decided.approve, decided.reject):
        with pytest.raises(
            ValueError, match="showed ticket-1, and ticket-2 is what waits .* Nothing was app"
        ):
            do("a", seen)
    with pytest.raises(ValueError, match="showed ticket-1, and ticket-2 is here now; nothing was stopped"):
        decided.stop("a", "ticket-1")
    assert decided.state() == "released" and not decided.work.stops
    assert decided.approve("a", decided.shown()).parent == decided.folder / "release"


def test_a_release_that_was_made_anew_under_the_same_reference_is_looked_at_again(decided):
    decided.start("a", Asked("ticket-1", [TARGET]))
    seen = decided.shown()
    decided.reject("a", seen)
    decided.start("a", Asked("ticket-1", [TARGET]))
    assert decided.shown().name == seen.name and decided.shown() != seen
    with pytest.raises(ValueError, match="showed ticket-1, and another release of it is what waits"):
        decided.approve("a", seen)
    with pytest.raises(ValueError, match="this page showed no request"):
        decided.approve("a", Shown())


def test_a_reference_that_was_approved_is_not_used_again(desk):
    release = desk.policy.out / "ticket-1" / "release"
    release.mkdir(parents=True)
    (release / "review.json").write_text(json.dumps({"decision": "approved"}))
    with pytest.raises(ValueError, match="ticket-1 was answered and approved before"):
        desk.start("a", Asked("ticket-1", [TARGET]))


def test_the_certificate_its_page_and_its_signature_are_one_file(desk, tmp_path):
    desk.name = "ticket-1"
    release = desk.folder / "release"
    release.mkdir(parents=True)
    for name in ("certificate.json", "certificate.sig", "certificate.html", "other"):
        (release / name).write_text(name)
    with zipfile.ZipFile(desk.certificate(tmp_path)) as file:
        assert sorted(file.namelist()) == ["certificate.html", "certificate.json", "certificate.sig"]


def test_every_state_has_its_words():
    for said in words.SAYS.values():
        assert "{" not in said.format(name="ticket-1", folder="f")


def test_the_policys_settings_are_the_requests(desk):
    desk.start("a", Asked("ticket-1", [TARGET]))
    written = reading.value((desk.folder / "request.yaml").read_text(), "request")
    assert written["settings"] == {"networks.name": "miniature"} and written["gates"] == desk.policy.gates
