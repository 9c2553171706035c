"""The HTML document that Gradio serves, put into the language of its page; with title and icon."""

import re
from html import escape
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ncdetect.language import ENGLISH, NAMES, say, speaking

# Two clusters and a clip between them, in the colours of real and fake on light.
_MARK = (
    '<circle cx="8" cy="21" r="3.4" fill="#1565b0"/><circle cx="4.6" cy="13.6" r="2.4" fill="#1565b0"/>'
    '<circle cx="12.4" cy="27.4" r="2" fill="#1565b0"/><path d="M24 4l4.6 4.6L24 13.2l-4.6-4.6z" '
    'fill="#d9641a"/><path d="M27.6 15.2l2.8 2.8-2.8 2.8-2.8-2.8z" fill="#d9641a"/><path d="M16.2 11.2l1.5 '
    '3.1 3.4.4-2.5 2.3.7 3.4-3.1-1.7-3.1 1.7.7-3.4-2.5-2.3 3.4-.4z" fill="{star}"/>'
)


def title() -> str:
    """What stands in the browser's tab."""
    return say("ncdetect: is this voice real?")


def mark() -> str:
    """The sign of the page."""
    return f'<svg viewBox="0 0 32 32" aria-hidden="true">{_MARK.format(star="currentcolor")}</svg>'


def icon() -> str:
    """The sign as a data URI."""
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{_MARK.format(star="#64748b")}</svg>'
    )
    return f"data:image/svg+xml,{quote(drawn)}"


def in_language(html: str, language: str) -> str:
    """Gradio's document in a language.

    Gradio speaks the browser's language, not the page's, and asks for it before any script of ours can run.

    Args:
        html: The document as Gradio made it.
        language: A code of `language.NAMES`.
    """
    with speaking(language):
        words = say("Is this voice real or synthetic? A detector that shows its work.")
        head = (
            f'<title>{escape(title())}</title><meta name="description" content="{escape(words)}">'
            f'<link rel="icon" href="{icon()}"><script>Object.defineProperty(navigator, "language", '
            f'{{ get: () => "{language}" }});</script>'
        )
    html = re.sub(r'(<html\s+lang=)"[^"]*"', rf'\1"{language}"', html, count=1)
    return html.replace("<head>", f"<head>{head}", 1)


class InLanguage:
    """Passes everything on as it is, but the documents of the page, which it puts into their language."""

    def __init__(self, app: ASGIApp):
        """Stand before an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        last = scope.get("path", "").strip("/").rpartition("/")[2]
        page = last in NAMES or scope.get("path") in ("", "/")
        if scope["type"] != "http" or scope["method"] != "GET" or not page:
            await self.app(scope, receive, send)
            return
        started: list[Message] = []
        parts: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.append(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body, start = b"".join(parts), started[0]
            headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
            if dict(headers).get(b"content-type", b"").startswith(b"text/html"):
                body = in_language(body.decode(), last if last in NAMES else ENGLISH).encode()
            headers.append((b"content-length", str(len(body)).encode()))
            await send({**start, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, collect)
