import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ncdetect import audio, loading, losses, training
from ncdetect.augment import WaveAugment
from ncdetect.loading import TrainBatches, Waves, WindowBatches, balanced_rows
from ncdetect.models import Detector, Output
from ncdetect.models.heads import CosineHead
from ncdetect.training import Recipe

RECIPE = Recipe(epochs=3, precision="32-true")


class Peaks(nn.Module):
    """A front end and backbone small enough for tests: log energies of eight bands, batch-normed."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.mix = nn.Linear(8, 6)
        self.dropout = nn.Dropout(0.2)

    def forward(self, wave):
        bands = torch.fft.rfft(wave).abs().square()[:, :24_000].reshape(len(wave), 8, -1)
        return torch.relu(self.mix(self.dropout(self.norm(torch.log(bands.mean(dim=2) + 1e-3)))))


def small(seed=0, head=None):
    torch.manual_seed(seed)
    detector = Detector(nn.Identity(), Peaks(), 6, head and head(6))
    detector.separate = ("head.",) if head else ()
    return detector


@pytest.fixture(scope="module")
def batches(made_corpus):
    train, dev = (Waves(made_corpus.select(split=split)) for split in ("train", "dev"))
    return (
        TrainBatches(train, batch_size=8, augment=WaveAugment(speed=0, room=0, rawboost=0, phone=0, codec=0)),
        WindowBatches(dev),
        WindowBatches(train, np.arange(0, 48, 3)),
    )


def fit(batches, folder, recipe=RECIPE, head=None, **options):
    detector = small(head=head)
    return detector, training.fit(detector, *batches, recipe, folder, **options)


def same_weights(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_training_learns_and_logs(batches, tmp_path):
    detector, result = fit(batches, tmp_path, dataclasses.replace(RECIPE, epochs=12, learning_rate=0.02))
    losses_ = [epoch.train_loss for epoch in result.history]
    assert losses_[-1] < 0.7 * losses_[0] and result.best.dev_eer < 0.2
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(len(result.history)))
    assert {"train_loss", "dev_loss", "dev_eer", "nc1_train", "nc4_train"} <= set(lines[0])
    # The detector holds the weights of the best epoch.
    held_out = training.embed(detector, batches[1])
    from ncdetect import metrics

    assert metrics.cllr(held_out.scores, held_out.labels) * np.log(2) == pytest.approx(result.best.dev_loss)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_waveforms_reach_the_front_end_as_they_are(batches, tmp_path, precision):
    detector, heard = small(), []
    detector.frontend.register_forward_hook(lambda _, inputs, __: heard.append(inputs[0].clone()))
    recipe = dataclasses.replace(RECIPE, epochs=1, precision=precision)
    training.fit(detector, *batches, recipe, tmp_path)
    first = next(iter(batches[0](0))).wave
    assert heard[0].dtype == torch.float32 and torch.equal(heard[0], first)


@pytest.mark.parametrize("killed_in", [1, 2])
@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {}),
        ({"average": 0.9}, {}),
        ({"schedule": "step", "halve_every": 1}, {"head": CosineHead, "loss": losses.oc_softmax_loss}),
    ],
    ids=["paper", "average", "two optimisers"],
)
def test_a_killed_run_goes_on_to_the_same_result(batches, tmp_path, killed_in, changes, options):
    recipe = dataclasses.replace(RECIPE, **changes)
    whole, result = fit(batches, tmp_path / "whole", recipe, **options)

    def kill(batches_, caption):
        for number, batch in enumerate(batches_):
            if caption == f"epoch {killed_in + 1}" and number == 2:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        fit(batches, tmp_path / "killed", recipe, **options, progress=kill)
    resumed, again = fit(batches, tmp_path / "killed", recipe, **options)
    assert same_weights(whole, resumed)
    assert np.array_equal(result.draws.rows, again.draws.rows)
    assert np.array_equal(result.draws.scores, again.draws.scores)
    strip = [dataclasses.replace(epoch, seconds=0) for epoch in result.history]
    assert [dataclasses.replace(epoch, seconds=0) for epoch in again.history] == strip
    # A finished run is not trained again.
    finished, _ = fit(
        batches, tmp_path / "killed", recipe, **options, progress=lambda *_: pytest.fail("trained again")
    )
    assert same_weights(whole, finished)


def test_every_draw_is_recorded_with_its_logit(batches, tmp_path):
    _, result = fit(batches, tmp_path)
    drawn = np.concatenate([batch.row for epoch in range(3) for batch in batches[0](epoch)])
    assert np.array_equal(result.draws.rows, drawn)
    # The first batch's logits are those of the untrained detector in training mode.
    detector = small().train()
    torch.manual_seed(RECIPE.seed * 100_003)
    first = next(iter(batches[0](0)))
    expected = detector(first.wave).score.detach().numpy()
    np.testing.assert_allclose(result.draws.scores[: len(expected)], expected, rtol=1e-4, atol=1e-5)


def test_collapse_by_epoch_knows_the_generators(batches, tmp_path, made_corpus):
    _, without = fit(batches, tmp_path / "a", dataclasses.replace(RECIPE, epochs=1))
    assert without.history[0].nc2_train is None and without.history[0].nc2_dev is None
    of_row = [
        np.array([0 if c.label == 0 else 1 + int(c.generator[-1]) for c in made_corpus.select(split=split)])
        for split in ("train", "dev")
    ]
    _, known = fit(batches, tmp_path / "b", dataclasses.replace(RECIPE, epochs=1), sources=tuple(of_row))
    epoch = known.history[0]
    assert 0 < epoch.nc2_train < 2 and 0 < epoch.nc2_dev < 2
    assert 0 <= epoch.nc3_train <= 4 and 0 <= epoch.nc3_dev <= 4
    assert dataclasses.replace(epoch, nc2_train=None, nc2_dev=None, seconds=0) == dataclasses.replace(
        without.history[0], seconds=0
    )


def test_the_cosine_schedule_rises_and_falls_to_zero():
    optimiser = torch.optim.Adam([nn.Parameter(torch.zeros(1))])

    def rate(done, **changes):
        training._set_rate(optimiser, Recipe(epochs=10, learning_rate=2.0, **changes), done)
        return optimiser.param_groups[0]["lr"]

    assert rate(0) == rate(9.9) == 2.0  # the paper's is constant
    assert rate(0, schedule="cosine") == pytest.approx(0.2)
    assert rate(5, schedule="cosine") == pytest.approx(1.0)  # half of the way, half of the peak
    assert rate(10, schedule="cosine") == pytest.approx(0)
    rates = [rate(done / 10, schedule="cosine") for done in range(100)]
    assert 1.9 < max(rates) < 2 and 8 <= int(np.argmax(rates)) <= 10


def test_the_step_schedule_halves_the_rate_every_so_many_epochs():
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))])

    def rate(done, **changes):
        training._set_rate(optimiser, Recipe(learning_rate=8.0, schedule="step", **changes), done)
        return optimiser.param_groups[0]["lr"]

    assert [rate(done) for done in (0, 9.99, 10, 19.99, 20, 99)] == [8, 8, 4, 4, 2, 8 / 2**9]
    assert [rate(done, halve_every=3) for done in (0, 2.9, 3, 6)] == [8, 8, 4, 2]


def test_what_is_separate_is_trained_by_plain_sgd():
    detector = small(head=CosineHead)
    before = {name: value.clone() for name, value in detector.named_parameters()}
    adam, sgd = training._optimisers(detector, Recipe(learning_rate=0.5, weight_decay=0.1))
    assert (type(adam), type(sgd)) == (torch.optim.Adam, torch.optim.SGD)
    assert adam.defaults["betas"] == (0.9, 0.999) and adam.defaults["weight_decay"] == 0.1
    for parameter in detector.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    adam.step()
    assert torch.equal(detector.head.centre, before["head.centre"])
    assert not any(
        torch.equal(value, before[n]) for n, value in detector.backbone.named_parameters("backbone")
    )
    moved = {name: value.clone() for name, value in detector.backbone.named_parameters()}
    sgd.step()
    assert torch.equal(detector.head.centre, before["head.centre"] - 0.5 * 0.25)  # neither moment nor decay
    assert all(torch.equal(value, moved[name]) for name, value in detector.backbone.named_parameters())
    # A detector that asks for nothing has Adam alone, for all of it.
    (adam,) = training._optimisers(small(), Recipe())
    assert len(adam.param_groups[0]["params"]) == len(list(small().parameters()))


def test_both_optimisers_follow_the_schedule(batches, tmp_path):
    detector = small(head=CosineHead)
    places = [detector.head.centre.detach().clone()]
    recipe = Recipe(8, patience=8, learning_rate=0.1, schedule="step", halve_every=1, precision="32-true")
    training.fit(
        detector, *batches, recipe, tmp_path, losses.oc_softmax_loss,
        epoch_done=lambda _: places.append(detector.head.centre.detach().clone()),
    )  # fmt: skip
    moves = [float((after - before).norm()) for before, after in zip(places, places[1:], strict=False)]
    assert moves[0] > 1e-3 and moves[-1] < moves[0] / 16


def test_a_run_from_before_a_field_of_the_recipe_existed_goes_on(batches, tmp_path):
    whole, _ = fit(batches, tmp_path / "whole")

    def kill(batches_, caption):
        if caption == "epoch 2":
            raise KeyboardInterrupt
        return batches_

    with pytest.raises(KeyboardInterrupt):
        fit(batches, tmp_path / "old", progress=kill)
    file = tmp_path / "old" / "state.safetensors"
    with safe_open(file, "pt") as saved:
        described = json.loads(saved.metadata()["state"])
    del described["recipe"]["halve_every"]
    save_file(load_file(file), file, {"state": json.dumps(described)})
    with pytest.raises(ValueError, match="another recipe"):
        fit(batches, tmp_path / "old", dataclasses.replace(RECIPE, halve_every=5))
    assert same_weights(whole, fit(batches, tmp_path / "old")[0])


def test_another_recipe_does_not_continue_a_run(batches, tmp_path):
    fit(batches, tmp_path, dataclasses.replace(RECIPE, epochs=1))
    with pytest.raises(ValueError, match="another recipe"):
        fit(batches, tmp_path, dataclasses.replace(RECIPE, epochs=1, learning_rate=0.5))


def test_early_stopping_waits_for_patience_epochs(batches, tmp_path):
    # A learning rate of almost nothing: the dev loss cannot fall for long.
    recipe = dataclasses.replace(RECIPE, epochs=50, patience=2, learning_rate=0.3)
    _, result = fit(batches, tmp_path, recipe)
    assert len(result.history) == result.best_epoch + 1 + 2 < 50


def test_a_loss_that_is_not_finite_is_told(batches, tmp_path):
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        fit(batches, tmp_path, loss=lambda output, labels: output.score.sum() * float("nan"))


def test_recalibrated_norms_hold_the_plain_statistics():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = nn.Dropout(0.9)
            self.norm = nn.BatchNorm1d(2, momentum=0.01)

        def forward(self, wave):
            return self.norm(self.dropout(wave))

    model = Model()
    data = [torch.randn(64, 2) * 3 + 5 for _ in range(4)]
    training.recalibrate_norms(model, [loading.Batch(wave, None, None) for wave in data])
    model.eval()
    assert model.norm.running_mean == pytest.approx(torch.cat(data).mean(dim=0), rel=1e-4)
    assert model.norm.running_var == pytest.approx(
        torch.stack([d.var(dim=0) for d in data]).mean(dim=0), rel=1e-4
    )
    assert model.norm.momentum == 0.01


def test_precision_choice_leaves_the_detector_as_it_was(batches):
    detector = small()
    assert training.choose_precision(detector, next(iter(batches[0](0)))) in ("32-true", "bf16-mixed")
    assert same_weights(detector, small())
    assert all(parameter.grad is None for parameter in detector.parameters())


def test_embedding_averages_the_windows_of_a_clip():
    class Sum:
        def __call__(self, wave):
            return Output(wave[:, :2], wave.sum(dim=1))

    rows = torch.tensor([4, 4, 2])
    wave = torch.tensor([[1.0, 2], [3, 6], [5, 5]])
    embedded = training.embed(Sum(), [loading.Batch(wave, torch.tensor([1, 1, 0]), rows)])
    assert embedded.rows.tolist() == [2, 4] and embedded.labels.tolist() == [0, 1]
    assert embedded.embeddings.tolist() == [[5, 5], [2, 4]] and embedded.scores.tolist() == [10, 6]
    with pytest.raises(ValueError, match="no clips"):
        training.embed(Sum(), [])


def test_bce_by_hand():
    output = Output(torch.zeros(2, 1), torch.tensor([0.0, np.log(3)]))
    # -ln(1/2) for the real, -ln(3/4) for the fake.
    assert losses.bce_loss(output, torch.tensor([0, 1])).item() == pytest.approx(
        (np.log(2) + np.log(4 / 3)) / 2
    )


@pytest.mark.parametrize("balance", ["none", "class", "corpus"])
@pytest.mark.parametrize("draws", [None, 10, 100])
def test_balanced_draws(made_corpus, balance, draws):
    manifest = made_corpus.select(split="train")
    # Unequal on purpose: 12 ant reals, 12 ant fakes, 12 bee reals, 4 bee fakes.
    clips = [c for c in manifest if not (c.corpus == "bee" and c.label == 1 and int(c.path[-6]) > 3)]
    clips = tuple(
        c
        for c in clips
        if not (c.corpus == "bee" and c.label == 1 and "fake-1" in c.path and len(c.path) > 21)
    )
    manifest = type(manifest)(manifest.root, clips)
    rows = balanced_rows(manifest, balance, np.random.default_rng(0), draws)
    wanted = draws or len(manifest)
    assert abs(len(rows) - wanted) <= 4
    times = np.bincount(rows, minlength=len(manifest))
    groups = np.array([f"{c.corpus}{c.label}" for c in clips])
    for group in set(groups):
        assert np.ptp(times[groups == group]) <= 1  # none a second time before all came once
    share = {group: times[groups == group].sum() for group in set(groups)}
    if balance != "none":
        assert abs(share["bee0"] - share["bee1"]) <= 1 and abs(share["ant0"] - share["ant1"]) <= 1
    if balance == "corpus":
        assert abs(share["ant0"] - share["bee0"]) <= 1
    assert np.array_equal(rows, balanced_rows(manifest, balance, np.random.default_rng(0), draws))


def test_crops_are_repeated_not_padded_and_depend_on_the_epoch(made_corpus):
    train = TrainBatches(Waves(made_corpus.select(split="train")), batch_size=48, balance="none")
    first, again, later = (next(iter(train(epoch))) for epoch in (0, 0, 1))
    assert first.wave.shape == (48, audio.WINDOW_SAMPLES)
    assert torch.equal(first.wave, again.wave) and not torch.equal(first.row, later.row)
    source = train.waves[int(first.row[0])]
    assert np.array_equal(first.wave[0].numpy(), audio.repeat_to(source, audio.WINDOW_SAMPLES))


def test_a_single_last_clip_makes_no_batch(made_corpus):
    train = TrainBatches(Waves(made_corpus.select(split="train")), batch_size=47, balance="none")
    assert [len(batch.row) for batch in train(0)] == [47]


def test_the_cache_has_a_bound_and_errors_name_the_file(made_corpus, tmp_path):
    manifest = made_corpus.select(split="dev")
    waves = Waves(manifest, limit_bytes=100_000)
    assert [len(waves[row]) for row in range(4)] == [len(waves[row]) for row in range(4)]
    assert len(waves._cache.kept) == 1
    broken = type(manifest)(tmp_path, manifest.clips[:1])
    with pytest.raises(ValueError, match=manifest.clips[0].path):
        Waves(broken)[0]
