"""The page itself. This is the only module that imports gradio, and what it does is the desk's."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from fastapi import FastAPI
from gradio import http_server
from gradio.routes import App
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount

from unpromptable.editing import brush, painting
from unpromptable.releasing.request import ATTEMPTS

from . import words
from .asked import AT_ONCE, Asked
from .desk import UNDECIDED, Desk, Shown
from .guard import Closed
from .look import COLOURS, CSS, FONTS

EVERY = 1.0  # seconds between two looks at the work
SHOWN = 14  # of the lines that it said last
LARGEST = "64mb"  # of an uploaded file
OFF: dict[str, Any] = {  # of what gradio offers
    **{"ssr_mode": False, "pwa": False, "mcp_server": False, "run_history": False},
    **{"enable_monitoring": False, "show_error": False, "footer_links": []},
}


class Page:
    """The page's parts, and what each of them does."""

    def __init__(self, desk: Desk, temporary: Path) -> None:
        self.desk, self.temporary = desk, temporary

    def blocks(self) -> gr.Blocks:
        """The whole page."""
        with gr.Blocks(title="unpromptable review", analytics_enabled=False) as page:
            gr.Markdown("# A picture to forget")
            self.status = gr.Markdown(elem_id="status")
            self._ask()
            self._show()
            self.timer = gr.Timer(EVERY, active=False)
            self.phase, self.shown = gr.State(""), gr.State(Shown())
            self._connect(page)
        return page

    def _ask(self) -> None:
        with gr.Row():
            with gr.Column(scale=1):
                self.name = gr.Textbox(label="Reference, never a person's name", placeholder="ticket-4711")
                self.due = gr.Textbox(label="Due, if there is a day", placeholder="2026-12-24")
                self.attempts = gr.Slider(1, ATTEMPTS, ATTEMPTS, step=1, label="Attempts at most")
            self.files = gr.File(
                label=f"Pictures to forget, at most {AT_ONCE}",
                file_count="multiple",
                file_types=["image"],
                elem_id="drop",
                scale=2,
            )
        tools: dict[str, Any] = {
            "brush": gr.Brush(default_size=40, colors=COLOURS),
            "transforms": (),
            "sources": (),
        }
        look: dict[str, Any] = {
            "layers": False,
            "visible": False,
            "type": "numpy",
            "format": "png",
            "buttons": [],
            "height": 540,
        }
        labels = [f"Picture {n}: paint over what must go, or leave it" for n in range(1, AT_ONCE + 1)]
        with gr.Row():
            self.editors = [
                gr.ImageEditor(label=label, elem_id=f"paint-{n}", **tools, **look)
                for n, label in enumerate(labels, 1)
            ]
        with gr.Row():
            self.start = gr.Button("Start", variant="primary", elem_id="start")
            self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
        self.log = gr.Textbox(
            label="What it said last", lines=SHOWN, max_lines=SHOWN, visible=False, elem_id="log"
        )

    def _show(self) -> None:
        with gr.Column(visible=False, elem_id="results") as self.results:
            self.table = gr.HTML()
            with gr.Row():
                self.sliders = [
                    gr.ImageSlider(type="numpy", format="png", visible=False, elem_id=f"compare-{n}")
                    for n in range(1, AT_ONCE + 2)
                ]
            with gr.Row():
                self.approve = gr.Button("Approve", variant="primary", elem_id="approve")
                self.reject = gr.Button("Reject", variant="stop", elem_id="reject")
                self.download = gr.DownloadButton("Download the certificate", elem_id="certificate")

    def _connect(self, page: gr.Blocks) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        told = [self.status, self.log, self.start, self.stop, self.timer, self.phase]
        found = [self.results, self.table, *self.sliders, self.approve, self.reject, self.download]
        found.append(self.shown)
        ask = [self.name, self.due, self.attempts, self.files, *self.editors]
        self.files.change(self.dropped, [self.files], [self.status, *self.editors], **quiet)
        self.start.click(self.begun, ask, told, **quiet)
        self.stop.click(self.stopped, [self.phase], told, **quiet)
        self.approve.click(self.approved, [self.shown], told, **quiet)
        self.reject.click(self.rejected, [self.shown], told, **quiet)
        self.timer.tick(self.seen, None, told, **quiet)
        self.phase.change(self.compared, None, found, **quiet)
        page.load(self.seen, None, told, **quiet)
        page.unload(self.left)

    def dropped(self, files: list[str] | None) -> list[Any]:
        """An editor for each picture, where all of them can be read."""
        try:
            shown = [brush.enlarged(image) for image in _opened(files)]
        except (ValueError, OSError) as error:
            gr.Warning(str(error))
            return [str(error), *[gr.update(value=None, visible=False)] * AT_ONCE]
        canvas = [
            gr.update(value={"background": image, "layers": [], "composite": image}, visible=True)
            for image in shown
        ]
        return [gr.skip(), *canvas, *[gr.update(value=None, visible=False)] * (AT_ONCE - len(shown))]

    def begun(
        self, request: gr.Request, name: str, due: str, tries: int, files: list[str] | None, *painted: Any
    ) -> list[Any]:
        """Start the request."""

        def start(window: str) -> None:
            pictures = _opened(files)
            strokes = [(one or {}).get("layers") or () for one in painted[: len(pictures)]]
            self.desk.start(window, Asked(name.strip(), pictures, strokes, int(tries), due.strip()))

        return self._done(start, request)

    def stopped(self, request: gr.Request, phase: str) -> list[Any]:
        """Stop the work."""
        return self._done(lambda window: self.desk.stop(window, phase.partition(" ")[0]), request)

    def approved(self, request: gr.Request, shown: Shown) -> list[Any]:
        """Approve the release that this window shows."""
        return self._done(lambda window: self.desk.approve(window, shown), request)

    def rejected(self, request: gr.Request, shown: Shown) -> list[Any]:
        """Reject the release that this window shows."""
        return self._done(lambda window: self.desk.reject(window, shown), request)

    def _done(self, what: Callable[[str], Any], request: gr.Request) -> list[Any]:
        """Do something at the desk for this window; how far the request then is, or why it was not done."""
        try:
            what(_window(request))
        except (ValueError, OSError) as error:
            gr.Warning(str(error))
            return [str(error), *self.seen(request)[1:]]
        return self.seen(request)

    def seen(self, request: gr.Request) -> list[Any]:
        """How far the request of now is, as this window sees it."""
        desk = self.desk
        state, mine = desk.state(), desk.owns(_window(request))
        if not mine and state not in UNDECIDED:
            state, mine = "idle", True  # what another window has done with is no matter of this one
        working = mine and state == "working"
        said = words.SAYS[state].format(name=desk.name, folder=desk.folder / "release")
        lines = "\n".join(list(desk.work.said)[-SHOWN:]) if desk.work and mine else ""
        return [
            said if mine else desk.elsewhere(),
            gr.update(value=lines, visible=bool(lines) and state != "idle"),
            gr.update(interactive=not mine or state not in UNDECIDED),
            gr.update(interactive=working),
            gr.update(active=working),
            f"{desk.name} {state} {desk.shown().certificate}" if mine else " elsewhere",
        ]

    def compared(self, request: gr.Request) -> list[Any]:
        """The gates and the pictures, once a request of this window is answered."""
        state, mine = self.desk.state(), self.desk.owns(_window(request))
        if not mine or state not in ("refused", "nothing", "released", "approved"):
            return [gr.update(visible=False), *[gr.skip()] * (len(self.sliders) + 4), Shown()]
        shown, found = self.desk.shown(), self.desk.outcome()
        pairs = [
            gr.update(value=(p.before, p.after), label=f"{p.title}: before, after", visible=True)
            for p in found.pairs
        ]
        none = [gr.update(value=None, visible=False)] * (len(self.sliders) - len(pairs))
        decide = gr.update(interactive=state == "released")
        file = gr.update(value=str(self.desk.certificate(self.temporary)))
        return [gr.update(visible=True), words.table(found), *pairs, *none, decide, decide, file, shown]

    def left(self, request: gr.Request) -> None:
        """A window was closed."""
        self.desk.leave(_window(request))


def _window(request: gr.Request) -> str:
    return str(request.session_hash)


def _opened(files: list[str] | None) -> list[np.ndarray]:
    """The dropped pictures as they are seen, cut to squares, uint8 (H, W, 3)."""
    if len(files or ()) > AT_ONCE:
        raise ValueError(f"{len(files or ())} pictures were dropped; at most {AT_ONCE} are one request")
    try:
        return [painting.open_target(file, "", 0) for file in files or ()]
    except ValueError as error:
        homes = "|".join(re.escape(f"{Path(file).parent}/") for file in files or ())
        raise ValueError(re.sub(homes, "", str(error))) from error


@contextmanager
def served(desk: Desk, temporary: Path, host: str, port: int, token: str, public: str = "") -> Iterator[str]:
    """The page's address, while it is served. temporary: a folder of the page alone, for what is uploaded;
    public: the address that people open, where it is another one.

    Raises OSError where the port is taken.
    """
    page = Page(desk, temporary).blocks()
    asked: dict[str, Any] = {}
    if token:
        asked = {"auth": lambda _, given: hmac.compare_digest(given.encode(), token.encode())}
        asked["auth_message"] = "Any name, and the token of this page as the password."
    # without a token, a site elsewhere that points its own name here gets nothing
    hosts = ["*"] if token else [host, "localhost"]
    outside = [Middleware(Closed, public=public), Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
    app = FastAPI(middleware=outside, openapi_url=None)  # gradio's own admits every site; this is around it
    theme = gr.themes.Default(font=FONTS[0], font_mono=FONTS[1])
    asked |= {"root_path": public or None, "max_file_size": LARGEST, **OFF}
    gr.mount_gradio_app(app, page, "/", theme=theme, css=CSS, **asked)
    _, _, address, server = http_server.start_server(app, host, port)  # type: ignore[arg-type]  # serves any
    [mounted] = [r.app for r in app.routes if isinstance(r, Mount) and isinstance(r.app, App)]
    page.app, page.server = mounted, server  # what `close` ends
    try:
        yield public or address
    finally:
        page.close(verbose=False)
