"""Dropin and plasticity on small untrained detectors of every kind that can be widened."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

import test_wav2vec2
from ncdetect import training
from ncdetect.dropin import freeze_old, layers_of, new_parameters, prune, widen
from ncdetect.dropin.attention import WideMultiheadAttention, WideWhisperAttention
from ncdetect.dropin.parts import FrozenNorm, neurons
from ncdetect.dropin.recurrent import WideGRU
from ncdetect.encoders import WhisperEncoder
from ncdetect.encoders.whisper import Attention as WhisperAttention
from ncdetect.frontends import LogMel
from ncdetect.loading import Batch, TrainBatches, Waves, WindowBatches
from ncdetect.losses import bce_loss
from ncdetect.models import Detector, build_model
from ncdetect.models.gru import GRUNet, MeanProjection, gru
from ncdetect.models.resnet import ResidualBlock, ResNet
from ncdetect.training import Recipe

LABELS = torch.tensor([0, 1, 1, 0])


def waves(seed=0):
    return torch.randn(4, 6_000, generator=torch.Generator().manual_seed(seed)) * 0.1


class Hidden(nn.Module):
    """Whisper's last hidden states as features (B, F, L)."""

    def __init__(self):
        super().__init__()
        self.encoder = WhisperEncoder(24, 2, 3)

    def forward(self, wave):
        return self.encoder(wave)[-1].transpose(1, 2)


class Layers(nn.Module):
    """Two of torch's encoder layers on log-mel, norms last and norms first."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(80, 4, 60, dropout=0.0, batch_first=True, norm_first=first)
            for first in (False, True)
        )

    def forward(self, features):
        x = features.transpose(1, 2) / 4
        for layer in self.layers:
            x = layer(x)
        return x.mean(dim=1)


KINDS = {
    "residual": lambda: Detector(LogMel(), ResNet((1, 1), (6, 8), 0.1), 8),
    "gru": lambda: Detector(LogMel(), GRUNet(80, 8, 3, 6, 0.1), 6),
    "whisper": lambda: Detector(Hidden(), MeanProjection(24, 6, 0.1), 6),
    "torch": lambda: Detector(LogMel(), Layers(), 80),
    "wav2vec2": test_wav2vec2.tiny,
}
BLOCK = "backbone.blocks.1"


def made(kind):
    """A detector all parts of which have a say: none of its scales or statistics is left at 0 or 1."""
    torch.manual_seed(0)
    detector = KINDS[kind]()
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    with torch.no_grad():
        for seed in range(3):
            detector(waves(seed))
    return detector.eval()


def state(detector):
    return {name: value.clone() for name, value in detector.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def steps(detector, optimiser, count=3):
    detector.train()
    for seed in range(count):
        optimiser.zero_grad()
        bce_loss(detector(waves(seed)), LABELS).backward()
        optimiser.step()


@torch.inference_mode()
def said(detector):
    output = detector.eval()(waves(9))
    return torch.cat([output.embedding, output.score[:, None]], dim=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_widened_detector_says_what_the_old_one_says(kind, share):
    detector = made(kind)
    before = state(detector)
    wide = widen(detector, share)
    assert not wide.training and len(wide.widening.layers) == len(layers_of(detector)) >= 2
    torch.testing.assert_close(said(wide), said(detector), atol=1e-5, rtol=0)
    # The new neurons are there, and speak where they may.
    loud = said(widen(detector, share, keep_function=False))
    assert (loud - said(detector)).abs().max() > 1e-3
    assert same(state(detector), before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_new_size_is_that_share(kind, share):
    detector = made(kind)
    block, unit = "backbone.blocks.", "backbone.layers."
    name, per_layer = {
        "residual": (block + "1.conv1.new.weight", 8),
        "gru": (unit + "2.new.bias_ih", 8),
        "whisper": ("frontend.encoder.layers.0.self_attn.new.query.bias", 3 * 8),
        "torch": (unit + "1.linear1.new.bias", 60),
        "wav2vec2": ("frontend.model.encoder.layers.1.feed_forward.intermediate_dense.new.weight", 40),
    }[kind]
    shape = new_parameters(widen(detector, share))[name].shape
    assert share * per_layer == (shape[1] if kind == "gru" else shape[0])
    assert neurons(0.01, 16) == 1 and neurons(0.3, 16) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_new_weight_and_every_one_changes(kind):
    wide = widen(made(kind))
    start = state(wide)
    freeze_old(wide)
    # No weight decay: what changes does so by its gradient.
    steps(wide, torch.optim.Adam([p for p in wide.parameters() if p.requires_grad], lr=1e-2))
    for name, value in new_parameters(wide).items():
        assert value.grad is not None and value.grad.abs().max() > 0, name
        assert not torch.equal(value, start[name]), name
    assert (said(wide) - said(made(kind))).abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "optimiser",
    [
        lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.5),
        lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, weight_decay=0.1),
    ],
)
def test_dropin_leaves_the_old_ones_as_they_were_to_the_bit(kind, optimiser):
    wide = widen(made(kind))
    start, new = state(wide), set(new_parameters(wide))
    freeze_old(wide)
    assert {name for name, value in wide.named_parameters() if value.requires_grad} == new
    steps(wide, optimiser(wide.parameters()))  # of all of them
    training.recalibrate_norms(wide, [Batch(waves(seed), None, None) for seed in range(2)])
    for name, value in wide.state_dict().items():
        if ".new." not in name:
            assert torch.equal(value, start[name]), name
    if kind == "residual":  # the new channels' statistics are measured
        assert wide.get_submodule(BLOCK).norm1.new.running_mean.abs().max() > 0
    assert same(state(prune(wide)), state(made(kind)))


def test_a_fit_of_two_epochs_keeps_what_is_frozen(made_corpus, tmp_path):
    train, dev = (Waves(made_corpus.select(split=split)) for split in ("train", "dev"))
    wide = widen(made("residual"))
    start = state(wide)
    freeze_old(wide)
    recipe = Recipe(
        epochs=2, learning_rate=1e-2, optimiser="adamw", weight_decay=0.5, average=0.9, precision="32-true"
    )
    training.fit(
        wide, TrainBatches(train, 16), WindowBatches(dev), WindowBatches(train, np.arange(0, 48, 3)), recipe,
        tmp_path,
    )  # fmt: skip
    moved = {name for name, value in wide.state_dict().items() if not torch.equal(value, start[name])}
    assert all(".new." in name for name in moved) and moved >= set(new_parameters(wide))


@pytest.mark.parametrize("kind", KINDS)
def test_pruning_takes_the_new_neurons_and_leaves_the_old_as_trained(kind):
    detector = made(kind)
    wide = widen(detector)
    assert torch.equal(said(prune(wide)), said(detector))
    steps(wide, torch.optim.Adam(wide.parameters(), lr=1e-2))  # plasticity: all of it
    pruned = prune(wide)
    assert pruned.training and not new_parameters(pruned)
    trained = {name.replace(".old.", "."): v for name, v in state(wide).items() if ".new." not in name}
    assert same(state(pruned), trained) and not same(trained, state(detector))
    KINDS[kind]().load_state_dict(pruned.state_dict())  # the plain architecture
    steps(pruned, torch.optim.Adam(pruned.parameters(), lr=1e-2))
    assert not same(state(pruned), trained)


def test_pruning_thaws_what_dropin_froze():
    detector = made("residual")
    wide = widen(detector, layers=[BLOCK])
    freeze_old(wide)
    pruned = prune(wide)
    assert all(parameter.requires_grad for parameter in pruned.parameters())
    kinds = [type(module) for module in detector.modules()]
    assert [type(module) for module in pruned.modules()] == kinds
    assert pruned.backbone.norm.momentum == detector.backbone.norm.momentum
    pruned.train()(waves())
    assert not torch.equal(pruned.backbone.norm.running_mean, detector.backbone.norm.running_mean)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_one_is_rebuilt_from_its_arguments(kind, tmp_path):
    wide = widen(made(kind), 0.5, layers="random", count=1, seed=3)
    steps(wide, torch.optim.Adam(wide.parameters(), lr=1e-2))
    save_file(wide.state_dict(), tmp_path / "wide.safetensors")
    rebuilt = widen(KINDS[kind](), **dataclasses.asdict(wide.widening))
    rebuilt.load_state_dict(load_file(tmp_path / "wide.safetensors"))
    assert torch.equal(said(rebuilt), said(wide)) and rebuilt.widening == wide.widening
    # Frozen or not, the weights have the same names.
    freeze_old(wide)
    rebuilt.load_state_dict(wide.state_dict())


def test_only_the_layers_that_are_named_are_widened():
    wide = widen(made("gru"), layers=["backbone.layers.1"])
    # The layer itself, and what the next one hears of it.
    assert {name.rsplit(".new.")[0] for name in new_parameters(wide)} == {
        "backbone.layers.1", "backbone.layers.2",
    }  # fmt: skip
    assert set(new_parameters(wide)) >= {"backbone.layers.1.new.incoming", "backbone.layers.2.new.inputs"}
    wide = widen(made("residual"), layers=[BLOCK])
    assert all(name.startswith(f"{BLOCK}.") for name in new_parameters(wide))
    assert layers_of(build_model("tiny-resnet")) == [f"backbone.blocks.{i}" for i in range(9)]
    assert layers_of(build_model("small-listener")) == [f"backbone.0.mos.layers.{i}" for i in range(4)]


def test_random_layers_and_weights_follow_the_seed_alone():
    detector = made("gru")
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    wide = widen(detector, layers="random", count=2, seed=1)
    assert torch.equal(torch.rand(3), wanted)  # the draws of others are not disturbed
    torch.rand(5)
    assert same(state(wide), state(widen(detector, layers="random", count=2, seed=1)))
    drawn = {widen(detector, layers="random", count=2, seed=seed).widening.layers for seed in range(8)}
    assert drawn == {tuple(f"backbone.layers.{i}" for i in pair) for pair in ((0, 1), (0, 2), (1, 2))}
    same_layers = widen(detector, layers=wide.widening.layers[::-1], seed=1)
    assert same(state(wide), state(same_layers)) and same_layers.widening == wide.widening
    other = widen(detector, layers=wide.widening.layers, seed=2)
    assert not same(state(wide), state(other))


def test_what_cannot_be_is_told():
    detector = made("gru")
    for options, said_ in (
        ({"share": 0.0}, "share must be above 0, got 0.0"),
        ({"layers": ["head"]}, r"cannot widen \['head'\]; allowed: backbone.layers.0, "),
        ({"layers": []}, "cannot widen no layer; allowed: backbone.layers.0, "),
        ({"layers": "random"}, "count goes with layers='random', got layers='random' and count=None"),
        ({"count": 1}, "count goes with layers='random', got layers=None and count=1"),
        ({"layers": "random", "count": 4}, "count must be 1 to 3, got 4"),
    ):
        with pytest.raises(ValueError, match=said_):
            widen(detector, **options)
    with pytest.raises(ValueError, match="widened already: prune it first"):
        widen(widen(detector))
    for refuse in (freeze_old, prune):
        with pytest.raises(ValueError, match="no new neurons"):
            refuse(detector)
    with pytest.raises(ValueError, match="cannot widen no layer; allowed: none"):
        widen(Detector(LogMel(), nn.Identity(), 80))


def test_new_neurons_do_not_count_as_pretrained():
    detector = made("whisper")
    detector.pretrained = ("frontend.",)
    wide = widen(detector)
    old = {name for name in state(wide) if name.startswith("frontend.") and ".new." not in name}
    assert set(wide.pretrained) == old
    assert set(prune(wide).pretrained) == {name for name in state(detector) if name.startswith("frontend.")}
    assert widen(made("gru")).pretrained == ()


def gates_by_hand(x, old, new):
    """A GRU's equations (torch.nn.GRU) over the steps of one clip, old and new weights joined by numpy."""
    rows = [np.split(part.detach().numpy().astype(np.float64), 3) for part in old.parameters()]
    new = {name: value.detach().numpy().astype(np.float64) for name, value in new.items()}
    gates = []
    for g in range(3):
        w_ih, w_hh, b_ih, b_hh = (part[g] for part in rows)
        w_ih = np.block([[w_ih, new["inputs"][g]], [new["incoming"][g]]])
        w_hh = np.block([[w_hh, new["back"][g]], [new["recurrent"][g]]])
        b_ih, b_hh = (
            np.append(b, new[name][g]) for b, name in zip((b_ih, b_hh), ("bias_ih", "bias_hh"), strict=True)
        )
        gates.append((w_ih, w_hh, b_ih, b_hh))
    h, states = np.zeros(len(gates[0][2])), []
    for step in x:
        (ri, rh, rbi, rbh), (zi, zh, zbi, zbh), (ni, nh, nbi, nbh) = gates
        r = 1 / (1 + np.exp(-(ri @ step + rbi + rh @ h + rbh)))
        z = 1 / (1 + np.exp(-(zi @ step + zbi + zh @ h + zbh)))
        n = np.tanh(ni @ step + nbi + r * (nh @ h + nbh))
        h = (1 - z) * n + z * h
        states.append(h)
    return np.array(states)


def test_a_widened_gru_by_its_equations():
    torch.manual_seed(0)
    layer = WideGRU(nn.GRU(3, 4, batch_first=True))
    layer.add_inputs(2)
    layer.add_units(3)
    x = torch.randn(1, 6, 5)
    states, last = layer(x)
    np.testing.assert_allclose(
        states[0].detach().numpy(), gates_by_hand(x[0].numpy(), layer.old, layer.new), atol=1e-5
    )
    torch.testing.assert_close(last[0], states[:, -1])


def heads_by_hand(x, attention, q, k, v):
    """Of one clip: each head's logits over the root of its OLD size; queries, keys and values are given."""
    size, count = attention.sizes
    q2, k2, v2 = (attention.new[name](x).detach() for name in ("query", "key", "value"))
    old, new = [], []
    for head in range(attention.heads):
        first = slice(head * size, (head + 1) * size)
        second = slice(head * count, (head + 1) * count)
        logits = (q[:, first] @ k[:, first].T + q2[:, second] @ k2[:, second].T) / size**0.5
        weights = logits.softmax(dim=1)
        old.append(weights @ v[:, first])
        new.append(weights @ v2[:, second])
    return attention.old.out_proj(torch.cat(old, 1)) + attention.new.output(torch.cat(new, 1))


@pytest.mark.parametrize("kind", ["whisper", "torch"])
def test_widened_attention_by_hand(kind):
    torch.manual_seed(0)
    x = torch.randn(1, 7, 12)
    if kind == "whisper":
        attention = WideWhisperAttention(WhisperAttention(12, 3), share=0.5)
        old, found = attention.old, attention(x)
        q, k, v = (layer(x[0]) for layer in (old.q_proj, old.k_proj, old.v_proj))
    else:
        attention = WideMultiheadAttention(nn.MultiheadAttention(12, 3, batch_first=True), share=0.5)
        old, found = attention.old, attention(x, x, x)[0]
        q, k, v = (
            F.linear(x[0], w, b)
            for w, b in zip(old.in_proj_weight.chunk(3), old.in_proj_bias.chunk(3), strict=True)
        )
    assert attention.sizes == [4, 2]
    torch.testing.assert_close(found[0], heads_by_hand(x[0], attention, q, k, v))


def test_of_new_queries_and_keys_only_the_queries_start_at_zero():
    new = new_parameters(widen(made("whisper"), layers=["frontend.encoder.layers.0"]))
    zero = {
        name.rsplit("self_attn.new.")[1] for name, v in new.items() if "self_attn" in name and not v.any()
    }
    assert zero == {"query.weight", "query.bias", "value.bias", "output.weight"}


def test_a_widened_block_is_a_block_with_more_kernels():
    torch.manual_seed(0)
    detector = made("residual")
    wide = widen(detector, 0.5, keep_function=False)
    block: ResidualBlock = wide.get_submodule(BLOCK)
    assert block.conv1.new.stride == (2, 2) and block.conv2.old.out_channels == 8
    x = torch.randn(2, 6, 9, 11)
    inner = F.conv2d(x, torch.cat([block.conv1.old.weight, block.conv1.new.weight]), stride=2, padding=1)
    norms = [block.norm1.old, block.norm1.new]
    inner = F.batch_norm(
        inner,
        *(torch.cat([getattr(norm, name) for norm in norms])
          for name in ("running_mean", "running_var", "weight", "bias")),
    )  # fmt: skip
    outer = torch.cat([block.conv2.old.weight, block.conv2.new.weight], dim=1)
    outer = block.norm2(F.conv2d(F.relu(inner), outer, padding=1))
    torch.testing.assert_close(block(x), F.relu(outer + block.shortcut(x)))


def test_torchs_fused_path_does_not_pass_new_neurons_by():
    wide = widen(made("torch"), keep_function=False).eval()
    with torch.inference_mode():
        fused = wide(waves()).score
    torch.testing.assert_close(wide(waves()).score, fused)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_a_frozen_norm_is_the_norm_in_eval_mode_for_ever(kind):
    torch.manual_seed(0)
    norm = kind(3, eps=1e-3, momentum=0.2)
    x = torch.randn(5, 3, 4) if kind is nn.BatchNorm1d else torch.randn(5, 3, 4, 2)
    norm(x * 2 + 1)
    kept, wanted = copy.deepcopy(norm), norm.eval()(x)
    frozen = FrozenNorm(norm).train()
    torch.testing.assert_close(frozen(x), wanted)
    assert same(state(frozen), state(kept))
    thawed = frozen.thawed()
    assert type(thawed) is kind and (thawed.eps, thawed.momentum) == (1e-3, 0.2)
    assert same(state(thawed), state(kept))


def test_modes_are_taken_over():
    detector = gru(width=8)
    assert all(module.training for module in widen(detector).modules())
    assert not any(module.training for module in widen(detector.eval()).modules())
