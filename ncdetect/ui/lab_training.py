"""Training in the sampling lab: the tiny model on the chosen clips, and on a blind draw of equal size.

Only collections whose audio lies on this server can be trained on: those of `assets/practice`, and those in
the folder that the environment variable NCDETECT_DATA names.
"""

import functools
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncdetect import live
from ncdetect.corpora import SPLITS, Manifest
from ncdetect.labels import Label
from ncdetect.language import say
from ncdetect.ui import lab_corpora, rule_words, training_picture
from ncdetect.ui.lab_corpora import START, Setting

if TYPE_CHECKING:
    from ncdetect.database import Chosen

log = logging.getLogger(__name__)

PRACTICE = Path(__file__).resolve().parents[2] / "assets" / "practice"
DATA_VARIABLE = "NCDETECT_DATA"
LEAST_CLIPS = 8
"""Of each class: with fewer there is nothing to learn."""
trainer = live.LiveTraining()
_tasks: dict[str, dict[str, Any]] = {}
"""What the picture of a training needs to know besides its status, by its name; of the newest only."""


def audio(name: str) -> Manifest | None:
    """The clips of a corpus whose audio is here: train (those of the bank), dev and eval; else None."""
    folders = [PRACTICE, *(Path(folder) for folder in [os.environ.get(DATA_VARIABLE)] if folder)]
    return next(filter(None, (_audio(folder, name, lab_corpora.CORPORA) for folder in folders)), None)


@functools.cache
def _audio(folder: Path, name: str, _: Path) -> Manifest | None:
    from ncdetect.experiments import open_data
    from ncdetect.layouts import LayoutError

    if not folder.is_dir():
        return None
    try:
        found = open_data(folder)
    except LayoutError:
        log.warning("%s holds no clips", folder)
        return None
    pool = set(lab_corpora.corpus(name).pool.paths)
    own = tuple(
        clip for clip in found if clip.corpus == name and (clip.split != "train" or clip.path in pool)
    )
    parts = {(clip.split, clip.label) for clip in own}
    whole = {(split, label) for split in SPLITS for label in Label} <= parts
    manifest = Manifest(found.root, own)
    if not whole or sum(clip.split == "train" for clip in own) < len(pool):
        return None
    return manifest if all(manifest.file(clip).is_file() for clip in own) else None


def chosen_parts(request: Mapping[str, Any]) -> tuple[list[str], list[list["Chosen"]]]:
    """What a visitor chose, by corpus.

    Args:
        request: corpora (names), rule, seed, settings (kind, real and fake by corpus; START without one).

    Raises:
        ValueError: If there is no corpus, or a setting is impossible.
    """
    names = [str(name) for name in request.get("corpora") or ()]
    if not names:
        raise ValueError(say("choose a collection"))
    given = request.get("settings") or {}
    same = {key: request.get(key, START[key]) for key in ("rule", "seed")}
    parts = [lab_corpora.corpus(name).entries(Setting.of({**given.get(name, {}), **same})) for name in names]
    return names, parts


def training_plan(request: Mapping[str, Any]) -> dict[str, Any]:
    """Which collections can be trained on here, and what a training would learn from.

    Args:
        request: As for `chosen_parts`; corpus: the one that is shown.
    """
    found = {
        "collections": [
            {"name": name, "title": lab_corpora.title(name), "here": audio(name) is not None}
            for name in lab_corpora.names()
        ],
        "ready": False,
    }
    here = [entry["name"] for entry in found["collections"] if entry["here"]]
    shown = request.get("corpus")
    if shown in lab_corpora.names() and shown not in here:
        found["absent"] = say(
            "The audio of {collection} is not on this server, only what a model heard in it. So its clips "
            "can be chosen and listed, but nothing can be trained on them here.",
            collection=lab_corpora.title(shown),
        )
        found["offer"] = next((name for name in here if name.startswith("practice")), here[0] if here else "")
    try:
        names = [name for name in request.get("corpora") or () if name in here]
        task, _ = make_task({**request, "corpora": names}) if names else (None, False)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        return found | {"told": str(error)}
    if task is None:
        return found | {"told": say("Tick a collection to learn from.") if here else ""}
    reals, fakes = (len(task.runs["chosen"].select(label=label)) for label in Label)
    facts = {"reals": reals, "fakes": fakes, "rounds": task.epochs}
    if len(names) == 1:
        told = say(
            "Your {reals} real and {fakes} fake clips, against as many drawn blindly from the same "
            "collection. Both learn for {rounds} short rounds from the same start. Together they take about "
            "a minute on two processor cores.",
            **facts,
        )
    else:
        told = say(
            "Your {reals} real and {fakes} fake clips, against as many drawn blindly from the same "
            "collections. Both learn for {rounds} short rounds from the same start. Together they take about "
            "a minute on two processor cores.",
            **facts,
        )
    return found | {"ready": True, "told": told}


def make_task(request: Mapping[str, Any]) -> tuple[live.Task, bool]:
    """The two trainings of a choice, and whether both have the same clips.

    Raises:
        ValueError: If the audio of a corpus is not here, or there are too few clips.
    """
    from ncdetect import database

    names, parts = chosen_parts(request)
    here = {name: audio(name) for name in names}
    absent = [lab_corpora.title(name) for name, manifest in here.items() if manifest is None]
    if absent:
        raise ValueError(say("the audio of {names} is not on this server", names=", ".join(absent)))
    everything = Manifest.union(*here.values())
    # The union may have moved the paths of the corpora: clips are found by corpus and end of the path.
    moved = {
        (name, clip.path): joined
        for name, manifest in here.items()
        for clip, joined in zip(manifest, everything.select(corpus=name), strict=True)
    }
    chosen = database.merge(parts) if len(parts) > 1 else parts[0]
    kept = Manifest(everything.root, tuple(moved[entry.clip.corpus, entry.clip.path] for entry in chosen))
    for label in Label:
        if len(kept.select(label=label)) < LEAST_CLIPS:
            raise ValueError(
                say("keep at least {n} real clips to train on", n=LEAST_CLIPS)
                if label == Label.REAL
                else say("keep at least {n} fake clips to train on", n=LEAST_CLIPS)
            )
    seed = Setting.of(request).seed + 1  # with the seed itself the rule "random" would draw the same clips
    drawn = database.random_like(everything.select(split="train"), chosen, seed)
    blind = Manifest(everything.root, tuple(entry.clip for entry in drawn))
    runs = dict(zip(training_picture.RUNS, (kept, blind), strict=True))
    dev, test = (everything.select(split=split) for split in ("dev", "eval"))
    same = {clip.path for clip in kept} == {clip.path for clip in blind}
    return live.Task(runs, dev, test), same


def training_start(request: Mapping[str, Any]) -> dict[str, Any]:
    """Start both trainings; `busy` says that another visitor's are running.

    Args:
        request: As for `chosen_parts`.
    """
    try:
        task, same = make_task(request)
        name = trainer.start(task)
    except live.Busy as busy:
        return {"busy": busy_sentence(busy)}
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        return {"error": say("This cannot be trained: {why}.", why=error)}
    _tasks.clear()
    rule = str(request.get("rule", START["rule"]))
    of = {"clips": len(task.runs["chosen"]), "corpora": list(request["corpora"])}
    _tasks[name] = {"epochs": task.epochs, "same": same, "rule": rule, **of}
    return {"id": name}


def ending(state: str, known: Mapping[str, Any]) -> str:
    """How a training has ended, in a sentence.

    Args:
        state: See `live.Status`.
        known: What was remembered of it.
    """
    match state:
        case "done":
            return say(
                "Both trainings are done: {clips} clips of {collections}, rule “{rule}”.",
                clips=known["clips"],
                collections=", ".join(lab_corpora.title(name) for name in known["corpora"]),
                rule=rule_words.title(known["rule"]),
            )
        case "cancelled":
            return say("Cancelled. Nothing of it was kept.")
        case "abandoned":
            return say("Stopped, because this page did not ask for it any more. Start it again if you like.")
        case "late":
            return say(
                "Stopped: it took more than {n} minutes. This server is too busy just now.",
                n=f"{live.LIMIT_S / 60:.0f}",
            )
        case _:
            return say(
                "Something went wrong in the training; the server's log says what. Nothing of it was kept."
            )


def busy_sentence(busy: live.Busy) -> str:
    """Who waits for what, and how long."""
    started = seconds(busy.started_s)
    if busy.left_s:
        return say(
            "Somebody else's training is running (started {started} ago, about {left} left), and this "
            "server does one at a time. Please try again then.",
            started=started,
            left=seconds(busy.left_s),
        )
    return say(
        "Somebody else's training is running (started {started} ago), and this server does one at a time. "
        "Please try again in a minute.",
        started=started,
    )


def training_poll(request: Mapping[str, Any]) -> dict[str, Any]:
    """How far a training has come; to be asked every second, or it is stopped.

    Args:
        request: id.
    """
    name = str(request.get("id"))
    status, known = trainer.poll(name), _tasks.get(name)
    if status is None or known is None:
        return {"state": "gone", "told": say("That training is gone. Start it again if you like.")}
    found = {
        "state": status.state,
        "share": round(status.share, 3),
        "told": running_sentence(status, known["epochs"])
        if status.state == "running"
        else ending(status.state, known),
        "chart": training_picture.chart(status.history, known["epochs"]),
        "table": training_picture.table(status.history, known["epochs"]),
    }
    if status.state == "done":
        verdict = training_picture.sentence(status.result, known["rule"], known["same"])
        found["result"] = training_picture.result(status.result, verdict)
    return found


def running_sentence(status: live.Status, epochs: int) -> str:
    """What is going on: `Blind draw: round 3 of 8. About 25 s left.`."""
    if not status.run:
        return say("Getting ready …")
    done = len(status.history.get(status.run, ()))
    left = " " + say("About {time} left.", time=seconds(status.left_s)) if status.left_s else ""
    what = training_picture.runs().get(status.run, status.run)
    if done >= epochs:
        return say("{run}: judging the test clips.", run=what) + left
    return say("{run}: round {round} of {rounds}.", run=what, round=done + 1, rounds=epochs) + left


def training_cancel(request: Mapping[str, Any]) -> dict[str, Any]:
    """Stop a training.

    Args:
        request: id.
    """
    trainer.cancel(str(request.get("id")))
    return {"told": ending("cancelled", {})}


def seconds(value: float) -> str:
    """`9 s`, `1 min 20 s`: from 10 s rounded up to 5 s, as estimates are."""
    whole = max(1, round(value)) if value < 10 else 5 * math.ceil(value / 5)
    minutes, rest = divmod(whole, 60)
    return " ".join(f"{number} {unit}" for number, unit in ((minutes, "min"), (rest, "s")) if number)


FUNCTIONS: Sequence = (training_plan, training_start, training_poll, training_cancel)
