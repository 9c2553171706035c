"""Many clips at once on a GPU: this machine's, or one that Hugging Face's ZeroGPU lends a Space for a call.

Nothing on the page asks for it: single clips stay on the CPU, where they take a fraction of a second, and to
borrow a GPU for them would only spend what a visitor has of it. A Space on ZeroGPU does not start without one
such function, though, and who has many clips may call it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

try:
    import spaces
except ImportError:  # only Spaces have it
    spaces = None

if TYPE_CHECKING:
    from ncdetect.predictor import Predictor, Verdict

START_S, CLIP_S, LONGEST_S = 20, 1, 120
"""Seconds that are asked for: until the model is there, for a clip, and at most."""


def seconds(name: str, files: Sequence[str]) -> int:
    """For how long `check_many` asks for the GPU; the shorter, the sooner it is lent."""
    return min(LONGEST_S, START_S + CLIP_S * len(files))


def lent(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, run on a lent GPU where this is a Space on ZeroGPU; anywhere else the function itself."""
    return spaces.GPU(duration=seconds)(function) if spaces else function


@lent
def check_many(name: str, files: Sequence[str]) -> "list[Verdict | str]":
    """Judge clips, one that cannot be judged does not stop the others.

    Args:
        name: The checkpoint, as `Predictor.from_pretrained` takes it.
        files: Paths of the clips; what goes to a borrowed GPU and comes back must be plain data.

    Returns:
        For each clip its Verdict, or a sentence for laymen on why there is none.
    """
    from ncdetect.audio import AudioError

    predictor = _predictor(name)
    found: list[Verdict | str] = []
    for file in files:
        try:
            found.append(predictor.check(file))
        except AudioError as error:
            found.append(str(error))
    return found


@functools.lru_cache(1)
def _predictor(name: str) -> "Predictor":
    """A Predictor whose model lies on the GPU, where there is one; not the page's, which stays on the CPU."""
    import torch

    from ncdetect.predictor import Predictor

    return Predictor.from_pretrained(name, device="cuda" if torch.cuda.is_available() else None)
