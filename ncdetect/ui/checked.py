"""The clip on the page, and the panels below its verdict that go on from there.

A panel is a module of `ncdetect.ui` with two functions, and one line in `check.PANELS`:

- `build(checked, uploads)` lays it out and connects its events, which read the state `checked` (a `Checked`,
  or None while there is no clip); it returns the component that is written anew with each verdict.
- `ready(checked)` is that component's value once a clip was judged, or None where there is none.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

if TYPE_CHECKING:
    import gradio as gr

    from ncdetect.predictor import Verdict
    from ncdetect.ui.examples import Example
    from ncdetect.ui.private import Uploads


@dataclass(frozen=True)
class Checked:
    """The clip on the page, and what the page's own model says of it."""

    path: str
    verdict: "Verdict"
    example: "Example | None" = None
    """Its row in the table of examples, where it is one."""
    key: str = field(default_factory=lambda: uuid4().hex)
    """Another one for each verdict: an answer that comes too late is known by it."""

    def __hash__(self) -> int:
        """Gradio tells by it whether the state has changed."""
        return hash(self.key)

    @property
    def name(self) -> str:
        """The file's own name."""
        return Path(self.path).name

    @property
    def there(self) -> bool:
        """Whether the clip is still here: it is removed some minutes after its last use."""
        return Path(self.path).is_file()


class Panel(Protocol):
    """What a module of `check.PANELS` offers."""

    def build(self, checked: "gr.State", uploads: "Uploads") -> "gr.components.Component":
        """Lay it out; `uploads` watches over the clips that a panel takes itself."""

    def ready(self, checked: Checked | None) -> Any:
        """The value for a new verdict."""
