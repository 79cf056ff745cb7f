"""The page in a real browser: from a dropped picture to a release that is approved or rejected."""

import json
import os
import stat
import time
import urllib.request

import browser
import pytest
import review_page
from review_page import NAME, STATUS

from unpromptable import pictures
from unpromptable.releasing import certificate, signing

pytest.importorskip("gradio", reason="gradio is not installed")
pytestmark = pytest.mark.skipif(not browser.CHROMIUM, reason="chromium is not on PATH")
SHOTS = os.environ.get("UNPROMPTABLE_SHOTS")  # a folder for screenshots, where somebody wants to look


def shot(tab, path, name):
    """A screenshot, which is no blank sheet."""
    tab.picture(path := path / f"{name}.png")
    assert len(set(pictures.read(path, 64).reshape(-1, 3).sum(1).tolist())) > 20
    if SHOTS:
        os.makedirs(SHOTS, exist_ok=True)
        (review_page.Path(SHOTS) / path.name).write_bytes(path.read_bytes())


def asked(tab, picture, name):
    """Drop the picture, give the reference, wait for the brush's canvas."""
    tab.wait(f"{STATUS}?.includes('Drop') || {STATUS}?.includes('another window')")
    tab.drop("#drop", picture)
    tab.type(NAME, name)
    tab.wait("!!document.querySelector('#paint-1 canvas')")


def elsewhere(tab, address):
    """What a page asked of other machines."""
    tab.value("1")
    return [one for one in tab.requested if not one.startswith((address, "data:", "blob:"))]


def test_the_page_offers_as_many_attempts_as_a_request_may_have(tmp_path):
    from types import SimpleNamespace

    from pipelines.review import page
    from unpromptable.releasing import request

    made = page.Page(SimpleNamespace(policy=None), tmp_path)
    made.blocks()
    assert (made.attempts.minimum, made.attempts.maximum) == (1, request.ATTEMPTS)


def test_the_page_opens_once_works_in_one_window_and_leaves_nothing(tmp_path):
    picture = review_page.pictures(tmp_path)
    with review_page.served(tmp_path) as (address, process, outside), browser.Browser(tmp_path / "b") as b:
        first = b.open(address)
        asked(first, picture, "ticket-1")
        uploads = tmp_path / "out" / "_uploads"
        assert stat.S_IMODE(uploads.stat().st_mode) == 0o700 and list(uploads.rglob("jane-doe.png"))
        first.click("#start")
        first.wait(f"{STATUS}.includes('ticket-1 is at work')")
        second = b.open(address)
        asked(second, picture, "ticket-2")
        second.click("#start")
        told = second.wait("document.querySelector('.toast-body')?.innerText")
        assert "being worked on in another window" in told and "nothing released" in told
        assert not (tmp_path / "out" / "ticket-2").exists()
        shot(second, tmp_path, "second")
        first.ask("Page.bringToFront")
        first.click("#stop")
        first.wait(f"{STATUS}.includes('was stopped')")
        assert not elsewhere(first, address) + elsewhere(second, address) + outside
        process.terminate()
        assert process.wait(60) == 143 and not uploads.exists()
    assert not [p for p in tmp_path.rglob("*") if "jane" in p.name and p != picture]


def test_a_token_is_asked_for_and_another_name_for_this_machine_is_refused(tmp_path):
    review_page.pictures(tmp_path)
    token = "correct-horse-battery"
    with review_page.served(tmp_path, token=token) as (address, *_), browser.Browser(tmp_path / "b") as b:
        tab = b.open(address)
        tab.wait("document.querySelectorAll('input').length == 2")
        assert not tab.value("!!document.querySelector('#status')")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}config")
        assert refused.value.code == 401
        for word, there in (("wrong-horse-battery", False), (token, True)):
            tab.value("document.querySelectorAll('input').forEach(i => i.value = '')")
            tab.type("input[type=text], input:not([type=password])", "reviewer")
            tab.type("input[type=password]", word)
            tab.click("button")
            tab.wait(
                f"{STATUS}?.includes('Drop')" if there else "document.body.innerText.includes('ncorrect')"
            )
        assert not elsewhere(tab, address)


def test_a_name_of_another_site_for_this_machine_gets_nothing(tmp_path):
    review_page.pictures(tmp_path)
    with review_page.served(tmp_path) as (address, *_):
        strange = urllib.request.Request(address, headers={"Host": "site.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(strange)
        assert refused.value.code == 400
        with urllib.request.urlopen(address) as answer:
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def paint(tab):
    """Strokes over the middle of the first picture."""
    x, y, width, height = tab.middle("#paint-1 canvas")
    side = min(width, height) / 2
    rows = [(x + side * dx, y + side * dy) for dy in (-0.3, -0.1, 0.1, 0.3) for dx in (-0.3, 0.3)]
    tab.drag(rows)
    time.sleep(1)


def answered(tab):
    """Wait until the request passes, and its pictures and buttons are there."""
    tab.wait(f"{STATUS}.includes('passes every gate')", 600)
    tab.wait("document.querySelectorAll('#results img').length >= 4")
    tab.wait("['approve', 'reject'].every(id => !document.getElementById(id).disabled)")
    time.sleep(1)  # the page moves while pictures come in


@pytest.mark.slow
def test_from_a_dropped_picture_to_a_rejected_and_then_an_approved_release(tmp_path):
    picture, folder = review_page.pictures(tmp_path), tmp_path / "out" / "ticket-1"
    signing.create(tmp_path / "operator.key")
    key = ("--key", str(tmp_path / "operator.key"))
    with review_page.served(tmp_path, *key) as (address, _, outside), browser.Browser(tmp_path / "b") as b:
        tab = b.open(address)
        asked(tab, picture, "ticket-1")
        shot(tab, tmp_path, "dropped")
        paint(tab)
        shot(tab, tmp_path, "painted")
        tab.click("#start")
        tab.wait("document.querySelector('#log textarea')?.value.includes('unlearn')", 600)
        shot(tab, tmp_path, "running")
        answered(tab)
        assert "paint x1" in tab.value("document.querySelector('#gates').innerText")
        shot(tab, tmp_path, "compared")
        tab.click("#reject")
        tab.wait(f"{STATUS}.includes('was rejected')")
        assert json.loads((folder / "review.json").read_text())["decision"] == "rejected"
        assert not (folder / "release").exists()
        tab.click("#start")  # the same again goes on from what was made
        answered(tab)
        tab.click("#approve")
        tab.wait(f"{STATUS}.includes('is approved')")
        tab.wait("['approve', 'reject'].every(id => document.getElementById(id).disabled)")
        shot(tab, tmp_path, "approved")
        assert json.loads((folder / "release/review.json").read_text())["decision"] == "approved"
        assert certificate.verify(folder / "release", tmp_path / "operator.pub") == []
        assert "jane" not in (folder / "run/rows.json").read_text()
        assert not elsewhere(tab, address) + outside
