"""The report on one clip, to print or to keep: put together once, written as HTML or as PDF.

It is in the language that is spoken, and the same for the same clip, model and time.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ncdetect import report_words as words
from ncdetect.language import say, spoken
from ncdetect.report_blocks import Section

if TYPE_CHECKING:
    from ncdetect.predictor import Predictor, Verdict
    from ncdetect.record import TrackRecord

MEDIA_TYPES = {"pdf": "application/pdf", "html": "text/html"}
"""What a report can be written as: endings of files, and their media types."""


@dataclass(frozen=True)
class Report:
    """A whole report."""

    title: str
    heading: str
    """Title of the file: with the name of the clip."""
    subtitle: str
    made: datetime
    time: str
    """The same, to read."""
    foot: str
    """What ties each page to the clip."""
    language: str
    sections: tuple[Section, ...]


def report_on(
    predictor: "Predictor",
    verdict: "Verdict",
    file: Path,
    made: datetime,
    record: "TrackRecord | None" = None,
) -> Report:
    """Put together the report on a clip.

    Args:
        predictor: Whose verdict it is.
        verdict: On that file.
        file: The clip; it is read again for its hash and its format.
        made: The time that the report bears.
        record: Of the predictor's checkpoint, where there is one.

    Raises:
        ncdetect.audio.AudioError: If the file cannot be decoded.
        OSError: If it is not there.
        ValueError: If the time has no zone.
    """
    if made.tzinfo is None:
        raise ValueError(f"the time {made.isoformat()} has no zone: give one, such as UTC")
    made = made.astimezone(UTC).replace(microsecond=0)
    data, name = file.read_bytes(), words.plain(file.name)
    digest = hashlib.sha256(data).hexdigest()
    return Report(
        title=say("Is this voice real?"),
        heading=f"{say('Is this voice real?')} {name}",
        subtitle=say("Report on {name}", name=name),
        made=made,
        time=made.strftime("%Y-%m-%d %H:%M:%S UTC"),
        foot=say("A hint, not evidence. SHA-256 of the file: {digest} …", digest=digest[:16]),
        language=spoken(),
        sections=(
            *words.quality(verdict),
            words.headline(predictor, verdict),
            words.no_evidence(),
            words.distances(predictor, verdict, record),
            words.place(predictor, verdict),
            *words.over_time(verdict),
            words.recording(verdict, predictor.decode(file), name, digest, len(data)),
            words.model(predictor, verdict),
            words.neighbours(verdict),
            words.small_print(predictor.name),
        ),
    )


def ending(file: Path) -> str:
    """In which form a file of this name is written.

    Raises:
        ValueError: If its ending is none of MEDIA_TYPES.
    """
    form = file.suffix.removeprefix(".").lower()
    if form not in MEDIA_TYPES:
        raise ValueError(f"{file} does not end in .{' or .'.join(MEDIA_TYPES)}")
    return form


def written(report: Report, form: str) -> bytes:
    """The report as a file; `form` is a key of MEDIA_TYPES."""
    if form == "html":
        from ncdetect import report_html

        return report_html.html(report).encode()
    from ncdetect import report_pdf

    return report_pdf.pdf(report)
