"""A live training as HTML: the loss by epoch, the error rates at the end, and a sentence made of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ncdetect.language import number, say

RUNS = ("chosen", "random")
WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 34, 10, 10, 30
WORST_EER = 0.5
"""A coin toss: the end of the scale."""
FEW_GROUPS = 8
"""With fewer speakers or generators to resample, an interval is told to mean little."""


def runs() -> dict[str, str]:
    """What each training learns from, by its name."""
    return {"chosen": say("Your choice"), "random": say("Blind draw")}


def chart(history: Mapping[str, Sequence[Mapping[str, Any]]], epochs: int) -> str:
    """Loss by epoch of both trainings as SVG: on the clips they learn from (dashed) and on dev clips."""
    losses = [epoch[name] for run in history.values() for epoch in run for name in ("train_loss", "dev_loss")]
    top = max([1.0, *(loss for loss in losses if math.isfinite(loss))])
    step = 0.25 if top <= 1 else 0.5 if top <= 2.5 else float(math.ceil(top / 5))
    top = math.ceil(top / step) * step

    def place(epoch: float, loss: float) -> tuple[float, float]:
        across = (epoch - 1) / max(epochs - 1, 1)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            TOP + (1 - min(loss, top) / top) * (HEIGHT - TOP - BOTTOM),
        )

    grid = []
    for mark in range(round(top / step) + 1):
        y = place(1, mark * step)[1]
        grid.append(f'<path class="nc-grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        grid.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(mark * step, "g")}</text>'
        )
    for epoch in range(1, epochs + 1):
        grid.append(
            f'<text x="{place(epoch, 0)[0]:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{epoch}</text>'
        )
    lines = []
    for run in RUNS:
        for name, css in (("train_loss", "nc-train"), ("dev_loss", "nc-dev")):
            points = [
                place(epoch["epoch"] + 1, epoch[name])
                for epoch in history.get(run, ())
                if math.isfinite(epoch[name])
            ]
            if points:
                path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
                lines.append(f'<path class="nc-line nc-run-{run} {css}" d="M{path}"/>')
                x, y = points[-1]
                lines.append(f'<circle class="nc-dot nc-run-{run} {css}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    told = say("Loss by epoch. The table beside says the same.")
    return (
        f'<svg class="nc-losses" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">'
        f"{''.join(grid)}{''.join(lines)}</svg>"
    )


def table(history: Mapping[str, Sequence[Mapping[str, Any]]], epochs: int) -> str:
    """Where each training stands: rounds done, loss and error rate of its best on dev clips."""
    lines = []
    for run, title in runs().items():
        done = history.get(run, ())
        best = min(done, key=lambda epoch: epoch["dev_loss"], default=None)
        cells = (
            (
                say("{n} of {all}", n=len(done), all=epochs),
                number(best["dev_loss"], ".2f"),
                percent(best["dev_eer"]),
            )
            if best
            else (say("waits"), "–", "–")
        )
        lines.append(
            f'<tr><th scope="row"><span class="nc-key nc-run-{run}"></span>{title}</th>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    heads = (say("Round"), say("Best dev loss"), say("Dev EER then"))
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<table class="nc-stand"><thead><tr><td></td>{columns}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def result(found: Mapping[str, Any], verdict: str) -> str:
    """Error rates on the test clips with their intervals, and what they show."""
    lines = []
    for run, title in runs().items():
        value, low, high = found["eer"][run]
        scale = 100 / max(WORST_EER, high)
        lines.append(
            f'<div class="nc-eer nc-run-{run}"><span>{title}</span><span class="nc-span" '
            f'aria-hidden="true"><i style="left:{low * scale:.1f}%;width:{(high - low) * scale:.1f}%"></i>'
            f'<u style="left:{value * scale:.1f}%"></u></span><b>{percent(value)}</b>'
            f"<small>{interval(low, high)}</small></div>"
        )
    title = say(
        "Error rate on {reals} real and {fakes} fake test clips", reals=found["reals"], fakes=found["fakes"]
    )
    note = say(
        "The equal error rate: as large a share of the reals is misjudged as of the fakes. 50 % is a coin "
        "toss. The band is the 95 % interval, over other generators and speakers."
    )
    return f"<h4>{title}</h4>{''.join(lines)}<p class='nc-lead'>{verdict}</p><p class='nc-note'>{note}</p>"


def sentence(found: Mapping[str, Any], rule: str, same: bool) -> str:
    """What a comparison shows, and what not.

    Args:
        found: `live_process.compare`.
        rule: Name of the rule that chose.
        same: Whether both trainings had the very same clips.
    """
    value, low, high = found["difference"]
    facts = {"points": number(abs(100 * value), ".1f"), "low": signed(low), "high": signed(high)}
    if same:
        said = say("You kept every clip, so both models learned from the same ones: this is one model twice.")
    elif rule == "random":
        said = say(
            "Both were drawn by chance: the {points} points between them are luck (95 % interval of the "
            "difference: {low} to {high} points).",
            **facts,
        )
    elif high < 0:
        said = say(
            "<b>Here your choice did better:</b> its error rate is {points} points lower (95 % interval of "
            "the difference: {low} to {high} points).",
            **facts,
        )
    elif low > 0:
        said = say(
            "<b>Here the blind draw did better:</b> your choice's error rate is {points} points higher "
            "(95 % interval of the difference: {low} to {high} points).",
            **facts,
        )
    elif value == 0:
        said = say(
            "<b>No difference</b> on these test clips (95 % interval of the difference: {low} to {high} "
            "points).",
            low=facts["low"],
            high=facts["high"],
        )
    elif value < 0:
        said = say(
            "<b>No clear difference:</b> your choice's error rate is {points} points lower, and these test "
            "clips cannot tell that from none (95 % interval of the difference: {low} to {high} points).",
            **facts,
        )
    else:
        said = say(
            "<b>No clear difference:</b> your choice's error rate is {points} points higher, and these test "
            "clips cannot tell that from none (95 % interval of the difference: {low} to {high} points).",
            **facts,
        )
    if min(found["speakers"], found["generators"]) < FEW_GROUPS and not same:
        said += " " + say(
            "The test clips are of only {speakers} and {generators}, too few for an interval to mean much.",
            speakers=speakers(found["speakers"]),
            generators=generators(found["generators"]),
        )
    caution = say(
        "One training of each proves little: with other initial weights or another draw the order may turn. "
        "The tab Results compares the rules over several seeds."
    )
    return f"{said} {caution}"


def speakers(count: int) -> str:
    """`1 speaker`, `3 speakers`."""
    return say("1 speaker") if count == 1 else say("{n} speakers", n=count)


def generators(count: int) -> str:
    """`1 generator`, `3 generators`."""
    return say("1 generator") if count == 1 else say("{n} generators", n=count)


def percent(share: float) -> str:
    """`12.3 %`."""
    return f"{number(100 * share, '.1f')} %"


def interval(low: float, high: float) -> str:
    """`95 %: 8.1 to 17.0`."""
    return say("95 %: {low} to {high}", low=number(100 * low, ".1f"), high=number(100 * high, ".1f"))


def signed(share: float) -> str:
    """`+1.2` or `-0.3`, in points, with a true minus."""
    return number(100 * share, "+.1f").replace("-", "\N{MINUS SIGN}")
