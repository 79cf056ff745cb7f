"""What stands before the page: it answers no other site, and lets the browser ask no other machine."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

# whatever the page's own code asks for, the browser connects to nothing else than this machine
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:;"
    " style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'"
)
SENT = {
    b"content-security-policy": POLICY.encode(),
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}
SHARING = b"access-control-"  # how headers begin that let other sites read an answer
COOKIE = re.compile(r"; *(?:samesite=\w*|httponly)", re.I)


class Closed:
    """Refuses what a browser sends from another site, and closes every answer to other sites.

    public: the address that people open, where a proxy gives the page another name than it is asked by.
    """

    def __init__(self, app: Any, public: str = "") -> None:
        self.app, self.public = app, public

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _closed(message["headers"])}
            await send(message)

        app = self.app
        if scope["type"] in ("http", "websocket") and (why := self._strange(Headers(scope=scope))):
            app = PlainTextResponse(why, 403)
        await app(scope, receive, sent)

    def _strange(self, headers: Headers) -> str:
        """Why a request is refused: it comes from a page of another site; empty where it does not."""
        host = headers.get("host", "")
        for origin in headers.getlist("origin"):
            if origin != self.public and (not host or urlsplit(origin).netloc.lower() != host.lower()):
                return (
                    f"Origin is {origin}, and this page is at {self.public or host}: it answers no other"
                    " site. Open it by its own address; behind a proxy, name that with --public\n"
                )
        return ""


def _closed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's headers, none of which lets another site read it or use the cookie."""
    given = [(k.lower(), v) for k, v in headers]
    kept = [(k, v) for k, v in given if k not in SENT and not k.startswith(SHARING)]
    return [*((k, _own(v) if k == b"set-cookie" else v) for k, v in kept), *SENT.items()]


def _own(cookie: bytes) -> bytes:
    """A cookie that the browser sends along from no other site's page, and shows to no script."""
    return f"{COOKIE.sub('', cookie.decode('latin-1'))}; HttpOnly; SameSite=Lax".encode("latin-1")
