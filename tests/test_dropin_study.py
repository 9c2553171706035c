"""The study of dropin and plasticity on made clips: what each arm trains, resuming, table and words."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from ncdetect import dropin_study, dropin_words, training
from ncdetect.dropin import new_parameters, widen
from ncdetect.dropin_bases import of_features, of_waves
from ncdetect.dropin_study import ARMS, Arm, Result, Study
from ncdetect.features import FeatureWindows, computed
from ncdetect.findings_words import read_csv
from ncdetect.frontends import LogMel
from ncdetect.loading import TrainBatches, Waves
from ncdetect.losses import LOSSES
from ncdetect.models import Detector
from ncdetect.models.gru import GRUNet
from ncdetect.pipeline import Data
from ncdetect.tables import TestSet
from ncdetect.training import Recipe

RECIPE = Recipe(epochs=3, precision="32-true")
DATA = Data(batch_size=16, epoch_clips=32)
LAYERS = ("backbone.layers.0", "backbone.layers.1")


def fresh():
    return Detector(nn.Identity(), GRUNet(80, 4, 2, 4, 0.1), 4)


@pytest.fixture(scope="module")
def features(made_corpus, tmp_path_factory):
    """Log-mel of the made clips, by split."""
    folder = tmp_path_factory.mktemp("features")
    found = {}
    for split in ("train", "dev", "eval"):
        batches = TrainBatches(Waves(made_corpus.select(split=split)), in_order=True)
        found[split] = computed(LogMel(), batches(0), folder / f"{split}.npy")
    return found


@pytest.fixture
def study(features, made_corpus, tmp_path):
    torch.manual_seed(0)
    labels = features["eval"].labels
    groups = tuple(f"speaker {row // 3}" for row in range(len(labels)))
    return Study(
        name="gru",
        base=fresh(),
        fresh=fresh,
        batches=partial(
            of_features, [features["train"]], made_corpus.select(split="train"), features["dev"], None
        ),
        judge=lambda detector: training.embed(detector, FeatureWindows(features["eval"])).scores,
        sets=[TestSet("all", np.arange(24), labels, groups)],
        work=tmp_path,
        data=DATA,
        recipe=RECIPE,
        from_scratch=dataclasses.replace(RECIPE, epochs=4),
        share=0.5,
        sweep={"first": LAYERS[:1], "second": LAYERS[1:], "two": LAYERS},
    )


def count(detector):
    return sum(parameter.numel() for parameter in detector.parameters())


def test_every_arm_trains_what_it_says(study):
    before = {name: value.clone() for name, value in study.base.state_dict().items()}
    found = dropin_study.series(study)
    assert list(found) == [*map(Arm, ARMS), *(Arm("dropin", name) for name in ("first", "second", "two"))]
    assert [len(runs) for runs in found.values()] == [1, 2, 2, 2, 2, 1, 1, 1]  # the sweep has one seed
    small, wide = count(study.base), widen(study.base, 0.5)
    new = sum(parameter.numel() for parameter in new_parameters(wide).values())
    facts = {arm.label: dataclasses.astuple(runs[0])[:3] for arm, runs in found.items()}
    assert facts["as-is"] == (small, 0, 0)
    assert facts["fine-tuned"] == (small, small, 3)
    assert facts["dropin"] == (small + new, new, 3)
    assert facts["plasticity"] == (small, small + new, 2 + 1)
    assert facts["same-size"] == (small + new, small + new, 4)
    for name, layers in study.sweep.items():
        alone = count(widen(study.base, 0.5, layers))
        assert facts[f"dropin-{name}"] == (alone, alone - small, 3)
    assert found[Arm("dropin", "two")][0].scores == found[Arm("dropin")][0].scores  # these are all layers
    # The base is as it was, and is what `as-is` judges.
    assert all(torch.equal(value, before[name]) for name, value in study.base.state_dict().items())
    (as_is,) = found[Arm("as-is")]
    np.testing.assert_allclose(as_is.scores, study.judge(study.base.eval()), atol=1e-4)
    assert as_is.seconds == 0 < found[Arm("dropin")][0].seconds
    others = [run.scores for arm, runs in found.items() if arm != Arm("as-is") for run in runs]
    assert len({*others, as_is.scores}) == 11  # arms and seeds differ
    wide = dropin_study.dropped_in(study, 1)
    np.testing.assert_allclose(study.judge(wide), found[Arm("dropin")][1].scores, atol=1e-4)
    with pytest.raises(FileNotFoundError):
        dropin_study.dropped_in(study, 2)


def test_what_is_done_is_read_and_another_setting_is_another_run(study, monkeypatch):
    arms = [Arm("as-is"), Arm("dropin")]
    found = dropin_study.series(study, arms)
    fits = []

    def told(detector, *arguments, **options):
        fits.append(detector)
        return fit(detector, *arguments, **options)

    fit = training.fit
    monkeypatch.setattr(training, "fit", told)
    assert dropin_study.series(study, arms) == found and not fits
    others = [
        dataclasses.replace(study, share=0.25, seeds=1),
        dataclasses.replace(study, recipe=dataclasses.replace(RECIPE, learning_rate=2e-3), seeds=1),
        dataclasses.replace(study, base=fresh(), seeds=1),
        dataclasses.replace(study, data=dataclasses.replace(DATA, epoch_clips=48), seeds=1),
    ]
    for number, other in enumerate(others, 1):
        dropin_study.series(other, arms)
        assert len(fits) == number
    assert not list(study.work.rglob("state.safetensors"))


def test_every_seed_has_its_own_dropout_and_batches(study, monkeypatch):
    seen = []

    def told(detector, train, dev, watch, recipe, folder, loss):
        seen.append((train.seed, recipe.seed, loss))
        raise FloatingPointError

    monkeypatch.setattr(training, "fit", told)
    study.base.loss = "focal"
    for arm in ("fine-tuned", "dropin", "plasticity"):
        for seed in range(2):
            with pytest.raises(FloatingPointError):
                dropin_study.run(study, Arm(arm), seed)
    assert seen == [(0, 0, LOSSES["focal"]), (1, 1, LOSSES["focal"])] * 3


def test_a_killed_run_goes_on_to_the_same_result(study, monkeypatch):
    arm = Arm("plasticity")
    whole = dropin_study.run(dataclasses.replace(study, work=study.work / "whole"), arm, 0)
    write, log = training._write_log, []

    def kill(file, history):
        write(file, history)
        log.append(file.parent.name)
        if len(log) in (1, 3):  # in the middle of the first stage, at the end of the second
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_write_log", kill)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            dropin_study.run(study, arm, 0)
    again = dropin_study.run(study, arm, 0)
    assert log == ["fit-0", "fit-0", "fit-1"]
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(whole, seconds=0)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_is_judged_in_the_precision_in_which_it_was_trained(study, precision):
    seen = []

    def judge(detector):
        seen.append(torch.is_autocast_enabled("cpu"))
        return np.zeros(24)

    recipe = dataclasses.replace(RECIPE, epochs=1, precision=precision)
    study = dataclasses.replace(study, judge=judge, recipe=recipe, seeds=1)
    dropin_study.series(study, [Arm("as-is"), Arm("fine-tuned")])
    assert seen == [False, precision == "bf16-mixed"]


def test_plasticity_needs_two_epochs(study):
    short = dataclasses.replace(study, recipe=dataclasses.replace(RECIPE, epochs=1))
    with pytest.raises(ValueError, match="needs two epochs, got 1"):
        dropin_study.run(short, Arm("plasticity"), 0)


def test_frozen_pretrained_parts_do_not_count_as_trained(study):
    study.base.pretrained = ("backbone.layers.0.",)
    recipe = dataclasses.replace(RECIPE, epochs=1, pretrained_rate=0.0)
    study = dataclasses.replace(study, recipe=recipe)
    found = dropin_study.run(study, Arm("fine-tuned"), 0)
    assert found.trained_parameters == count(study.base) - count(study.base.backbone.layers[0])


def test_random_layers_follow_the_seed_and_are_the_same_for_every_arm(study, monkeypatch):
    class Enough(Exception):
        pass

    calls = []

    def told(*arguments):
        calls.append((widen(*arguments).widening.layers, arguments[-1]))
        raise Enough

    monkeypatch.setattr(dropin_study, "widen", told)
    some = dataclasses.replace(study, layers="random", count=1)
    for arm in ("dropin", "plasticity", "same-size"):
        for seed in range(4):
            with pytest.raises(Enough):
                dropin_study.run(some, Arm(arm), seed)
    layers, kept = zip(*calls, strict=True)
    assert layers[:4] == layers[4:8] == layers[8:] and len(set(layers)) == 2
    assert kept == (True,) * 8 + (False,) * 4  # from scratch all weights are random


def result(scores, **changes):
    return dataclasses.replace(Result(10, 4, 2, 1.5, 0.25, tuple(scores)), **changes)


def test_the_table_by_hand(study):
    # Reals, then fakes: EER 0 where all fakes are higher, 1/2 where one of two changes places.
    good, half = [0.0, 1, 2, 3], [0.0, 2, 1, 3]
    labels = np.array([0, 0, 1, 1])
    study = dataclasses.replace(study, sets=[TestSet("wild", np.array([4, 1, 2, 3]), labels, tuple("abcd"))])
    runs = {
        Arm("as-is"): [result([9, *half[1:], half[0]], trained_parameters=0)],
        Arm("fine-tuned"): [result([9, *good[1:], good[0]]), result([9, *half[1:], half[0]], seconds=2.5)],
        Arm("dropin", "x.1"): [result([9, *good[1:], good[0]])] * 2,
    }
    table = dropin_words.rows(study, runs)
    found = {(row["arm"], row["seed"]): row for row in table}
    assert list(found) == [
        ("as-is", "0"), ("as-is", "mean"), ("fine-tuned", "0"), ("fine-tuned", "1"), ("fine-tuned", "mean"),
        ("dropin", "0"), ("dropin", "1"), ("dropin", "mean"),
    ]  # fmt: skip
    eers = {key: row["eer"] for key, row in found.items()}
    assert eers["as-is", "mean"] == 0.5 and eers["fine-tuned", "mean"] == 0.25 and eers["dropin", "mean"] == 0
    tuned = found["fine-tuned", "mean"]
    assert tuned["from_fine-tuned"] == tuned["from_same-size"] == "" and tuned["seconds"] == 2.0
    assert tuned["from_as-is"] == -0.25 and tuned["sd"] == 0.3536  # of 0 and 0.5
    assert found["fine-tuned", "0"]["sd"] == ""
    assert found["as-is", "0"]["from_fine-tuned"] == 0.5  # the base against the first fine-tuning
    assert found["as-is", "mean"]["from_fine-tuned"] == 0.25  # and against both
    assert [found["dropin", seed]["from_fine-tuned"] for seed in ("0", "1", "mean")] == [0, -0.5, -0.25]
    assert found["dropin", "mean"]["from_as-is"] == -0.5
    plan = ("most_epochs", "epoch_clips", "learning_rate", "pretrained_rate")
    assert [tuned[name] for name in plan] == [3, 32, 1e-3, 1.0]
    assert [found["as-is", "mean"][name] for name in plan] == [0, 0, "", ""]
    assert found["dropin", "0"]["layer"] == "x.1" and found["dropin", "0"]["trained_parameters"] == 4
    assert (found["dropin", "0"]["reals"], found["dropin", "0"]["fakes"]) == (2, 2)


def drawn(study, better, seeds=2):
    """Made scores: those of an arm in `better` tell reals from fakes, the others hardly."""
    rng = np.random.default_rng(0)
    labels = study.sets[0].labels
    return {
        arm: [
            result(rng.normal(size=24) + (6.0 if arm.label in better else 0.5) * labels, dev_eer=0.2)
            for _ in range(seeds)
        ]
        for arm in dropin_study.arms(study)
    }


def test_it_is_written_for_machines_and_people(study, tmp_path):
    runs = drawn(study, ["dropin", "dropin-first", "dropin-second", "dropin-two"])
    table = dropin_words.rows(study, runs)
    files = dropin_words.write(table, tmp_path / "out", "python -m x", "What is seen.")
    assert [file.name for file in files] == ["dropin.csv", "dropin.md"]
    table = read_csv(files[0])
    assert len(table) == 8 * 3 and table[0]["model"] == "gru" and table[0]["corpus"] == "all"
    text = files[1].read_text("utf-8")
    assert text.startswith("Made by `python -m x`.\n") and text.endswith("\n\nWhat is seen.\n")
    assert (
        "**gru**: a layer that is widened gets 50 % more neurons. Trained for at most 3 epochs of 32 clips "
        "at a rate of 0.001, from scratch for at most 4 at 0.001." in text
    )
    place = "on new clips of the training collections"
    assert "- Dropin helps, says the paper. That holds here: of 3 comparisons 3 are in its favour, 0 " in text
    assert f"- Dropin {place}, against fine-tuning it for as many epochs: better, by " in text
    assert "- Plasticity helps, says the paper. That does not hold here: of 3 comparisons 0 are" in text
    assert "- Dropin trains 100 % as many parameters as fine-tuning, in 100 % of its time;" in text
    assert "the intervals of all layers overlap, so which one is best stays open." in text
    assert "Dropin into one layer alone" in text
    assert "| `second` | 10 | 4 | 2.0 | 2 | 20.0 | " in text
    assert text.count("Each figure is the mean of 2 trainings") == 2
    # Without a reference nothing is compared, without a sweep there is no table of it.
    text = dropin_words.markdown(dropin_words.rows(study, {Arm("dropin"): runs[Arm("dropin")]}), "x")
    assert "against" not in text.split("**gru**")[1] and "one layer alone" not in text


def test_a_claim_holds_in_part_and_layers_may_lie_apart(study):
    runs = drawn(study, ["plasticity", "same-size", "dropin-second"])
    text = dropin_words.markdown(dropin_words.rows(study, runs), "x")
    assert "Plasticity helps, says the paper. That holds here in part: of 3 comparisons 2 are in its" in text
    told = "That does not hold here: of 3 comparisons 0 are in its favour, 1 against it, and 2 open."
    assert f"Dropin helps, says the paper. {told}" in text
    assert "the lowest EER of a single layer is that of `second`" in text
    assert "that of `first`, the one with the lowest EER on dev," in text  # the first of equals
    assert "the intervals of some layers lie apart." in text


def test_the_rate_of_pretrained_layers_is_told(study):
    study = dataclasses.replace(study, recipe=dataclasses.replace(RECIPE, pretrained_rate=0.1))
    text = dropin_words.markdown(dropin_words.rows(study, drawn(study, [])), "x")
    assert "at a rate of 0.001 (the pretrained layers at 0.1 of it), from scratch" in text


def test_batches_of_waves_are_those_of_the_other_trainings(made_corpus):
    train, dev = (Waves(made_corpus.select(split=split)) for split in ("train", "dev"))
    batches = of_waves(train, dev, DATA, seed=3)
    same = TrainBatches(train, 16, 3, "class", None, 32)
    for ours, theirs in zip(batches.train(1), same(1), strict=True):
        assert torch.equal(ours.wave, theirs.wave) and torch.equal(ours.row, theirs.row)
    assert len(batches.dev) == 24 and len(batches.watch) == 48
    augmented = of_waves(train, dev, dataclasses.replace(DATA, augment=True), seed=3)
    assert not torch.equal(next(iter(augmented.train(1))).wave, next(iter(same(1))).wave)
