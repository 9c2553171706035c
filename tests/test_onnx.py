import dataclasses
import shutil

import numpy as np
import pytest
import torch

from conftest import REPOSITORY
from ncdetect import backends, folding
from ncdetect.checkpoint import CheckpointError
from ncdetect.cli import app
from ncdetect.frontends import LogBands
from ncdetect.models import Detector
from ncdetect.models.listener import ListenerBackbone, ListenerFrontEnd, Whisper
from ncdetect.models.resnet import ResNet
from ncdetect.predictor import Predictor

pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

import onnx as onnx_package  # noqa: E402 - where it is installed
from onnx import numpy_helper  # noqa: E402

from ncdetect import onnx  # noqa: E402

EXAMPLES = sorted((REPOSITORY / "assets" / "examples").glob("*.flac"))


@pytest.fixture(scope="module")
def clips(made_corpus):
    return [made_corpus.file(clip) for clip in made_corpus.select(split="eval")]


@pytest.fixture(scope="module")
def exported(made_checkpoint, clips, tmp_path_factory):
    """The made checkpoint with its graph beside the weights."""
    folder = tmp_path_factory.mktemp("exported") / "made"
    shutil.copytree(made_checkpoint, folder)
    file, parity = onnx.export(str(folder), clips=clips)
    assert file == folder / "model.onnx"
    return folder, parity


# --- the transform -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [320, 400, 512, 640])
def test_the_folded_transform_is_that_of_torch(size):
    wave = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, 5_000)).astype(np.float32))
    window = torch.hann_window(size)
    expected = torch.stft(wave, size, 160, window=window, center=False, return_complex=True)
    found = folding.folded_stft(wave, size, 160, window)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()


def test_a_cosine_in_the_folded_transform():
    # A periodic Hann window sums to N / 2 = 32, halved by the cosine; its lobes are half of that, and turned.
    wave = torch.cos(2 * torch.pi * torch.arange(64) / 16)[None]
    found = folding.folded_stft(wave, 64, 16, torch.hann_window(64))[0, :, 0]
    assert found[4] == pytest.approx(16, abs=1e-4)
    assert found[3] == pytest.approx(-8, abs=1e-4) and found[5] == pytest.approx(-8, abs=1e-4)
    assert found[[0, 1, 2, 6, 10, 32]].abs().max() < 1e-4


def test_which_windows_fold():
    assert folding.folds(torch.hann_window(320))
    assert not folding.folds(torch.hamming_window(320))  # does not begin at zero
    assert not folding.folds(torch.hann_window(320, periodic=False))
    assert not folding.folds(torch.hann_window(322))


def test_a_window_that_does_not_fold_is_exported_as_it_is():
    torch.manual_seed(0)
    bands = LogBands(torch.rand(257, 20), torch.hamming_window(320), 160, 1e-6)
    detector = Detector(bands, ResNet((1,), (8,), 0.3), embedding_dim=8).eval()
    graph = onnx.graph_of(detector)
    assert "STFT" in {node.op_type for node in graph.graph.node}
    _same(graph, detector, 1e-4)


# --- the graph ---------------------------------------------------------------------------------------------


def _same(graph, detector, tolerance):
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        wave = np.random.default_rng(count).normal(0, 0.1, (count, 48_000)).astype(np.float32)
        with torch.inference_mode():
            expected = detector(torch.from_numpy(wave))
        embedding, score = session.run(["embedding", "score"], {"wave": wave})
        np.testing.assert_allclose(embedding, expected.embedding, atol=tolerance)
        np.testing.assert_allclose(score, expected.score, atol=tolerance)


def test_any_batch_of_the_encoders():
    torch.manual_seed(0)
    whisper = Whisper(width=64, heads=2, layers=2)
    detector = Detector(
        ListenerFrontEnd(whisper), ListenerBackbone(whisper, 1, 32, 0.3), embedding_dim=32
    ).eval()
    graph = onnx.graph_of(detector)
    assert "STFT" not in {node.op_type for node in graph.graph.node}
    _same(graph, detector, 1e-4)


def test_the_graph_tells_whose_it_is_and_nothing_of_this_machine(exported):
    folder, _ = exported
    model = onnx_package.load(folder / "model.onnx")
    onnx_package.checker.check_model(model, full_check=True)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    predictor = Predictor.from_pretrained(folder)
    assert facts["sha256"] == predictor.trained.sha256 and facts["checkpoint"] == "made"
    assert facts["sample_rate_hz"] == "16000" and facts["architecture"] == "tiny-resnet"
    assert facts["version"] and facts["precision"] == "32-true"
    wave = model.graph.input[0].type.tensor_type.shape.dim
    assert wave[0].dim_param and wave[1].dim_value == 48_000
    assert str(REPOSITORY).encode() not in (folder / "model.onnx").read_bytes()


def test_the_backend_gives_the_verdicts_of_pytorch(exported, clips):
    folder, parity = exported
    assert parity.clips == len(clips) and parity.changed == () and parity.score_error < 1e-4
    torch_door, onnx_door = (Predictor.from_pretrained(folder, backend=name) for name in ("torch", "onnx"))
    assert onnx_door.backend.providers == ("CPUExecutionProvider",)
    one, other = torch_door.check(clips[0]), onnx_door.check(clips[0])
    assert one.model == other.model and one.reason == other.reason and one.score != other.score
    assert other.distance_real == pytest.approx(one.distance_real, abs=1e-3)
    assert [near.path for near in one.neighbours] == [near.path for near in other.neighbours]


def test_a_graph_that_differs_leaves_no_file(exported, made_checkpoint, clips, tmp_path, monkeypatch):
    def doctored(_):
        model = onnx_package.load(folder / "model.onnx")
        bias = next(part for part in model.graph.initializer if part.name.endswith("head.bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(2e-4), bias.name))
        return model

    folder, _ = exported
    monkeypatch.setattr(onnx, "graph_of", doctored)
    with pytest.raises(onnx.ExportError, match="not written"):
        onnx.export(str(made_checkpoint), tmp_path / "out", clips=clips[:2])
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_without_clips_is_refused(made_checkpoint, tmp_path):
    with pytest.raises(ValueError, match="no clips"):
        onnx.export(str(made_checkpoint), tmp_path, clips=[])
    assert list(tmp_path.iterdir()) == []


def test_changed_verdicts_are_counted(made_checkpoint, clips):
    predictor = Predictor.from_pretrained(made_checkpoint)
    strict = Predictor(predictor.trained, "strict")
    strict.config = dataclasses.replace(predictor.config, novelty_distance=1e-9)
    decided = [clip for clip in clips if predictor.check(clip).verdict != "undecided"]
    parity = onnx.Parity.of(predictor, strict, clips)
    assert parity.score_error == 0 and parity.changed == tuple(clip.name for clip in decided)


# --- int8 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calibrated", [True, False])
def test_int8_is_smaller_and_close(exported, clips, made_corpus, tmp_path, monkeypatch, calibrated):
    folder, _ = exported
    monkeypatch.setattr(onnx, "graph_of", lambda _: onnx_package.load(folder / "model.onnx"))
    dev = made_corpus.select(split="dev")
    calibration = [dev.file(clip) for clip in dev] if calibrated else []
    file, parity = onnx.export(str(folder), tmp_path, "int8", calibration, clips)
    assert file == tmp_path / "model-int8.onnx" and 0 < parity.score_error < 0.1
    if calibrated:
        assert file.stat().st_size < 0.5 * (folder / "model.onnx").stat().st_size
    predictor = Predictor.from_pretrained(folder, backend="onnx", precision="int8", onnx_path=tmp_path)
    assert predictor.check(clips[0]).score != Predictor.from_pretrained(folder).check(clips[0]).score


def test_spectrum_head_and_other_sums_stay_exact():
    graph = onnx_package.parser.parse_graph(
        """g (float[1, 8, 8] wave, float[4, 1, 1] w, float[1, 4] h) => (float[1, 1] score) {
            [spectrum] mel = MatMul (wave, wave)
            [stem] x = Conv (mel, w)
            [shortcut] y = Add (x, mel)
            [bias] z = Add (y, h)
            [linear] embedding = Gemm (z, h)
            [head] score = Gemm (embedding, h)
        }"""
    )
    assert onnx.exact_nodes(graph) == ["spectrum", "stem", "bias", "head"]


# --- errors ------------------------------------------------------------------------------------------------


def test_a_graph_of_other_weights_is_refused(exported, made_checkpoint, tmp_path):
    folder, _ = exported
    model = onnx_package.load(folder / "model.onnx")
    for entry in model.metadata_props:
        if entry.key == "sha256":
            entry.value = "0" * 64
    onnx_package.save(model, tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match="other weights.*sha256 000000000000"):
        Predictor.from_pretrained(made_checkpoint, backend="onnx", onnx_path=tmp_path)
    del model.metadata_props[:]
    onnx_package.save(model, tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match="other weights.*sha256 none"):
        Predictor.from_pretrained(made_checkpoint, backend="onnx", onnx_path=tmp_path / "model.onnx")


def test_a_missing_or_damaged_graph_is_refused(made_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="no model.onnx in .*ncdetect export"):
        Predictor.from_pretrained(made_checkpoint, backend="onnx")
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="damaged or not ONNX"):
        Predictor.from_pretrained(made_checkpoint, backend="onnx", onnx_path=tmp_path)


def test_unknown_names_list_those_allowed(exported):
    folder, _ = exported
    for options, said in (
        ({"backend": "jax"}, "unknown backend 'jax'; allowed: torch, onnx"),
        ({"backend": "onnx", "precision": "bf16"}, "allowed: 32-true, int8"),
        ({"backend": "onnx", "providers": ["npu"]}, "npu is not in .*available: .*CPUExecutionProvider"),
        ({"backend": "onnx", "device": "cuda"}, "takes providers"),
        ({"providers": ["cpu"]}, "'torch' takes a device"),
    ):
        with pytest.raises(ValueError, match=said):
            Predictor.from_pretrained(folder, **options)


def test_providers_by_short_and_long_names():
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert backends.chosen_providers(None, available) == ["CPUExecutionProvider"]
    assert backends.chosen_providers(["tensorrt", "cuda"], available) == available
    assert backends.chosen_providers(["CUDAExecutionProvider", "cpu"], available) == available[1:]
    with pytest.raises(ValueError, match="CUDAExecutionProvider is not .*available: CPUExecutionProvider"):
        backends.chosen_providers(["cuda"], ["CPUExecutionProvider"])


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_exports_a_shipped_model(tmp_path):
    from typer.testing import CliRunner

    if not EXAMPLES:
        pytest.skip("the examples are not in this checkout")
    done = CliRunner().invoke(app, ["export", "tiny-resnet", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"0 of {len(EXAMPLES)} verdicts differ" in done.output
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_calibration_is_of_int8(tmp_path):
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["export", "tiny-resnet", "--data", str(tmp_path)])
    assert done.exit_code != 0 and "--int8" in str(done.exception)
