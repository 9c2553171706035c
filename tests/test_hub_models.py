"""Published classifiers of transformers as detectors: tiny random ones in made folders, nothing fetched."""

import fnmatch
import json
import pickle
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import media
import ncdetect._torchaudio  # noqa: F401  transformers imports torchaudio by itself
from ncdetect import explain, pipeline, rules, scoring, systems
from ncdetect.adopt import adopt
from ncdetect.bank import EmbeddingBank
from ncdetect.checkpoint import CheckpointError, TrainedDetector
from ncdetect.corpora import Manifest
from ncdetect.labels import Label
from ncdetect.loading import Waves
from ncdetect.models import build_model, hub
from ncdetect.models.hub_labels import read_labels
from ncdetect.predictor import Predictor
from ncdetect.sampling import Threshold

transformers = pytest.importorskip("transformers", reason="the optional package transformers is missing")

SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 40}
SPEECH = SIZES | {
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 12, "num_hidden_layers": 2,
}  # fmt: skip
WHISPER = {
    "d_model": 24, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "num_mel_bins": 16,
    "max_source_positions": 250, "classifier_proj_size": 12, "vocab_size": 8, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
FAMILIES = {
    "wav2vec2": lambda **labels: (
        transformers.Wav2Vec2ForSequenceClassification(transformers.Wav2Vec2Config(**SPEECH, **labels)),
        transformers.Wav2Vec2FeatureExtractor(),
    ),
    "wavlm": lambda **labels: (
        transformers.WavLMForSequenceClassification(
            transformers.WavLMConfig(
                **SPEECH, feat_extract_norm="layer", use_weighted_layer_sum=True, **labels
            )
        ),
        transformers.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True),
    ),
    "whisper": lambda **labels: (
        transformers.WhisperForAudioClassification(transformers.WhisperConfig(**WHISPER, **labels)),
        transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=5),
    ),
    "ast": lambda **labels: (
        transformers.ASTForAudioClassification(
            transformers.ASTConfig(
                **SIZES, num_mel_bins=32, max_length=320, frequency_stride=16, time_stride=16, **labels
            )
        ),
        transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=320),
    ),
    "wav2vec2-bert": lambda **labels: (
        transformers.Wav2Vec2BertForSequenceClassification(
            transformers.Wav2Vec2BertConfig(**SIZES, classifier_proj_size=12, **labels)
        ),
        transformers.SeamlessM4TFeatureExtractor(),
    ),
}
RAW = ("wav2vec2", "wavlm")
WAVES = torch.from_numpy(np.stack([media.speech_like(3.0, seed=seed) for seed in range(3)]))
WAVES = WAVES * torch.tensor([[1.0], [0.2], [0.6]]) + torch.tensor([[0.0], [0.01], [0.0]])


def labelled(*names):
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def publish(folder, family="wav2vec2", names=("AIVoice", "HumanVoice")):
    """A model with random weights large enough to tell clips apart, as its authors would push it."""
    torch.manual_seed(0)
    model, extractor = FAMILIES[family](**labelled(*names))
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(4 if weights.ndim > 1 else 1)
        for weights in model.classifier.parameters():
            weights.normal_(0, 3)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return model.eval(), extractor


@pytest.fixture(autouse=True, scope="module")
def _no_network():
    def refused(*_, **__):
        raise OSError("a test asked for the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refused)
        patch.setattr(socket.socket, "connect", refused)
        yield


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """Name, folder, and the published model itself with its extractor."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, *publish(folder, request.param)


@torch.inference_mode()
def own_logits(model, extractor, waves=WAVES):
    """As the authors would call it."""
    made = extractor([wave.numpy() for wave in waves], sampling_rate=16_000, return_tensors="pt")
    return model(**made).logits


def test_the_score_is_the_models_own(family):
    _, folder, model, extractor = family
    detector = build_model(f"hub:{folder}").eval()
    logits = own_logits(model, extractor)
    with torch.inference_mode():
        output = detector(WAVES)
    wanted = logits[:, 0] - logits[:, 1]  # AIVoice less HumanVoice
    assert wanted.abs().min() > 1e-3 and wanted.std() > 1e-3  # it could be wrong
    torch.testing.assert_close(output.score, wanted, atol=1e-5, rtol=1e-5)


def test_the_contract(family):
    name, folder, *_ = family
    detector = build_model(f"hub:{folder}").eval()
    width = 12 if name != "ast" else 24
    with torch.inference_mode():
        output = detector(WAVES)
        assert output.embedding.shape == (3, detector.embedding_dim) == (3, width)
        assert torch.equal(detector.classify(detector.embed(WAVES)), output.score)
        torch.testing.assert_close(detector(WAVES[1:2]).score, output.score[1:2], atol=1e-4, rtol=0)
        assert detector(WAVES[:, :20_000]).score.isfinite().all()
        assert detector(torch.zeros(1, 48_000)).score.isfinite().all()  # silence
        # The head is linear and its weight points from real to fake.
        logit = output.embedding @ detector.head.weight.T
        torch.testing.assert_close(
            (logit - logit[:1]).squeeze(1), output.score - output.score[0], atol=1e-4, rtol=1e-4
        )
    wave = WAVES[:1].clone().requires_grad_()
    detector(wave).score.sum().backward()
    assert detector.head.linear.weight.grad.abs().sum() > 0
    assert (wave.grad is not None and wave.grad.abs().sum() > 0) == (name in RAW)
    assert all(key.startswith("backbone.model.") for key in detector.state_dict() if "head." not in key)


def test_the_embedding_is_what_the_last_layer_reads(family):
    name, folder, model, extractor = family
    read = []
    last = model.classifier.dense if name == "ast" else model.classifier
    handle = last.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0]))
    own_logits(model, extractor)
    handle.remove()
    with torch.inference_mode():
        embedding = build_model(f"hub:{folder}").eval().embed(WAVES)
    torch.testing.assert_close(embedding, read[0], atol=1e-5, rtol=1e-4)


def test_many_clips_are_embedded_a_few_at_a_time(family, monkeypatch):
    _, folder, *_ = family
    detector = build_model(f"hub:{folder}").eval()
    with torch.inference_mode():
        whole = detector(WAVES).score
        monkeypatch.setattr(hub, "CLIPS_AT_ONCE", 2)
        torch.testing.assert_close(detector(WAVES).score, whole, atol=1e-4, rtol=0)


def test_a_description_makes_the_same_architecture_again(family):
    _, folder, *_ = family
    detector = build_model(f"hub:{folder}").eval()
    kept = json.loads(json.dumps(detector.published))  # as a checkpoint stores it
    assert kept["labels"] == ["fake", "real"] and str(folder) not in json.dumps(kept)
    again = build_model("hub:this/is-not-opened", kept)
    assert again.published == detector.published
    again.load_state_dict(detector.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(again.eval()(WAVES).score, detector(WAVES).score)


def test_explanations_take_it(family):
    name, folder, *_ = family
    detector = build_model(f"hub:{folder}").eval()
    for method in ("occlusion", "integrated-gradients"):
        found = explain.METHODS[method](detector, WAVES[0].numpy())
        assert np.isfinite(found.curve).all() and found.curve.any()
        assert (found.map is None) == (name in RAW or method == "occlusion")


def test_several_labels_of_a_class_are_summed_in_probability(tmp_path):
    model, extractor = publish(tmp_path, names=("real", "tts", "vc"))
    detector = build_model(f"hub:{tmp_path}").eval()
    with torch.inference_mode():
        score = detector(WAVES).score
    probability = own_logits(model, extractor).softmax(dim=1)[:, 1:].sum(dim=1)
    torch.testing.assert_close(score.sigmoid(), probability, atol=1e-5, rtol=0)
    weight = model.classifier.weight
    torch.testing.assert_close(detector.head.weight[0], (weight[1] + weight[2]) / 2 - weight[0])


def test_labels_by_hand():
    real, fake = Label.REAL, Label.FAKE
    for names in (
        ("real", "fake"), ("Bonafide", "SPOOF"), ("bona-fide", "spoofed"), ("bona_fide", "Spoofing attack"),
        ("BonaFide", "DeepFake"), ("HumanVoice", "AIVoice"), ("human", "machine-generated"),
        ("Genuine", "TTS"), ("authentic speech", "cloned"), ("TRUE", "VC_05"), ("0: real", "1: AI"),
    ):  # fmt: skip
        assert read_labels(names) == (real, fake), names
        assert read_labels(names[::-1]) == (fake, real), names
    assert read_labels(("tts", "real", "vc")) == (fake, real, fake)
    assert read_labels(("LABEL_0", "LABEL_1"), ["LABEL_0"]) == (fake, real)


@pytest.mark.parametrize(
    "names",
    [
        ("LABEL_0", "LABEL_1"),
        ("real", "unreal"),  # whole words only
        ("real", "fake", "not_real"),
        ("real", "fake", "non-fake"),
        ("real", "real_or_fake"),
        ("real", "fake", "silence"),
        ("real", "genuine"),
        ("fake",),
        ("angry", "happy"),
        ("True", "False"),
    ],
)
def test_labels_that_do_not_tell_are_named(names):
    with pytest.raises(ValueError, match="do not tell real from fake; allowed: some with a word") as raised:
        read_labels(names)
    assert f"the labels {', '.join(names)} do" in str(raised.value)


def test_a_person_may_say_which_labels_mean_fake(tmp_path):
    model, extractor = publish(tmp_path, names=("LABEL_0", "LABEL_1"))
    with pytest.raises(ValueError, match="the labels LABEL_0, LABEL_1 do not tell"):
        build_model(f"hub:{tmp_path}")
    logits = own_logits(model, extractor)
    for label, wanted in (("LABEL_1", logits[:, 1] - logits[:, 0]), ("LABEL_0", logits[:, 0] - logits[:, 1])):
        with torch.inference_mode():
            score = build_model(f"hub:{tmp_path}#fake={label}").eval()(WAVES).score
        torch.testing.assert_close(score, wanted, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="no label 'LABEL_7'; allowed: LABEL_0, LABEL_1"):
        build_model(f"hub:{tmp_path}#fake=LABEL_7")
    with pytest.raises(ValueError, match="do not tell"):
        build_model(f"hub:{tmp_path}#fake=LABEL_0,LABEL_1")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_folder_with_pickles_alone_is_refused(tmp_path):
    publish(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FileNotFoundError, match="no weights as safetensors; a pickle such as pytorch_model"):
        build_model(f"hub:{tmp_path}")
    (tmp_path / "model-of-something-else.safetensors").touch()
    with pytest.raises(ValueError, match="no audio classifier: Error no file named model.safetensors"):
        build_model(f"hub:{tmp_path}")


def test_a_repository_is_fetched_without_its_pickles(tmp_path, monkeypatch):
    """The Hub's part is played by a folder, which gives what the patterns ask for."""
    model, extractor = publish(tmp_path / "repository", "ast")
    (tmp_path / "repository" / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "repository" / "optimizer.safetensors").touch()

    def snapshot_download(repo_id, allow_patterns):
        if repo_id != "someone/detector":
            raise hub.HFValidationError(f"there is no {repo_id}")
        for file in (tmp_path / "repository").iterdir():
            if any(fnmatch.fnmatch(file.name, pattern) for pattern in allow_patterns):
                (tmp_path / "cache").mkdir(exist_ok=True)
                shutil.copy(file, tmp_path / "cache")
        return str(tmp_path / "cache")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    detector = build_model("hub:someone/detector").eval()
    assert sorted(file.name for file in (tmp_path / "cache").iterdir()) == [
        "config.json", "model.safetensors", "preprocessor_config.json",
    ]  # fmt: skip
    logits = own_logits(model, extractor)
    with torch.inference_mode():
        torch.testing.assert_close(detector(WAVES).score, logits[:, 0] - logits[:, 1], atol=1e-5, rtol=1e-5)
    with pytest.raises(FileNotFoundError, match="is no folder, and the Hub has no such model"):
        build_model("hub:someone/nothing")


def without_classifier(folder):
    config = transformers.Wav2Vec2Config(**SPEECH, **labelled("real", "fake"))
    transformers.Wav2Vec2Model(config).save_pretrained(folder)


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), "is no audio classifier"),
        (lambda folder: (folder / "config.json").unlink(), "is no audio classifier"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "is no audio classifier"),
        (lambda folder: change(folder / "config.json", model_type="bert"), "is no audio classifier"),
        (lambda folder: change(folder / "config.json", hidden_size="x"), "is no audio classifier"),
        (lambda folder: change(folder / "config.json", hidden_size=48), "is no audio classifier"),
        (lambda folder: change(folder / "preprocessor_config.json", sampling_rate=8000), "hears 8000 Hz"),
        (cut, "is no audio classifier"),
        (without_classifier, "lacks 4 weights, classifier.bias first"),
    ],
)
def test_what_is_no_classifier_is_told(tmp_path, damage, message):
    publish(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        build_model(f"hub:{tmp_path}")


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    publish(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('code of a model was run')")
    auto = {"AutoConfig": "evil.Config", "AutoModelForAudioClassification": "evil.Model"}
    change(tmp_path / "config.json", auto_map=auto)
    change(tmp_path / "preprocessor_config.json", auto_map={"AutoFeatureExtractor": "evil.Extractor"})
    assert "auto_map" not in build_model(f"hub:{tmp_path}").published["config"]
    change(tmp_path / "config.json", auto_map=auto, model_type="evil")
    with pytest.raises(ValueError, match="is no audio classifier"):
        build_model(f"hub:{tmp_path}")


def test_half_precision_weights_compute_in_float32(tmp_path):
    publish(tmp_path)
    transformers.AutoModelForAudioClassification.from_pretrained(tmp_path).half().save_pretrained(tmp_path)
    for detector in (
        build_model(f"hub:{tmp_path}"),
        build_model("hub:x", build_model(f"hub:{tmp_path}").published),
    ):
        assert {value.dtype for value in detector.state_dict().values()} == {torch.float32}
        assert detector(WAVES).score.dtype == torch.float32


def test_without_the_package_the_line_to_run_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="pip install 'transformers>=5,<6'"):
        build_model("hub:someone/detector")


# -- adopting


def teach(folder, corpus, family):
    """Turn the last layer of a published model towards the made fakes, so that it tells something."""
    detector = build_model(f"hub:{folder}")
    embedded = pipeline.embed_manifest(detector, Waves(corpus.select(split="train")))
    model = transformers.AutoModelForAudioClassification.from_pretrained(folder)
    last = model.classifier.dense if family == "ast" else model.classifier
    real, fake = (torch.from_numpy(embedded.embeddings[embedded.labels == k].mean(axis=0)) for k in Label)
    way = 8 * (fake - real) / (fake - real).square().sum()
    with torch.no_grad():
        last.weight.copy_(torch.stack([way, -way]))
        last.bias.copy_(torch.stack([-way @ (fake + real) / 2, way @ (fake + real) / 2]))
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def small(made_corpus):
    """One of the two made corpora, every other clip."""
    return Manifest(made_corpus.root, made_corpus.select(corpus="ant").clips[::2])


@pytest.fixture(scope="module", params=["wav2vec2", "ast"])
def adopted(request, small, tmp_path_factory):
    """The checkpoint of an adopted model, whose own folder is gone since."""
    folder = tmp_path_factory.mktemp("published") / "my-detector"
    publish(folder, request.param)
    teach(folder, small, request.param)
    train, dev = (Waves(small.select(split=split)) for split in ("train", "dev"))
    trained = adopt(str(folder), train, dev, maps=False)
    out = tmp_path_factory.mktemp("adopted") / "detector"
    trained.save(out)
    with torch.inference_mode():
        score = build_model(f"hub:{folder}").eval()(WAVES).score
    shutil.rmtree(folder)
    return out, score


def test_an_adopted_checkpoint_is_whole(adopted):
    out, score = adopted
    names = ["README.md", "bank.parquet", "config.json", "model.safetensors"]
    assert sorted(file.name for file in out.iterdir()) == names
    loaded = TrainedDetector.from_pretrained(out)
    with torch.inference_mode():
        assert torch.equal(loaded(WAVES).score, score)
    assert loaded.config.model == loaded.bank.model == "hub:my-detector"
    facts = loaded.config.training
    assert facts["labels"] == {"AIVoice": "fake", "HumanVoice": "real"} and facts["calibrated_on"] == "dev"
    assert facts["corpora"] == ["ant"] and 0 <= facts["dev_eer"] < 0.5 and "reals" not in facts
    text = (out / "config.json").read_text() + (out / "README.md").read_text()
    assert str(Path.home()) not in text and str(out.parent.parent) not in text
    assert "`AIVoice` means fake" in loaded.card


def test_an_adopted_checkpoint_judges(adopted, small):
    out, _ = adopted
    predictor = Predictor.from_pretrained(out)
    file = small.file(small.select(split="eval").clips[-1])
    verdict = predictor.check(file)
    said = verdict.to_dict()
    assert set(said) >= {"verdict", "reason", "score", "probability", "novelty", "neighbours", "warnings"}
    assert verdict.verdict in ("real", "fake", "undecided") and 0 < verdict.probability < 1
    assert verdict.model["architecture"] == "hub:my-detector" and verdict.model["name"] == "detector"
    assert len(verdict.neighbours) == 5 and np.isfinite([verdict.distance_real, verdict.distance_fake]).all()
    # A clip of the bank is its own nearest neighbour.
    known = predictor.bank.clips.at[0, "path"]
    assert predictor.check(small.root / known).neighbours[0].path == known


def test_other_commands_take_an_adopted_checkpoint(adopted, small, tmp_path):
    out, _ = adopted
    eval_clips = small.select(split="eval")
    figures = pipeline.evaluate(TrainedDetector.from_pretrained(out), Waves(eval_clips))
    assert [entry.clips for entry in figures] == ["ant"]
    system = systems.of_checkpoint(str(out), eval_clips, tmp_path / "work")
    assert np.isfinite(system.scores).all() and system.clips_per_second > 0
    eval_clips.write(tmp_path / "m.csv")
    predictor = Predictor.from_pretrained(out)
    scored, failed = scoring.score_manifest(predictor, tmp_path / "m.csv", small.root, tmp_path / "s.csv")
    assert (scored, failed) == (len(eval_clips), 0)


def test_its_bank_is_sampled(adopted):
    out, _ = adopted
    pool = rules.Pool.of(EmbeddingBank.load(out / "bank.parquet"))
    budget = rules.Budget(Threshold(count=2), Threshold(count=2))
    for rule in ("algorithm-1", "algorithm-2", "random"):
        picked = rules.choose(pool, rule, budget, 0)
        assert [len(picked[label].rows) for label in Label] == [2, 2]


def test_a_description_that_is_damaged_is_told(adopted, tmp_path):
    out, _ = adopted
    shutil.copytree(out, tmp_path / "a")
    good = json.loads((out / "config.json").read_text())
    alike = good["published"] | {"labels": ["fake", "fake"]}
    for published in (None, {}, {"labels": ["fake", "real"]}, alike, [1]):
        change(tmp_path / "a" / "config.json", published=published)
        with pytest.raises(CheckpointError, match=r"unknown model 'hub:my-detector'|is damaged"):
            TrainedDetector.from_pretrained(tmp_path / "a")


def test_without_the_package_a_checkpoint_tells_it(adopted, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CheckpointError, match="pip install 'transformers>=5,<6'"):
        TrainedDetector.from_pretrained(adopted[0])


def test_a_model_that_is_right_on_one_class_alone_is_told(small, tmp_path):
    publish(tmp_path)
    model = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([1e3, 0.0]))  # all is fake
    model.save_pretrained(tmp_path)
    train, dev = (Waves(small.select(split=split)) for split in ("train", "dev"))
    with pytest.raises(ValueError, match="gets none of the 6 real train clips right"):
        adopt(str(tmp_path), train, dev, maps=False)
    with pytest.raises(ValueError, match="train has 6 real and 0 fake clips"):
        reals = Manifest(small.root, tuple(clip for clip in small if clip.label == Label.REAL))
        adopt(str(tmp_path), Waves(reals.select(split="train")), dev)
