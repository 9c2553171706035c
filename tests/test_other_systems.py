"""The study of the other systems on made clips: training, resuming, attacks, table, words, picture."""

import dataclasses
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ncdetect import (
    metrics,
    other_systems,
    other_systems_picture,
    other_systems_table,
    other_systems_words,
    training,
)
from ncdetect.findings_words import read_csv
from ncdetect.labels import Label
from ncdetect.loading import TrainBatches, Waves
from ncdetect.models import MODELS, build_model
from ncdetect.other_systems import Place, Result, folder_of, run, series
from ncdetect.other_systems_rows import (
    ADVERSARIAL,
    ATTACKS,
    ATTENTION,
    CLEAN,
    POSTER,
    ROWS,
    SECTIONS,
    Damage,
    Row,
    Stage,
    part,
)
from ncdetect.other_systems_table import CLAIMS, COLUMNS, Claim, threshold
from ncdetect.pipeline import Data
from ncdetect.training import Recipe

SHORT = Stage(Recipe(epochs=1, patience=1, learning_rate=2e-3), Data(8, epoch_clips=16), seconds=1.0)


def tiny(name, section=POSTER, stages=(SHORT,), **more):
    return Row(name, section, "tiny-resnet", f"tiny, {name}", stages, stages, **more)


@pytest.fixture
def place(made_corpus, tmp_path):
    return Place(made_corpus.root, tmp_path / "work", precision="32-true")


@pytest.fixture
def fits(monkeypatch):
    """Told of every training."""
    told = []
    fit = training.fit

    def spy(detector, *arguments, **options):
        told.append((detector, arguments))
        return fit(detector, *arguments, **options)

    monkeypatch.setattr(training, "fit", spy)
    return told


# -- the rows


def test_every_row_names_what_there_is():
    assert len({row.name for row in ROWS}) == len(ROWS)
    names = {row.name for row in ROWS}
    assert {row.section for row in ROWS} == set(SECTIONS) and {row.model for row in ROWS} <= set(MODELS)
    assert {name for claim in CLAIMS for name in (claim.better, claim.worse)} <= names
    assert set(other_systems_picture.DRAWN) <= names
    for row in ROWS:
        assert row.stages and row.full and row.published().stages == row.full
        draws, published = (
            sum(stage.recipe.epochs * (stage.data.epoch_clips or math.inf) for stage in stages)
            for stages in (row.stages, row.full)
        )
        assert draws < published, row.name


def test_losses_and_ways_of_transfer_are_compared_at_the_same_number_of_draws():
    by_name = {row.name: row for row in ROWS}

    def draws(name):
        return sum(stage.recipe.epochs * stage.data.epoch_clips for stage in by_name[name].stages)

    for claim in CLAIMS:
        if claim.better.split("-")[0] == claim.worse.split("-")[0] and "neural" not in claim.better:
            assert draws(claim.better) == draws(claim.worse), claim
    for name in ("lfcc-all", "mfcc-all", "whisper", "lfcc-neural"):
        partner = {"whisper": "whisper-oc"}.get(name, name.replace("-", "-softmax-", 1))
        assert by_name[name].stages == by_name[partner].stages and draws(name) == draws(partner)


def test_published_schedules_are_those_of_the_papers():
    by_name = {row.name: row for row in ROWS}
    (poster,) = by_name["lfcc-all"].full
    assert (poster.recipe.epochs, poster.recipe.learning_rate, poster.recipe.weight_decay) == (
        100,
        3e-4,
        5e-4,
    )
    assert (poster.recipe.schedule, poster.recipe.halve_every, poster.data.batch_size) == ("step", 10, 64)
    assert (poster.data.balance, by_name["lfcc-neural"].full[0].data.balance) == ("class", "none")
    assert [stage.recipe.epochs for stage in by_name["whisper"].full] == [5, 15]
    assert [stage.recipe.pretrained_rate == 0 for stage in by_name["whisper"].full] == [True, False]
    assert by_name["attention-folds"].folds == 5
    assert by_name["attention"].full[0].recipe.optimiser == "adamw"


def test_a_part_takes_its_share_of_each_corpus_and_class(made_corpus):
    train = made_corpus.select(split="train")  # 12 of each corpus and class
    quarter = part(train, 0.25, seed=0)
    counts = {}
    for clip in quarter:
        counts[clip.corpus, clip.label] = counts.get((clip.corpus, clip.label), 0) + 1
    assert counts == {(corpus, label): 3 for corpus in ("ant", "bee") for label in Label}
    assert part(train, 0.25, seed=0) == quarter != part(train, 0.25, seed=1)
    assert part(train, 1.0, seed=0) is train and len(part(train, 1e-9, seed=0)) == 4


def test_a_batch_is_cut_and_damaged_as_the_stage_says():
    wave = torch.rand(4, 48_000) - 0.5

    def changed(stage):
        return Damage(stage)(wave, torch.Generator().manual_seed(0))

    assert torch.equal(changed(dataclasses.replace(SHORT, seconds=3.0)), wave)
    cut = changed(SHORT)
    start = int((wave[0].unfold(0, 16_000, 1) == cut[0]).all(dim=1).nonzero()[0])
    assert torch.equal(cut, wave[:, start : start + 16_000]) and start
    coded = changed(dataclasses.replace(SHORT, coded=1.0))
    assert coded.shape == cut.shape and all(not torch.equal(a, b) for a, b in zip(coded, cut, strict=True))
    augmented = changed(dataclasses.replace(SHORT, data=Data(augment=True)))
    assert augmented.shape == cut.shape and not torch.equal(augmented, cut)


# -- the runs


def test_trains_on_train_clips_and_judges_dev_and_eval(place, made_corpus, fits, monkeypatch):
    seen = {"train": set(), "dev": set()}

    def trained_on(waves, *arguments, **options):
        seen["train"] |= {clip.split for clip in waves.manifest}
        return TrainBatches(waves, *arguments, **options)

    monkeypatch.setattr(other_systems, "TrainBatches", trained_on)
    result = run(place, tiny("one", corpora=("ant",)))
    ((_, (_, dev, watch, *_)),) = fits
    assert seen["train"] == {"train"}
    assert {(clip.split, clip.corpus) for clip in dev.waves.manifest} == {("dev", "ant")}
    assert {(clip.split, clip.corpus) for clip in watch.waves.manifest} == {("train", "ant")}
    wanted = {clip.path for clip in made_corpus if clip.split in ("dev", "eval")}
    assert set(result.scores) == wanted
    assert (result.epochs, result.draws, len(result.dev_eers)) == (1, 16, 1)
    assert result.parameters == sum(p.numel() for p in build_model("tiny-resnet").parameters())
    kept = np.load(folder_of(place, tiny("one", corpora=("ant",)), 0) / "embeddings.npz")
    assert kept["embeddings"].shape == (len(wanted), 128) and kept["embeddings"].dtype == np.float16
    assert kept["axis"].shape == (128,)


def test_what_is_done_is_read_and_an_edited_row_is_trained_again(place, fits):
    row = tiny("one")
    found = series(place, [row])
    assert len(fits) == 1
    assert series(place, [row]) == found and len(fits) == 1
    # Words are no edit, nor is the published schedule.
    assert series(place, [dataclasses.replace(row, what="other words", full=())]) == found
    assert len(fits) == 1
    other = dataclasses.replace(SHORT, recipe=dataclasses.replace(SHORT.recipe, learning_rate=1e-3))
    for number, edited in enumerate(
        (
            dataclasses.replace(row, stages=(other,)),
            dataclasses.replace(row, corpora=("bee",)),
            dataclasses.replace(row, stages=(dataclasses.replace(SHORT, share=0.5),)),
        ),
        2,
    ):
        assert series(place, [edited]) != found
        assert len(fits) == number
    assert not list(place.work.rglob("state.safetensors"))


@pytest.fixture
def second_best(monkeypatch):
    """As if the second epoch of every training had the lowest dev EER."""
    measure = training._measure

    def told(epoch, *arguments):
        return dataclasses.replace(measure(epoch, *arguments), dev_eer=(0.4, 0.2, 0.3, 0.2)[epoch])

    monkeypatch.setattr(training, "_measure", told)


def test_a_killed_run_ends_as_an_unbroken_one(place, tmp_path, monkeypatch, second_best):
    stage = dataclasses.replace(SHORT, recipe=dataclasses.replace(SHORT.recipe, epochs=3, patience=3))
    row = tiny("one", stages=(SHORT, stage))
    whole = run(place, row)
    assert whole.epochs == 4 and whole.dev_eers == (0.4, 0.2, 0.3)
    elsewhere = dataclasses.replace(place, work=tmp_path / "again")
    keep = other_systems._keep_lowest_eer

    def killed(folder):
        log = folder / training.LOG_FILE
        if log.exists() and len(log.read_text().splitlines()) == 2:
            raise KeyboardInterrupt
        keep(folder)

    monkeypatch.setattr(other_systems, "_keep_lowest_eer", killed)
    with pytest.raises(KeyboardInterrupt):
        run(elsewhere, row)
    monkeypatch.setattr(other_systems, "_keep_lowest_eer", keep)
    again = run(elsewhere, row)
    timeless = [dataclasses.replace(result, seconds=0.0) for result in (whole, again)]
    assert timeless[0] == timeless[1]


def test_the_epoch_is_the_one_of_the_lowest_dev_eer(place, made_corpus, monkeypatch, second_best):
    states = []
    keep = other_systems._keep_lowest_eer

    def kept(folder):
        if (folder / training.STATE_FILE).exists():
            saved = load_file(folder / training.STATE_FILE)
            states.append({name.removeprefix("model/"): value for name, value in saved.items()})
        keep(folder)

    monkeypatch.setattr(other_systems, "_keep_lowest_eer", kept)
    stage = dataclasses.replace(SHORT, recipe=dataclasses.replace(SHORT.recipe, epochs=4, patience=4))
    result = run(place, tiny("one", stages=(stage,)))
    assert result.dev_eers == (0.4, 0.2, 0.3, 0.2) and len(states) == 4
    detector, said = build_model("tiny-resnet"), []
    for state in states:
        detector.load_state_dict({name: state[name] for name in detector.state_dict()})
        seen = other_systems.judged(detector, Waves(made_corpus.select(split="dev")), "32-true")
        said.append(dict(zip((c.path for c in made_corpus.select(split="dev")), seen.scores, strict=True)))
    equal = [all(abs(result.scores[path] - own[path]) < 1e-3 for path in own) for own in said]
    assert equal == [False, True, False, False]


def test_several_processes_come_to_the_same(place, tmp_path):
    rows = [tiny("one"), tiny("two", corpora=("bee",))]
    two = dataclasses.replace(place, work=tmp_path / "two", jobs=2, seeds=2)
    found = series(two, rows)
    assert list(found) == ["one", "two"] and [len(runs) for runs in found.values()] == [2, 2]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes have it
    alone = run(place, rows[0])
    torch.set_num_threads(threads)
    assert alone.scores == found["one"][0].scores != found["one"][1].scores


def test_weights_and_corpora_that_are_not_there_are_told_before_any_training(place, fits):
    with pytest.raises(ValueError, match="two needs cat; there is ant, bee"):
        series(place, [tiny("one"), tiny("two", corpora=("cat",))])
    for folder in (None, place.work / "nowhere"):
        with pytest.raises(FileNotFoundError, match="two starts from published weights"):
            series(dataclasses.replace(place, weights=folder), [tiny("one"), tiny("two", weights="whisper")])
    assert not fits


def test_folds_are_judged_and_nothing_else(place, fits):
    row = tiny("folds", ATTENTION, folds=2, stages=(dataclasses.replace(SHORT, seconds=3.0),))
    result = run(place, row)
    assert len(result.folds) == len(fits) == 2 and result.scores == {}
    assert sum(fold["clips"] for fold in result.folds) == 72  # train and dev
    assert (result.epochs, result.draws) == (2, 32)
    assert run(place, row) == result and len(fits) == 2


def test_attacks_lower_the_scores_of_fakes_and_raise_those_of_reals(place, made_corpus):
    stage = dataclasses.replace(SHORT, recipe=dataclasses.replace(SHORT.recipe, epochs=4, patience=4))
    result = run(place, tiny("attacked", ADVERSARIAL, stages=(stage,), attacked=True))
    assert list(result.attacks) == [CLEAN, *ATTACKS]
    clean = result.attacks[CLEAN]
    dev = [clip for clip in made_corpus if clip.split == "dev"]
    assert set(clean) == {clip.path for clip in dev}  # fewer than ATTACKED_CLIPS
    assert all(abs(clean[path] - result.scores[path]) < 1e-3 for path in clean)
    for name, scores in result.attacks.items():
        if name != CLEAN:
            moved = [(scores[c.path] - clean[c.path]) * (-1 if c.label == Label.FAKE else 1) for c in dev]
            assert np.mean(moved) > 0, name


# -- the table


def scored(by_path, **more):
    facts = {"parameters": 7, "schedule": "short", "precision": "32-true", "epochs": 5, "draws": 80}
    return Result(
        **facts | {"seconds": 9.0, "dev_eers": (0.4, 0.3, 0.3, 0.2, 0.25), "scores": by_path} | more
    )


def said(made_corpus, right, seed=0):
    """Scores of dev and eval clips: a share of them on the right side of 0."""
    rng = np.random.default_rng(seed)
    found = {}
    for clip in made_corpus:
        if clip.split != "train":
            side = 1 if (clip.label == Label.FAKE) == (rng.random() < right) else -1
            found[clip.path] = side * float(rng.uniform(0.5, 1.5))
    return found


def test_the_threshold_is_where_the_error_rates_meet():
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert threshold(np.array([1.0, 2.0, 5.0, 4.0, 6.0, 7.0]), labels) == 5.0  # both rates 1/3
    assert threshold(np.array([1.0, 2.0, 3.0, 4.0, 6.0, 7.0]), labels) == 4.0


def test_figures_are_those_of_the_metrics(place, made_corpus, monkeypatch):
    scores = said(made_corpus, 0.8)
    row = tiny("one", corpora=("ant",))
    lines = other_systems_table.lines(place, [row], {"one": [scored(scores)]})
    assert [line["set"] for line in lines] == ["dev", "all", "ant", "bee"]
    assert all(tuple(line) == COLUMNS for line in lines)
    dev = [clip for clip in made_corpus if (clip.split, clip.corpus) == ("dev", "ant")]
    evals = [clip for clip in made_corpus if clip.split == "eval"]
    at = threshold(np.array([scores[clip.path] for clip in dev]), np.array([clip.label for clip in dev]))
    for line, clips in zip(lines[:2], (dev, evals), strict=True):
        own, labels = [scores[clip.path] for clip in clips], [clip.label for clip in clips]
        called = [score >= at for score in own]
        right = [bool(label) == fake for label, fake in zip(labels, called, strict=True)]
        assert (line["clips"], line["reals"], line["fakes"]) == (len(clips), len(clips) // 2, len(clips) // 2)
        assert line["eer"] == round(metrics.eer_roc(own, labels), 4)
        assert line["eer_low"] <= line["eer"] <= line["eer_high"]
        assert line["accuracy"] == round(np.mean(right), 4)
        hits = sum(fake and label == Label.FAKE for fake, label in zip(called, labels, strict=True))
        assert line["f1"] == round(2 * hits / (sum(called) + len(clips) // 2), 4)
        assert line["ap_fake"] == round(metrics.average_precision(own, labels).fake, 4)
    assert (lines[0]["eer_fifth"], lines[0]["eer_last"]) == (0.4, 0.25)
    assert (lines[0]["trained_on"], lines[0]["draws"], lines[0]["seeds"]) == ("ant", 80, 1)


def test_differences_are_paired_and_signed(place, made_corpus, monkeypatch):
    claim = Claim(POSTER, "One beats two.", "one", "two", ("all", "wild"))
    monkeypatch.setattr(other_systems_table, "CLAIMS", (claim,))
    good, bad = said(made_corpus, 1.0), said(made_corpus, 0.5)
    rows = [tiny("one"), tiny("two")]
    lines = other_systems_table.lines(place, rows, {"one": [scored(good)], "two": [scored(bad)]})
    (difference,) = [line for line in lines if line["against"]]  # there is no set `wild`
    worse = next(line for line in lines if (line["system"], line["set"]) == ("two", "all"))
    assert (difference["system"], difference["against"], difference["set"]) == ("one", "two", "all")
    assert difference["difference"] == -worse["eer"] < difference["difference_high"] < 0
    same = other_systems_table.lines(place, rows, {"one": [scored(bad)], "two": [scored(bad)]})[-1]
    assert (same["difference"], same["difference_low"], same["difference_high"]) == (0, 0, 0)


def test_seeds_are_averaged_and_their_spread_widens_the_interval(place, made_corpus):
    one, other = said(made_corpus, 0.95, 1), said(made_corpus, 0.55, 2)

    def dev(*seeds):
        return other_systems_table.lines(place, [tiny("one")], {"one": [scored(by) for by in seeds]})[0]

    low, high, both = dev(one), dev(other), dev(one, other)
    assert both["eer"] == pytest.approx((low["eer"] + high["eer"]) / 2, abs=1e-4) and both["seeds"] == 2
    assert both["eer_low"] <= low["eer"] < high["eer"] <= both["eer_high"]


def test_folds_have_mean_and_deviation(place):
    folds = tuple(
        {"fold": n, "clips": 10, "eer": e, "accuracy": 0.5, "f1": 0.5} for n, e in ((0, 0.1), (1, 0.3))
    )
    row = tiny("folds", ATTENTION, folds=2)
    (line,) = other_systems_table.lines(place, [row], {"folds": [scored({}, folds=folds, dev_eers=())]})
    assert (line["set"], line["clips"], line["eer"], line["accuracy_sd"]) == ("folds", 20, 0.2, 0)
    assert line["eer_sd"] == round(math.sqrt(0.02), 4) and line["eer_low"] == ""


# -- the words


def difference(low, value, high, name="wild"):
    columns = dict.fromkeys(COLUMNS, "") | {"section": POSTER, "system": "one", "against": "two", "set": name}
    return columns | {"difference": value, "difference_low": low, "difference_high": high}


def figures(system, high, name="wild"):
    return dict.fromkeys(COLUMNS, "") | {"section": POSTER, "system": system, "set": name, "eer": 0.3,
                                         "eer_low": 0.2, "eer_high": high}  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (
            (-0.1, -0.05, -0.01),
            "confirmed: better, by 5.0 points (95 % interval 1.0 to 10.0 better)",
        ),
        (
            (0.01, 0.05, 0.1),
            "contradicted: worse, by 5.0 points (95 % interval 1.0 to 10.0 worse)",
        ),
        (
            (-0.1, -0.05, 0.02),
            "open: no difference that these clips can show "
            "(5.0 points better; 95 % interval 10.0 better to 2.0 worse)",
        ),
    ],
)
def test_a_claim_is_answered_by_its_interval(ends, words):
    claim = Claim(POSTER, "One beats two.", "one", "two", ("dev", "wild"))
    rows = [difference(*ends), figures("one", 0.4), figures("two", 0.6)]
    told = other_systems_words.answer(claim, rows)
    assert told == f"*One beats two.* Here, one against two, it is in the wild {words}."
    guessing = [difference(*ends), figures("one", 0.55), figures("two", 0.6)]
    assert other_systems_words.answer(claim, guessing).endswith("; both may be guessing there.")
    assert other_systems_words.answer(claim, [difference(*ends, name="all")]) == ""


def test_longer_training_is_told_from_the_figures():
    rows = [
        figures("one", 0.4, "dev") | {"eer_fifth": 0.4, "eer_last": 0.3},
        figures("two", 0.4, "dev") | {"eer_fifth": 0.3, "eer_last": 0.35},
    ]
    (told,) = other_systems_words.answers(POSTER, rows)
    assert "one 40.0 to 30.0 (−10.0) and two 30.0 to 35.0 (+5.0); it fell for 1 of 2" in told


def test_the_notes_are_held_against_folds_and_wild():
    own = {"section": ATTENTION, "system": "one"}
    spread = {"eer": 0.2, "eer_sd": 0.01, "accuracy": 0.7, "accuracy_sd": 0.02, "f1": 0.6}
    fold = figures("one", "", "folds") | own | spread
    dev = figures("one", 0.3, "dev") | own
    apart = figures("one", 0.6, "wild") | own | {"eer": 0.5, "eer_low": 0.4}
    first, second = other_systems_words.answers(ATTENTION, [fold, dev, apart])
    assert "accuracy 70.0 ± 2.0 %, EER 20.0 ± 1.0 %, F1 0.60: not confirmed" in first
    assert "where it may be guessing: contradicted" in second
    near = figures("one", 0.4, "wild") | own | {"eer": 0.35}
    assert "not contradicted" in other_systems_words.answers(ATTENTION, [dev, near])[0]
    good = fold | {"eer": 0.05}
    assert other_systems_words.answers(ATTENTION, [good])[0].endswith("F1 0.60: as good.")


def test_files_have_the_command_every_system_and_every_answer(place, made_corpus, tmp_path, monkeypatch):
    claim = Claim(POSTER, "One beats two.", "one", "two", ("dev", "all"))
    for module in (other_systems_table, other_systems_words):
        monkeypatch.setattr(module, "CLAIMS", (claim,))
    dev = [clip.path for clip in made_corpus if clip.split == "dev"]
    scores = said(made_corpus, 0.8)
    attacks = {name: {path: scores[path] for path in dev} for name in (CLEAN, *ATTACKS)}
    folds = tuple({"fold": n, "clips": 10, "eer": 0.2, "accuracy": 0.5, "f1": 0.5} for n in range(2))
    rows = [
        tiny("one"),
        tiny("two"),
        tiny("folds", ATTENTION, folds=2),
        tiny("hard", ADVERSARIAL, attacked=True),
    ]
    results = {
        "one": [scored(said(made_corpus, 0.9))], "two": [scored(said(made_corpus, 0.6))],
        "folds": [scored({}, folds=folds, dev_eers=())], "hard": [scored(scores, attacks=attacks)],
    }  # fmt: skip
    table = other_systems_table.lines(place, rows, results)
    csv, markdown = other_systems_words.write(table, tmp_path, "python -m ncdetect systems --data DATA")
    assert (csv.name, markdown.name) == ("other-systems.csv", "other-systems.md")
    assert len(read_csv(csv)) == len(table)
    text = markdown.read_text("utf-8")
    assert text.startswith("Made by `python -m ncdetect systems --data DATA`.")
    assert text.count("## ") == 3 and "*One beats two.* Here, one against two" in text
    assert "| one: tiny, one | ant bee |" in text and "| folds | 20 | 20.0 ± 0.0 |" in text
    assert all(f" {name} " in text for name in ATTACKS) and "*12 + 12*" in text
    assert text.count("- one: short") == 1
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 2 + 1 + 2 + 2
    for block in blocks:  # every line has as many cells as the head
        assert len({line.count("|") for line in block}) == 1


# -- the picture


def test_the_plane_is_that_of_the_head_and_of_the_main_direction_across_it():
    axis = np.array([-2.0, 0.0, 0.0])  # reals lie along the first axis
    embeddings = np.array([[3, 0, 0], [0, 0.5, 0], [0, -2, 0], [-1, 0, 0], [-4, 0, 0]])
    points = other_systems_picture.flattened(embeddings, axis)
    np.testing.assert_allclose(points[:, 0], [1, 0, 0, -1, -1])
    np.testing.assert_allclose(points[:, 1], [0, 1, -1, 0, 0], atol=1e-12)


def test_the_picture_has_each_clip_once_and_a_panel_for_each_set(place, made_corpus, tmp_path):
    rows = [tiny("one"), tiny("two", corpora=("ant",))]
    series(place, rows)
    found = other_systems_picture.panels(place, rows)
    assert [panel.title for panel in found] == ["tiny, one: dev", "tiny, two: dev"]  # nothing is wild here
    file = other_systems_picture.write(found, tmp_path / "picture.svg", columns=1)
    root = ElementTree.fromstring(file.read_text("utf-8"))
    paths = [path for path in root.iter("{http://www.w3.org/2000/svg}path") if path.get("class")]
    dots = {
        word: [p.get("d").count("M") for p in paths if p.get("class") == word] for word in ("real", "fake")
    }
    assert dots == {"real": [1, 12, 12], "fake": [1, 12, 12]}  # the legend, then the panels
    with pytest.raises(FileNotFoundError):
        other_systems_picture.panels(place, [tiny("three")])


# -- the shared corpora


def test_the_rows_fit_the_shared_corpora(corpora_root, tmp_path):
    place = Place(corpora_root, tmp_path)
    for row in ROWS:
        own = other_systems.clips(place, row)
        assert own["train"] and own["dev"] and not {clip.corpus for clip in own["train"]} & {"wild"}
    assert {clip.split for clip in other_systems.judged_clips(place)} == {"dev", "eval"}
