"""A live training as HTML: the loss by epoch, the error rates at the end, and a sentence made of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

RUNS = {"chosen": "your choice", "random": "blind draw"}
WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 34, 10, 10, 30
WORST_EER = 0.5
"""A coin toss: the end of the scale."""
FEW_GROUPS = 8
"""With fewer speakers or generators to resample, an interval is told to mean little."""


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
        grid.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{mark * step:g}</text>')
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
    return (
        f'<svg class="nc-losses" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Loss by epoch. The table beside says the same.">{"".join(grid)}{"".join(lines)}</svg>'
    )


def table(history: Mapping[str, Sequence[Mapping[str, Any]]], epochs: int) -> str:
    """Where each training stands: rounds done, loss and error rate of its best on dev clips."""
    lines = []
    for run, title in RUNS.items():
        done = history.get(run, ())
        best = min(done, key=lambda epoch: epoch["dev_loss"], default=None)
        cells = (
            (f"{len(done)} of {epochs}", f"{best['dev_loss']:.2f}", percent(best["dev_eer"]))
            if best
            else ("waits", "–", "–")
        )
        lines.append(
            f'<tr><th scope="row"><span class="nc-key nc-run-{run}"></span>{title.capitalize()}</th>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    return (
        '<table class="nc-stand"><thead><tr><th scope="col"></th><th scope="col">Round</th>'
        '<th scope="col">Best dev loss</th><th scope="col">Dev EER then</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def result(found: Mapping[str, Any], verdict: str) -> str:
    """Error rates on the test clips with their intervals, and what they show."""
    lines = []
    for run, title in RUNS.items():
        value, low, high = found["eer"][run]
        scale = 100 / max(WORST_EER, high)
        lines.append(
            f'<div class="nc-eer nc-run-{run}"><span>{title.capitalize()}</span><span class="nc-span" '
            f'aria-hidden="true"><i style="left:{low * scale:.1f}%;width:{(high - low) * scale:.1f}%"></i>'
            f'<u style="left:{value * scale:.1f}%"></u></span><b>{percent(value)}</b>'
            f"<small>{interval(low, high)}</small></div>"
        )
    return (
        f"<h4>Error rate on {found['reals']} real and {found['fakes']} fake test clips</h4>{''.join(lines)}"
        f"<p class='nc-lead'>{verdict}</p><p class='nc-note'>The equal error rate: as large a share "
        "of the reals is misjudged as of the fakes. 50 % is a coin toss. The band is the 95 % interval, over "
        "other generators and speakers.</p>"
    )


def sentence(found: Mapping[str, Any], rule: str, same: bool) -> str:
    """What a comparison shows, and what not.

    Args:
        found: `live_process.compare`.
        rule: Name of the rule that chose.
        same: Whether both trainings had the very same clips.
    """
    value, low, high = found["difference"]
    points = f"{abs(100 * value):.1f} points"
    span = f"95 % interval of the difference: {signed(low)} to {signed(high)} points"
    if same:
        said = "You kept every clip, so both models learned from the same ones: this is one model twice."
    elif rule == "random":
        said = f"Both were drawn by chance: the {points} between them are luck ({span})."
    elif high < 0:
        said = f"<b>Here your choice did better:</b> its error rate is {points} lower ({span})."
    elif low > 0:
        said = f"<b>Here the blind draw did better:</b> your choice's error rate is {points} higher ({span})."
    elif value == 0:
        said = f"<b>No difference</b> on these test clips ({span})."
    else:
        said = (
            f"<b>No clear difference:</b> your choice's error rate is {points} "
            f"{'lower' if value < 0 else 'higher'}, and these test clips cannot tell that from none ({span})."
        )
    if min(found["speakers"], found["generators"]) < FEW_GROUPS and not same:
        said += (
            f" The test clips are of only {counted(found['speakers'], 'speaker')} and "
            f"{counted(found['generators'], 'generator')}, too few for an interval to mean much."
        )
    return (
        f"{said} One training of each proves little: with other initial weights or another draw the order "
        "may turn. The tab Results compares the rules over several seeds."
    )


def counted(number: int, noun: str) -> str:
    """`1 speaker`, `3 speakers`."""
    return f"{number} {noun}" + "s" * (number != 1)


def percent(share: float) -> str:
    """`12.3 %`."""
    return f"{100 * share:.1f} %"


def interval(low: float, high: float) -> str:
    """`95 %: 8.1 to 17.0`."""
    return f"95 %: {100 * low:.1f} to {100 * high:.1f}"


def signed(share: float) -> str:
    """`+1.2` or `-0.3`, in points, with a true minus."""
    return f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")
