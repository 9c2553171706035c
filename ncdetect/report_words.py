"""What a report says of a clip, section by section, in the language that is spoken."""

import unicodedata
from typing import TYPE_CHECKING

from ncdetect import report_pictures as pictures
from ncdetect import wording
from ncdetect.labels import Label
from ncdetect.language import number, say
from ncdetect.report_blocks import FULL, HALF, Block, Fact, Facts, Headline, Section, Table, Text
from ncdetect.report_pictures import Distance

if TYPE_CHECKING:
    from ncdetect.audio import Audio
    from ncdetect.predictor import Predictor, Verdict
    from ncdetect.record import TrackRecord


def plain(text: str) -> str:
    """A foreign text in which nothing hides: what does not print is there by its number, as in `[U+202E]`."""
    text = unicodedata.normalize("NFC", text)
    return "".join(letter if letter.isprintable() else f"[U+{ord(letter):04X}]" for letter in text)


def quality(verdict: "Verdict") -> tuple[Section, ...]:
    """What makes the verdict less sure; nothing where nothing does."""
    if not verdict.warnings:
        return ()
    texts = tuple(Text(warning.sentence) for warning in verdict.warnings)
    return (Section(say("Read this first"), texts, FULL, loud=True),)


def headline(predictor: "Predictor", verdict: "Verdict") -> Section:
    """The verdict, how sure it is, and why."""
    sure = wording.confidence(verdict)
    percent, leans = sure.percent, sure.said
    if verdict.verdict == "undecided":
        text = say(
            "The classifier alone says {percent} % {word}, if real and fake were equally likely. That does "
            "not settle it.",
            percent=percent,
            word=leans,
        )
    else:
        text = say("{percent} % {word}, if real and fake were equally likely.", percent=percent, word=leans)
    config = predictor.config
    bar = pictures.gauge(verdict.probability, config.real_below, config.fake_above)
    return Section(
        "",
        (Headline(verdict.verdict, wording.headline(verdict.verdict), text), Text(verdict.reason), bar),
        columns=4,
    )


def no_evidence() -> Section:
    """What this paper is not."""
    text = say(
        "A model has listened for traces that known generators leave. It errs both ways, and does not know "
        "who is speaking. Accuse, believe or pay nobody because of this page: call back, ask for the "
        "original recording, ask a forensic expert."
    )
    return Section(say("This is not evidence"), (Text(text),), columns=2, loud=True)


def distances(predictor: "Predictor", verdict: "Verdict", record: "TrackRecord | None") -> Section:
    """How far the clip is from the average voices, what two readings make of it, and how often they err."""
    captions = (say("to the average real voice"), say("to the average fake voice"))
    values = (verdict.distance_real, verdict.distance_fake)
    shares = (verdict.percentile_real, verdict.percentile_fake)
    bars = []
    for label in Label:
        band = predictor.band(label)
        said = wording.rank(shares[label], label.word, band.known)
        bars.append(Distance(label, values[label], band.low, band.high, captions[label], said))
    note = say(
        "Straight lines in all {count} dimensions of the embedding, without a unit. Framed: where nine in "
        "ten known clips of that kind lie.",
        count=len(predictor.bank.means[0]),
    )
    blocks: list[Block] = [pictures.distance_bars(bars), Text(note, "small"), *_readings(verdict)]
    like = record.like(verdict) if record else None
    if like:
        blocks += [Text(say("Its record with clips like this"), "title"), Text(like.sentence)]
    limits = say(
        "A newer or better generator may pass as real; a bad line, a codec, noise or music may make a real "
        "voice look fake. Where most recordings are real, as in daily life, a fake verdict deserves more "
        "doubt than the per cent says."
    )
    blocks += [Text(say("What it cannot do"), "title"), Text(limits, "small")]
    return Section(say("How far from the average voices"), tuple(blocks), HALF)


def _readings(verdict: "Verdict") -> tuple[Text, Text]:
    text = say(
        "Nearest average: {nearest}. Classifier: {called}. Both read the same embedding, so they are not two "
        "independent witnesses.",
        nearest=wording.word(verdict.nearest_mean),
        called=wording.confidence(verdict).said,
    )
    title = say("Two readings agree") if verdict.agreement else say("Two readings disagree")
    return Text(title, "title"), Text(text)


def place(predictor: "Predictor", verdict: "Verdict") -> Section:
    """Where the clip lies among the known ones, by its true distances."""
    bank = predictor.bank
    known = bank.known()
    clip = (verdict.distance_real, verdict.distance_fake)
    points = bank.mean_distances()[known]
    rows = pictures.drawn(points, clip)
    drawing = pictures.exact_map(points[rows], bank.labels[known][rows], clip)
    note = say(
        "True distances, not a sketch. {shown} of {count} known clips are drawn. Below the dashed line a "
        "clip is nearer to the average fake voice.",
        shown=number(len(rows), ","),
        count=number(len(points), ","),
    )
    title = say("Among {count} known clips", count=number(len(points), ","))
    return Section(title, (drawing, pictures.map_legend(), Text(note, "small")), HALF)


def over_time(verdict: "Verdict") -> tuple[Section, ...]:
    """How a clip of several windows sounds from stretch to stretch."""
    if len(verdict.windows) < 2:
        return ()
    judged = [window.probability for window in verdict.windows if window.probability is not None]
    fakes, left_out = sum(share > 0.5 for share in judged), len(verdict.windows) - len(judged)
    told = say("{fakes} of {judged} stretches of 3 seconds lean fake.", fakes=fakes, judged=len(judged))
    if left_out:
        told += " " + say("{count} with hardly any sound were not judged.", count=left_out)
    note = say("A bar up leans fake, a bar down real; the longer, the surer.")
    drawing = pictures.timeline(verdict.windows, verdict.duration_s, told)
    return (Section(say("How it sounds over time"), (drawing, Text(f"{told} {note}", "small"))),)


def neighbours(verdict: "Verdict") -> Section:
    """The nearest known clips."""
    head = (say("It is"), say("What it is"), say("Collection, part"), say("Distance"))
    rows = tuple(
        (
            wording.word(near.label),
            wording.what_it_is(near.label, near.generator, "", near.language),  # without the kind: one line
            ", ".join(filter(None, (near.corpus, near.split))),
            number(near.distance, ".2f"),
        )
        for near in verdict.neighbours
    )
    return Section(
        say("The known clips it resembles most"), (Table(head, rows, (0.16, 0.42, 0.25, 0.17)),), HALF
    )


def recording(verdict: "Verdict", clip: "Audio", name: str, digest: str, size: int) -> Section:
    """What identifies the recording."""
    from ncdetect.audio import SAMPLE_RATE

    seconds = say("{seconds} seconds", seconds=number(verdict.duration_s, ",.2f"))
    length = seconds if verdict.duration_s < 60 else f"{wording.clock(verdict.duration_s)} ({seconds})"
    rates = {"rate": number(clip.source_rate_hz, ","), "judged": number(SAMPLE_RATE, ",")}
    decoded = (
        say("{rate} Hz, one channel; judged at {judged} Hz", **rates)
        if clip.channels == 1
        else say("{rate} Hz, {count} channels; judged as one at {judged} Hz", count=clip.channels, **rates)
    )
    rows = (
        Fact(say("File"), name),
        Fact("SHA-256", digest, code=True),
        Fact(say("Size"), say("{count} bytes", count=number(size, ","))),
        Fact(say("Length"), length),
        Fact(say("Format"), clip.format),
        Fact(say("Decoded"), decoded),
    )
    return Section(say("The recording"), (Facts(rows),), HALF)


def model(predictor: "Predictor", verdict: "Verdict") -> Section:
    """What identifies the model, and where it draws its lines."""
    found, config = verdict.model, predictor.config
    name = say(
        "{name}, architecture {architecture}", name=plain(found["name"]), architecture=found["architecture"]
    )
    thresholds = say(
        "real up to {real} % fake, fake from {fake} % on (as shipped)",
        real=number(100 * config.real_below, ".1f"),
        fake=number(100 * config.fake_above, ".1f"),
    )
    novelty = say("{value}; above 1 it is unlike anything learned", value=number(verdict.novelty, ".2f"))
    rows = (
        Fact(say("Model"), name),
        Fact(say("Weights"), found["sha256"], code=True),
        Fact(say("Software"), f"ncdetect {found['version']}"),
        Fact(say("Thresholds"), thresholds),
        Fact(say("Raw score"), number(verdict.score, "+.3f")),
        Fact(say("Novelty"), novelty),
    )
    return Section(say("The model"), (Facts(rows),), HALF)


def small_print(checkpoint: str) -> Section:
    """What happens to clips, and how to get the same verdict again."""
    from ncdetect.checkpoint import DEFAULT

    clips = say(
        "On the web page it is removed when its visitor leaves, 10 minutes after its last use at most, and "
        "after a crash at the next start. On the command line it stays where it lies. It is used for nothing "
        "else. This report holds no sound and is kept nowhere else."
    )
    again = say("The same file, weights and software give the same numbers, but for rounding:")
    command = "python -m ncdetect check FILE"
    if checkpoint != DEFAULT:
        command += f" --checkpoint {plain(checkpoint)}"
    blocks = (
        Text(clips, "small"),
        Text(say("How to repeat it"), "title"),
        Text(again, "small"),
        Text(command, "code"),
    )
    return Section(say("What happens to the clip"), blocks, HALF)
