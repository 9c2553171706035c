"""AASIST against the published scores, its layers against loops, its filters against numpy."""

import csv
import pickle

import numpy as np
import pytest
import soundfile
import torch

from ncdetect.models import aasist_weights, build_model
from ncdetect.models.aasist import CLIP_SAMPLES, CLIPS_AT_ONCE, AasistBackbone, ResidualBlock, SincBands
from ncdetect.models.graph import GraphAttention, GraphPool, HeterogeneousAttention

NAMES = ("aasist", "aasist-l")
WEIGHTS = {"aasist": "aasist.pth", "aasist-l": "aasist-l.pth"}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scrambled(module):
    """In eval mode, with every weight and statistic drawn, so that none is neutral."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
        for parameter in module.parameters():
            parameter.sub_(0.6)
    return module.eval()


# The published scores


@pytest.mark.parametrize("name", NAMES)
def test_the_published_scores_are_reproduced(name, corpora_root):
    folder = corpora_root.parent / "weights"
    if not (folder / WEIGHTS[name]).is_file():
        pytest.skip("../shared/weights is not beside this checkout")
    detector = build_model(name)
    aasist_weights.load(detector, folder / WEIGHTS[name])
    with (folder / "aasist_golden.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Some of 3.2 s, the shortest (1 s) and the one where a different pooling share shows most.
    for row in rows[:2] + [row for row in rows if row["path"][5:9] in ("f410", "f6ef")]:
        wave, _ = soundfile.read(corpora_root / row["path"], dtype="float32")
        with torch.inference_mode():
            score = detector(torch.from_numpy(wave)[None]).score.item()
        assert -score == pytest.approx(float(row[name.replace("-", "_")]), abs=1e-4)


def published(name, seed=0):
    """A state as it is published, with the same numbers in the places that the names say."""
    rest = {
        "norm": "bn", "score": "proj", "temporal": "proj_type1", "spectral": "proj_type2",
        "pair": "att_proj", "master_pair": "att_projM", "weight_temporal": "att_weight11",
        "weight_spectral": "att_weight22", "weight_between": "att_weight12", "master_weight": "att_weightM",
    }  # fmt: skip
    state = {}
    torch.manual_seed(seed)
    detector = build_model(name)
    for key, value in detector.backbone.state_dict().items():
        place, *parts = key.split(".")
        if place == "position":
            key = "pos_S"
        elif place == "norm":
            key = f"first_bn.{parts[0]}"
        elif place == "encoder":
            number, *parts = parts
            parts = [{"norm": "bn2", "shortcut": "conv_downsample"}.get(part, part) for part in parts]
            key = ".".join(["encoder", number, "0", *parts])
        else:
            if place == "branches":
                branch = int(parts.pop(0)) + 1
                layer = parts.pop(0)
                start = {
                    "master": f"master{branch}", "first": f"HtrgGAT_layer_ST{branch}1",
                    "second": f"HtrgGAT_layer_ST{branch}2", "temporal_pool": f"pool_hT{branch}",
                    "spectral_pool": f"pool_hS{branch}",
                }[layer]  # fmt: skip
            else:
                kind = ("GAT_layer_", "pool_")[int(parts.pop(0))]
                start = kind + place[0].upper()
                if kind == "GAT_layer_" and parts == ["weight"]:
                    parts = ["att_weight"]
            text = ".".join([start, *(rest.get(part, part) for part in parts)])
            for ours, theirs in (
                ("master_gather.attended", "proj_with_attM"), ("master_gather.own", "proj_without_attM"),
                ("gather.attended", "proj_with_att"), ("gather.own", "proj_without_att"),
            ):  # fmt: skip
                text = text.replace(ours, theirs)
            key = text
        state[key] = value
    state["encoder.1.0.bn1.weight"] = torch.ones(32)  # stands in the file and is not used
    state["out_layer.weight"], state["out_layer.bias"] = draw(2, 160), torch.tensor([0.5, 0.25])
    return state, detector


@pytest.mark.parametrize("name", NAMES)
def test_published_names_find_their_places(name, tmp_path):
    state, source = published(name)
    torch.save(state, tmp_path / "weights.pth")
    torch.manual_seed(1)
    detector = build_model(name)
    aasist_weights.load(detector, tmp_path / "weights.pth")
    assert not detector.training
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(detector.backbone.state_dict()[key], value), key
    # The score is minus the logit of bona fide, the second of the two.
    embedding = draw(3, 160, seed=2)
    bona_fide = embedding @ state["out_layer.weight"][1] + 0.25
    torch.testing.assert_close(detector.classify(embedding).detach(), -bona_fide)


def test_other_weights_are_named(tmp_path):
    state, detector = published("aasist-l")
    with pytest.raises(FileNotFoundError, match="there is no x.pth"):
        aasist_weights.load(detector, tmp_path / "x.pth")
    torch.save(state, tmp_path / "light.pth")
    with pytest.raises(ValueError, match="other weights than this detector's"):
        aasist_weights.load(build_model("aasist"), tmp_path / "light.pth")
    torch.save(state | {"GAT_layer_X.bn.weight": torch.ones(1)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="other weights than this detector's: 'GAT_layer_X'"):
        aasist_weights.load(detector, tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes((tmp_path / "light.pth").read_bytes()[:1000])
    with pytest.raises(ValueError, match="does not hold weights"):
        aasist_weights.load(detector, tmp_path / "x.pth")


def test_a_published_file_is_read_as_data_only(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    torch.save(Bomb(), tmp_path / "zipped.pth")
    for file in ("bomb.pth", "zipped.pth"):
        with pytest.raises(ValueError, match="does not hold weights"):
            aasist_weights.load(build_model("aasist-l"), tmp_path / file)


# The front end


def test_sinc_filters_by_hand():
    filters = SincBands().filters[:, 0].numpy()
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 71)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    n = np.arange(-64, 65)

    def low_pass(cut):
        return 2 * cut / 16_000 * np.sinc(2 * cut / 16_000 * n)

    for band in (0, 33, 69):
        wanted = np.hamming(129) * (low_pass(hertz[band + 1]) - low_pass(hertz[band]))
        np.testing.assert_allclose(filters[band], wanted, atol=1e-7)
    # Side by side they pass everything: together they are one impulse.
    np.testing.assert_allclose(filters.sum(axis=0), n == 0, atol=1e-6)


def test_features_by_hand():
    front_end = SincBands()
    wave = draw(1, CLIP_SAMPLES) * 0.1
    features = front_end(wave)
    assert features.shape == (1, 23, 21_490)
    filtered = [np.convolve(wave[0], taps[0], "valid") for taps in front_end.filters[6:9].numpy()]
    wanted = np.abs(filtered)[:, 300:360].reshape(3, 20, 3).max(axis=(0, 2))
    np.testing.assert_allclose(features[0, 2, 100:120], wanted, rtol=1e-4)


def test_clips_are_repeated_or_cut_at_the_start():
    front_end = SincBands()
    short, long = draw(2, 20_000), draw(2, CLIP_SAMPLES + 5000)
    repeated = torch.from_numpy(np.stack([np.resize(row, CLIP_SAMPLES) for row in short.numpy()]))
    assert torch.equal(front_end(short), front_end(repeated))
    assert torch.equal(front_end(long), front_end(long[:, :CLIP_SAMPLES]))
    assert not front_end(torch.zeros(1, 1)).any()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(front_end(short), front_end(repeated))
    for shape in ((48_000,), (1, 0), (1, 1, 48_000)):
        with pytest.raises(ValueError, match=r"must have shape \(B, T\)"):
            front_end(torch.zeros(shape))


# The layers, against loops over their nodes


def numbers(module):
    """Weights as arrays; `linear(name, x)` applies a layer of them."""
    state = {name: value.double().numpy() for name, value in module.state_dict().items()}
    return state, lambda name, x: state[f"{name}.weight"] @ x + state[f"{name}.bias"]


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def selu(x):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


def normalise(state, x):
    scale = state["norm.weight"] / np.sqrt(state["norm.running_var"] + 1e-5)
    return (x - state["norm.running_mean"]) * scale + state["norm.bias"]


def test_graph_attention_against_loops():
    layer = scrambled(GraphAttention(3, 2, temperature=0.5))
    nodes = draw(2, 4, 3)
    state, linear = numbers(layer)
    for clip, found in zip(nodes.double().numpy(), layer(nodes).detach(), strict=True):
        for own, wanted in zip(clip, found, strict=True):
            likeness = [np.tanh(linear("pair", own * other)) @ state["weight"][:, 0] for other in clip]
            heard = softmax(np.array(likeness) / 0.5) @ clip
            new = linear("gather.attended", heard) + linear("gather.own", own)
            np.testing.assert_allclose(wanted, selu(normalise(state, new)), rtol=1e-4, atol=1e-5)


def test_heterogeneous_attention_against_loops():
    layer = scrambled(HeterogeneousAttention(3, 2, temperature=0.5))
    frames, bands, master = draw(2, 4, 3), draw(2, 2, 3, seed=1), draw(2, 1, 3, seed=2)
    state, linear = numbers(layer)
    weight = {
        "tt": "weight_temporal",
        "ss": "weight_spectral",
        "ts": "weight_between",
        "st": "weight_between",
    }
    kinds = "ttttss"
    out_frames, out_bands, out_master = layer(frames, bands, master)
    assert out_frames.shape == (2, 4, 2) and out_bands.shape == (2, 2, 2) and out_master.shape == (2, 1, 2)
    for clip in range(2):
        nodes = [linear("temporal", x) for x in frames[clip].double().numpy()]
        nodes += [linear("spectral", x) for x in bands[clip].double().numpy()]
        found = torch.cat([out_frames[clip], out_bands[clip]]).detach()
        for kind, own, wanted in zip(kinds, nodes, found, strict=True):
            likeness = [
                np.tanh(linear("pair", own * other)) @ state[weight[kind + to]][:, 0]
                for to, other in zip(kinds, nodes, strict=True)
            ]
            heard = softmax(np.array(likeness) / 0.5) @ np.array(nodes)
            new = linear("gather.attended", heard) + linear("gather.own", own)
            np.testing.assert_allclose(wanted, selu(normalise(state, new)), rtol=1e-4, atol=1e-5)
        own = master[clip, 0].double().numpy()
        likeness = [np.tanh(linear("master_pair", own * x)) @ state["master_weight"][:, 0] for x in nodes]
        heard = softmax(np.array(likeness) / 0.5) @ np.array(nodes)
        new = linear("master_gather.attended", heard) + linear("master_gather.own", own)
        np.testing.assert_allclose(out_master[clip, 0].detach(), new, rtol=1e-4, atol=1e-5)


def test_pooling_by_hand():
    pool = GraphPool(1, share=0.5).eval()
    with torch.no_grad():
        pool.score.weight.fill_(1)
        pool.score.bias.fill_(0)
    # Scores are the sigmoids of the nodes: 3/4, 1/2, 9/10, 1/4, 1/3; two of five are kept, the best first.
    nodes = torch.tensor([3, 1, 9, 1 / 3, 1 / 2]).log()[None, :, None]
    kept = pool(nodes).flatten().tolist()
    assert kept == pytest.approx([0.9 * np.log(9), 0.75 * np.log(3)])
    assert pool(nodes[:, :1]).shape == (1, 1, 1)  # one at least


def test_a_block_convolves_its_input_as_it_is():
    block = ResidualBlock(4, 6).eval()
    x = draw(1, 4, 23, 40)
    seen = {}
    for name in ("conv1", "shortcut"):
        getattr(block, name).register_forward_pre_hook(
            lambda _, args, name=name: seen.update({name: args[0]})
        )
    assert block(x).shape == (1, 6, 23, 13)
    assert seen["conv1"] is x and seen["shortcut"] is x


def small_backbone():
    return scrambled(AasistBackbone((2, 3, 4, 4, 4, 4), 0.4, 0.5, 0.7))


def test_the_embedding_is_read_from_both_branches():
    backbone = small_backbone()
    seen = []
    for branch in backbone.branches:
        branch.register_forward_hook(lambda *call: seen.append(call[2]))
    embedding = backbone(draw(2, 23, 12_000).abs())
    assert embedding.shape == (2, 160)
    frames, bands, master = (torch.maximum(a, b) for a, b in zip(*seen, strict=True))
    assert frames.shape == (2, 5, 32) and bands.shape == (
        2,
        6,
        32,
    )  # int(0.7 int(0.5 16)), int(0.7 int(0.4 23))
    parts = [frames.abs().amax(1), frames.mean(1), bands.abs().amax(1), bands.mean(1), master[:, 0]]
    assert torch.equal(embedding, torch.cat(parts, dim=1))


def test_a_large_batch_is_encoded_in_parts_and_the_same():
    backbone = small_backbone()
    features = draw(CLIPS_AT_ONCE + 3, 23, 2400).abs()
    sizes = []
    backbone.encoder.register_forward_hook(lambda _, args, output: sizes.append(len(output)))
    whole = backbone(features).detach()
    with torch.no_grad():
        torch.testing.assert_close(backbone(features), whole)
        assert sizes == [CLIPS_AT_ONCE + 3, CLIPS_AT_ONCE, 3]
        backbone.norm.train()
        backbone(features)  # statistics are those of the whole batch
    assert sizes[3:] == [CLIPS_AT_ONCE + 3]


def test_every_layer_can_be_watched_backwards():
    # Operations in place would raise here.
    backbone = small_backbone().train()
    seen = set()
    for name, module in backbone.named_modules():
        module.register_full_backward_hook(lambda *_, name=name: seen.add(name))
    features = draw(2, 23, 2400).abs().requires_grad_()
    backbone(features).square().sum().backward()
    assert features.grad.abs().sum() > 0
    assert {"encoder.0.norm", "encoder.5.conv2", "spectral.0.pair", "branches.1"} <= seen
