"""The pretrained encoders: shapes, positions, published weights brought to their names."""

import math
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ncdetect.encoders import DistillMOS, WhisperEncoder, pretrained
from ncdetect.encoders.distillmos import MAX_FRAMES
from ncdetect.encoders.whisper import WhisperMel, sinusoids
from ncdetect.models import build_model


def wave(seconds=1.0, clips=2):
    return torch.randn(clips, int(16_000 * seconds), generator=torch.Generator().manual_seed(0)) * 0.1


def test_whisper_gives_every_layer_at_50_frames_a_second():
    states = WhisperEncoder(48, layers=2, heads=4)(wave(1.5))
    assert [tuple(state.shape) for state in states] == [(2, 75, 48)] * 3


def test_whispers_positions_are_sines_then_cosines():
    positions = sinusoids(3, 6)
    rates = [1, math.exp(-math.log(10_000) / 2), 1e-4]
    for row in range(3):
        wanted = [math.sin(row * rate) for rate in rates] + [math.cos(row * rate) for rate in rates]
        np.testing.assert_allclose(positions[row], wanted, atol=1e-6)


def test_whispers_spectrogram_is_eight_decades_deep_and_ignores_level():
    mel = WhisperMel()
    loud, quiet = mel(wave()), mel(wave() / 10)
    assert loud.shape == (2, 80, 100) and float(loud.amax() - loud.amin()) <= 2.0 + 1e-6
    silent = wave().clone()
    silent[:, 8_000:] = 0
    depth = mel(silent).amax(dim=(1, 2)) - mel(silent).amin(dim=(1, 2))
    assert depth.tolist() == pytest.approx([2.0, 2.0])  # 8 decades / 4
    np.testing.assert_allclose(loud - quiet, 2 / 4, atol=1e-4)  # a tenth is two decades of power


def test_distillmos_ignores_level_and_tells_the_longest_clip():
    encoder = DistillMOS(layers=2).eval()
    with torch.inference_mode():
        states, louder = encoder(wave()), encoder(wave() * 5)
    assert [state.shape[2] for state in states] == [1024, 200, 200] and states[0].shape[1] == 50
    torch.testing.assert_close(states[-1], louder[-1], atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="at most 384 frames"):
        encoder.transformer(torch.zeros(1, MAX_FRAMES + 1, 1024))


def published_whisper(folder):
    encoder = WhisperEncoder(384, 4, 6)
    weights = {name: value.half() for name, value in encoder.state_dict().items()}
    save_file(weights | {"layer_norm.weight": torch.ones(384)}, folder / pretrained.WHISPER_FILE)
    return weights


def test_whispers_first_layers_are_read(tmp_path):
    weights = published_whisper(tmp_path)
    cut = pretrained.whisper_tiny(tmp_path, 2)
    assert len(cut.layers) == 2
    torch.testing.assert_close(cut.layers[1].fc1.weight.detach(), weights["layers.1.fc1.weight"].float())
    with pytest.raises(FileNotFoundError, match="there is no whisper"):
        pretrained.whisper_tiny(tmp_path / "elsewhere", 2)


def ctranslate2_form(encoder):
    """The bytes of a CTranslate2 model that holds an encoder, as float16, and something else."""
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    entries = {"decoder/scale": np.ones(3, np.float32)}
    for number in (1, 2):
        for kind in ("weight", "bias"):
            entries[f"encoder/conv{number}/{kind}"] = weights[f"conv{number}.{kind}"]
    for index in range(len(encoder.layers)):
        own, theirs = f"layers.{index}.", f"encoder/layer_{index}/"
        attention = f"{own}self_attn."
        joined = [weights[f"{attention}{name}_proj.weight"] for name in "qkv"]
        biases = [weights[f"{attention}q_proj.bias"], np.zeros(512), weights[f"{attention}v_proj.bias"]]
        entries[f"{theirs}self_attention/linear_0/weight"] = np.concatenate(joined)
        entries[f"{theirs}self_attention/linear_0/bias"] = np.concatenate(biases)
        for name, place in (
            ("self_attn.out_proj", "self_attention/linear_1"),
            ("fc1", "ffn/linear_0"),
            ("fc2", "ffn/linear_1"),
        ):
            for kind in ("weight", "bias"):
                entries[f"{theirs}{place}/{kind}"] = weights[f"{own}{name}.{kind}"]
        for norm, place in (("self_attn_layer_norm", "self_attention"), ("final_layer_norm", "ffn")):
            entries[f"{theirs}{place}/layer_norm/gamma"] = weights[f"{own}{norm}.weight"]
            entries[f"{theirs}{place}/layer_norm/beta"] = weights[f"{own}{norm}.bias"]

    def word(text):
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    data = struct.pack("<I", 6) + word("WhisperSpec") + struct.pack("<II", 3, len(entries))
    for name, values in entries.items():
        values = values.astype(np.float16)
        shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        data += word(name) + shape + struct.pack("<BI", 4, values.nbytes) + values.tobytes()
    return data


def published_whisper_base(folder):
    encoder = WhisperEncoder(512, 4, 8)
    (folder / pretrained.WHISPER_BASE_FILE).write_bytes(ctranslate2_form(encoder))
    return encoder


def test_whisper_base_is_read_from_ctranslate2s_form(tmp_path):
    published = published_whisper_base(tmp_path)
    found = pretrained.whisper_base(tmp_path, 3)
    assert len(found.layers) == 3
    wanted = published.state_dict()
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, wanted[name].half().float(), msg=name)


def test_what_is_no_ctranslate2_model_is_refused(tmp_path):
    file = tmp_path / pretrained.WHISPER_BASE_FILE
    with pytest.raises(FileNotFoundError, match="there is no whisper-base.bin"):
        pretrained.whisper_base(tmp_path, 3)
    file.write_bytes(ctranslate2_form(WhisperEncoder(512, 1, 8))[:-10])
    with pytest.raises(ValueError, match="whisper-base.bin is no model of CTranslate2's"):
        pretrained.whisper_base(tmp_path, 1)


def published_distillmos(folder):
    """The published file's names, with random weights."""
    encoder, generator = DistillMOS(), torch.Generator().manual_seed(0)
    head = "transformer_pool_attn."
    weights = {}
    for name, value in encoder.state_dict().items():
        value = torch.randn(value.shape, generator=generator) * 0.05
        if name.startswith("convolutions."):
            index, kind = name.removeprefix("convolutions.cnn.").split(".")
            weights[f"cnn.cnn.{2 * int(index)}.{kind}"] = value
        elif name.startswith("transformer.layers."):
            weights[f"{head}transformer.transformer_encoder.{name.removeprefix('transformer.')}"] = value
        elif "linear_proj" in name:
            weights[f"{head}{name}"] = value
    for norm in ("norm_input", "transformer.norm"):
        for part in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{head}{norm}.{part}"] = torch.rand(1024, generator=generator) + 0.5
    torch.save({"model": weights}, folder / pretrained.DISTILLMOS_FILE)
    return weights


def test_distillmos_is_read_with_its_two_normalisations_in_one(tmp_path):
    weights = published_distillmos(tmp_path)
    encoder = pretrained.distillmos(tmp_path)
    x = torch.rand(1, 3, 1024)
    wanted = x.transpose(1, 2)
    for norm in ("norm_input", "transformer.norm"):
        own = {part: weights[f"transformer_pool_attn.{norm}.{part}"] for part in ("weight", "bias")}
        mean, variance = (
            weights[f"transformer_pool_attn.{norm}.{part}"] for part in ("running_mean", "running_var")
        )
        wanted = torch.nn.functional.batch_norm(wanted, mean, variance, own["weight"], own["bias"])
    found = x * encoder.transformer.scale + encoder.transformer.offset
    torch.testing.assert_close(found, wanted.transpose(1, 2), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["listener", "light-listener", "small-listener"])
def test_a_detector_takes_the_encoders_in_the_same_order(tmp_path, name):
    published_whisper(tmp_path), published_whisper_base(tmp_path), published_distillmos(tmp_path)
    detector = build_model(name)
    pretrained.load(detector, tmp_path)
    mos = pretrained.distillmos(tmp_path)
    clips = wave(3.0)
    with torch.inference_mode():
        pooled = detector.backbone[0](detector.frontend(clips))
        clips = clips * 0.95 / clips.abs().amax(dim=1, keepdim=True)
        states = mos(clips)[: 1 + len(detector.backbone[0].mos.layers)]
        if name == "light-listener":
            states = pretrained.whisper_tiny(tmp_path, 3)(clips)[1:] + states
        if name == "listener":
            states = pretrained.whisper_base(tmp_path, 4)(clips)[1:] + states
    wanted = torch.cat([torch.cat([s.mean(1), s.std(1)], dim=1) for s in states], dim=1)
    assert pooled.shape == (2, detector.backbone[0].size)
    torch.testing.assert_close(pooled, wanted, atol=1e-4, rtol=1e-3)
