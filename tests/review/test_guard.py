"""What other sites get of the page: real requests to the page as its command serves it."""

import http.client
import json
from urllib.parse import urlsplit

import pytest
import review_page

pytest.importorskip("gradio", reason="gradio is not installed")
TOKEN, HOST, PUBLIC = "correct-horse-battery", "review.corp.example", "https://public.example.com"
STRANGE = ["https://evil.example", "null", "http://localhost:3000", f"https://{HOST}.evil.example"]


class Asking:
    """Somebody who asks a page for things as a browser does."""

    def __init__(self, address, host):
        self.place, self.headers = urlsplit(address), {"Host": host or urlsplit(address).netloc}

    def ask(self, method, path, body=None, **headers):
        """Status, headers in lower case, and body of an answer."""
        told = {**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection = http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=120)
        connection.request(method, path, body, told)
        answer = connection.getresponse()
        return answer.status, [(k.lower(), v) for k, v in answer.getheaders()], answer.read()

    def upload(self, **headers):
        head = 'Content-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Type: image/png'
        kind = "multipart/form-data; boundary=x"
        body = f"--x\r\n{head}\r\n\r\nbytes\r\n--x--\r\n"
        return self.ask("POST", "/gradio_api/upload", body, Content_Type=kind, **headers)

    def log_in(self, **headers):
        kind = "application/x-www-form-urlencoded"
        return self.ask("POST", "/login", f"username=r&password={TOKEN}", Content_Type=kind, **headers)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A page on every address of this machine, with a token, and a name that people open it by."""
    home = tmp_path_factory.mktemp("guarded")
    review_page.pictures(home)
    more = ("--host", "0.0.0.0", "--public", PUBLIC)
    with review_page.served(home, *more, token=TOKEN) as (address, _, outside):
        one = Asking(address, HOST)
        _, headers, _ = one.log_in(Origin=f"https://{HOST}")
        one.cookies = [v for k, v in headers if k == "set-cookie"]
        one.headers["Cookie"] = "; ".join(v.split(";")[0] for v in one.cookies)
        one.uploads, one.outside = home / "out" / "_uploads", outside
        yield one


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A page on this machine alone, without a token."""
    home = tmp_path_factory.mktemp("alone")
    review_page.pictures(home)
    with review_page.served(home) as (address, *_):
        one = Asking(address, "")
        one.uploads = home / "out" / "_uploads"
        yield one


def sharing(headers):
    return [k for k, _ in headers if k.startswith("access-control-")]


def test_a_page_for_every_address_opens_where_a_proxy_stands_and_asks_it_nothing(guarded):
    assert guarded.ask("GET", "/config")[0] == 200 and not guarded.outside


@pytest.mark.parametrize("origin", STRANGE)
def test_another_site_drives_reads_and_fills_nothing_with_a_reviewers_cookie(guarded, origin):
    join = json.dumps({"data": [], "fn_index": 0, "session_hash": "s"})
    before = list(guarded.uploads.rglob("*"))
    answers = [
        guarded.ask("GET", "/config", Origin=origin),
        guarded.ask("POST", "/gradio_api/queue/join", join, Origin=origin, Content_Type="text/plain"),
        guarded.ask("OPTIONS", "/config", Origin=origin, Access_Control_Request_Method="GET"),
        guarded.upload(Origin=origin),
        guarded.log_in(Origin=origin),
    ]
    assert [a[0] for a in answers] == [403] * 5 and not any(sharing(a[1]) for a in answers)
    told = answers[0][2].decode()
    assert f"Origin is {origin}, and this page is at {PUBLIC}: it answers no other site" in told
    assert list(guarded.uploads.rglob("*")) == before


@pytest.mark.parametrize("origin", [PUBLIC, f"https://{HOST}", f"http://{HOST}"])
def test_the_page_itself_is_answered_by_each_of_its_names_and_no_answer_is_shared(guarded, origin):
    status, headers, body = guarded.ask("GET", "/config", Origin=origin)
    assert status == 200 and not sharing(headers) and json.loads(body)["root"] == PUBLIC
    assert dict(headers)["cross-origin-resource-policy"] == "same-origin"
    assert guarded.upload(Origin=origin)[0] == 200


def test_the_cookie_goes_along_from_no_other_site_and_is_shown_to_no_script(guarded):
    assert len(guarded.cookies) == 2
    for cookie in guarded.cookies:
        told = [word.strip().lower() for word in cookie.split(";")[1:]]
        assert told.count("httponly") == 1 and [w for w in told if w.startswith("same")] == ["samesite=lax"]


def test_without_a_token_no_other_site_fills_the_disk_not_even_one_of_this_machine(alone):
    before = list(alone.uploads.rglob("*"))
    for origin in ("https://evil.example", "null", "http://localhost:3000"):
        status, headers, _ = alone.upload(Origin=origin)
        assert status == 403 and not sharing(headers)
        assert alone.ask("OPTIONS", "/config", Origin=origin, Access_Control_Request_Method="GET")[0] == 403
    assert list(alone.uploads.rglob("*")) == before
    own = f"http://{alone.headers['Host']}"
    assert alone.upload(Origin=own)[0] == 200 and alone.upload()[0] == 200
