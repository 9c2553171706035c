import logging
import re
from collections import Counter, defaultdict

import pytest

import miniatures
from miniatures import touch, write_lines
from ncdetect.corpora import Manifest, ManifestError
from ncdetect.labels import Label
from ncdetect.layouts import LAYOUTS, LayoutError, open_corpus

BUILDERS = {
    "manifest": lambda root: write_lines(root / "manifest.csv", "path,label", "a.wav,real"),
    "asvspoof2019-la": miniatures.asvspoof2019,
    "asvspoof2019-pa": lambda root: miniatures.asvspoof2019(root, "PA"),
    "asvspoof2021-df": miniatures.asvspoof2021_df,
    "for": miniatures.fake_or_real,
    "in-the-wild": miniatures.in_the_wild,
    "wavefake": miniatures.wavefake,
    "folders": miniatures.real_and_fake,
}


def facts(manifest: Manifest, *names: str) -> list[tuple]:
    return [tuple(getattr(clip, name) for name in names) for clip in manifest]


# --- contract of every layout


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_and_its_files_are_there(tmp_path, name):
    BUILDERS[name](tmp_path)
    manifest = open_corpus(tmp_path)
    assert manifest == open_corpus(tmp_path, layout=name)
    assert len(manifest) > 0
    if name != "manifest":
        assert all(manifest.file(clip).is_file() for clip in manifest)
        assert set(manifest.labels) == {0, 1}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_parsed_corpus_can_be_written_as_a_manifest(tmp_path, name):
    BUILDERS[name](tmp_path)
    manifest = open_corpus(tmp_path)
    manifest.write(tmp_path / "manifest.csv")
    assert open_corpus(tmp_path) == manifest


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_says_what_it_looked_for(tmp_path, name):
    with pytest.raises(LayoutError, match=rf"{tmp_path} does not hold {name}: looked for \S+"):
        open_corpus(tmp_path, layout=name)


def test_a_folder_that_fits_nothing_says_what_was_looked_for(tmp_path):
    touch(tmp_path / "music/a.wav")
    with pytest.raises(LayoutError) as caught:
        open_corpus(tmp_path)
    said = str(caught.value)
    assert all(f"\n  {name}: " in said for name in LAYOUTS)
    for sought in (
        "manifest.csv",
        "meta.csv",
        "for-norm/",
        "trial_metadata.txt",
        "ljspeech_melgan",
        "real/ and fake/",
    ):
        assert sought in said


def test_wrong_names_and_places(tmp_path):
    with pytest.raises(ValueError, match="'asv19'.*asvspoof2019-la.*wavefake"):
        open_corpus(tmp_path, layout="asv19")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_corpus(tmp_path / "nowhere")


def test_a_manifest_comes_first_and_its_file_opens_too(tmp_path):
    miniatures.in_the_wild(tmp_path)
    BUILDERS["manifest"](tmp_path)
    assert [clip.path for clip in open_corpus(tmp_path)] == ["a.wav"]
    assert open_corpus(tmp_path / "manifest.csv") == open_corpus(tmp_path)
    assert len(open_corpus(tmp_path, layout="in-the-wild")) == 3


def test_two_corpora_in_one_folder_must_be_told_apart(tmp_path):
    miniatures.asvspoof2019(tmp_path, "LA")
    miniatures.asvspoof2019(tmp_path, "PA")
    with pytest.raises(ValueError, match="asvspoof2019-la, asvspoof2019-pa"):
        open_corpus(tmp_path)
    assert {clip.corpus for clip in open_corpus(tmp_path, "asvspoof2019-pa")} == {"asvspoof2019-pa"}


def test_a_relative_root_is_read_alike(tmp_path, monkeypatch):
    miniatures.real_and_fake(tmp_path / "mine")
    expected = open_corpus(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert open_corpus(".") == expected
    assert {clip.corpus for clip in expected} == {"mine"}


# --- ASVspoof 2019


def test_asvspoof2019_la(tmp_path):
    manifest = open_corpus(miniatures.asvspoof2019(tmp_path))
    assert facts(manifest, "path", "split", "label", "generator", "kind", "speaker") == [
        ("LA/ASVspoof2019_LA_train/flac/LA_T_1138215.flac", "train", Label.REAL, "", "", "LA_0079"),
        ("LA/ASVspoof2019_LA_train/flac/LA_T_1004644.flac", "train", Label.FAKE, "A01", "tts", "LA_0080"),
        ("LA/ASVspoof2019_LA_train/flac/LA_T_1056709.flac", "train", Label.FAKE, "A05", "vc", "LA_0081"),
        ("LA/ASVspoof2019_LA_dev/flac/LA_D_1047731.flac", "dev", Label.REAL, "", "", "LA_0069"),
        ("LA/ASVspoof2019_LA_dev/flac/LA_D_1009418.flac", "dev", Label.FAKE, "A06", "vc", "LA_0070"),
        ("LA/ASVspoof2019_LA_eval/flac/LA_E_2834763.flac", "eval", Label.FAKE, "A11", "tts", "LA_0039"),
        ("LA/ASVspoof2019_LA_eval/flac/LA_E_4581379.flac", "eval", Label.FAKE, "A17", "vc", "LA_0014"),
        ("LA/ASVspoof2019_LA_eval/flac/LA_E_5849185.flac", "eval", Label.REAL, "", "", "LA_0030"),
    ]
    assert {clip.corpus for clip in manifest} == {"asvspoof2019-la"}
    inner = open_corpus(tmp_path / "LA")
    assert facts(inner, "speaker") == facts(manifest, "speaker")
    assert inner.clips[0].path == "ASVspoof2019_LA_train/flac/LA_T_1138215.flac"


def test_asvspoof2019_pa(tmp_path):
    manifest = open_corpus(miniatures.asvspoof2019(tmp_path, "PA"))
    folder = "PA/ASVspoof2019_PA_train/flac"
    assert facts(manifest, "path", "label", "generator", "kind", "source")[:2] == [
        (f"{folder}/PA_T_0000001.flac", Label.REAL, "", "", "environment aaa"),
        (f"{folder}/PA_T_0005731.flac", Label.FAKE, "AA", "replay", "environment aaa"),
    ]
    assert Counter(facts(manifest, "split", "label")) == {
        ("train", 0): 1, ("train", 1): 1, ("dev", 0): 1, ("dev", 1): 1, ("eval", 1): 1
    }  # fmt: skip


def test_a_split_that_was_not_unpacked_is_passed_over_and_said(tmp_path, caplog):
    miniatures.asvspoof2019(tmp_path)
    (tmp_path / "LA/ASVspoof2019_LA_eval").rename(tmp_path / "LA/elsewhere")
    with caplog.at_level(logging.WARNING):
        assert {clip.split for clip in open_corpus(tmp_path)} == {"train", "dev"}
    assert "eval" in caplog.text


TORN = {
    "too few columns": ("LA_0079 LA_T_1138215 - bonafide", "4 columns, not 5"),
    "too many columns": ("LA_0079 LA_T_1138215 - - bonafide x", "6 columns, not 5"),
    "unknown key": ("LA_0079 LA_T_1138215 - - maybe", "'maybe'"),
    "file missing": ("LA_0079 LA_T_9999999 - - bonafide", "LA_T_9999999.flac"),
    "file twice": ("LA_0079 LA_T_1004644 - - bonafide", "line 2"),
    "file elsewhere": ("LA_0079 ../../../../x - - bonafide", "leaves"),
}


@pytest.mark.parametrize("line, words", TORN.values(), ids=TORN)
def test_a_damaged_protocol_is_said_with_file_and_line(tmp_path, line, words):
    miniatures.asvspoof2019(tmp_path)
    file = tmp_path / "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt"
    write_lines(file, *miniatures.LA["train.trn"][:2], "", line)
    with pytest.raises(ManifestError, match=f"^{re.escape(str(file))}:4: .*{re.escape(words)}"):
        open_corpus(tmp_path)


def test_a_protocol_that_is_not_text_is_located(tmp_path):
    miniatures.asvspoof2019(tmp_path)
    file = tmp_path / "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.dev.trl.txt"
    file.write_bytes(file.read_bytes() + b"\xff\xfe\n")
    with pytest.raises(ManifestError, match=f"^{re.escape(str(file))}:3: .*UTF-8"):
        open_corpus(tmp_path)


# --- ASVspoof 2021 DF


@pytest.mark.parametrize("parts", [False, True], ids=["one folder", "a folder a part"])
def test_asvspoof2021_df(tmp_path, parts):
    manifest = open_corpus(miniatures.asvspoof2021_df(tmp_path, parts))
    assert facts(manifest, "label", "generator", "kind", "speaker", "source", "original_format") == [
        (Label.FAKE, "A14", "traditional_vocoder", "LA_0023", "asvspoof", ""),
        (Label.FAKE, "Task1-team20", "neural_vocoder_nonautoregressive", "TEF2", "vcc2020", "low_m4a"),
        (Label.FAKE, "Task2-team12", "traditional_vocoder", "TGF1", "vcc2020", "mp3m4a"),
        (Label.REAL, "", "", "LA_0043", "asvspoof", "mp3m4a"),
    ]
    assert {clip.split for clip in manifest} == {"eval"}
    assert manifest.clips[1].path.endswith("ASVspoof2021_DF_eval/flac/DF_E_2000013.flac")
    assert manifest.clips[1].path.startswith("ASVspoof2021_DF_eval_part01/") == parts


def test_a_part_that_was_not_downloaded_is_said_with_file_and_line(tmp_path):
    miniatures.asvspoof2021_df(tmp_path)
    (tmp_path / "ASVspoof2021_DF_eval/flac/DF_E_2000024.flac").unlink()
    with pytest.raises(ManifestError, match=r"trial_metadata\.txt:3: .*DF_E_2000024\.flac.* 1 of 4"):
        open_corpus(tmp_path)


def test_the_shorter_keys_of_the_first_release_are_refused(tmp_path):
    miniatures.asvspoof2021_df(tmp_path)
    write_lines(tmp_path / "keys/DF/CM/trial_metadata.txt", "DF_E_2000011 spoof")
    with pytest.raises(ManifestError, match=r":1: 2 columns, not 13"):
        open_corpus(tmp_path)


# --- FoR


def test_fake_or_real(tmp_path):
    manifest = open_corpus(miniatures.fake_or_real(tmp_path))
    assert Counter(clip.corpus for clip in manifest) == dict.fromkeys(
        ("for-norm", "for-2sec", "for-rerec", "for-original"), 12
    )
    norm = manifest.select(corpus="for-norm")
    assert Counter(facts(norm, "split", "label")) == {
        (split, label): count for split, count in (("train", 3), ("dev", 2), ("eval", 1)) for label in (0, 1)
    }
    assert norm.clips[0].path.startswith("for-norm/for-norm/testing/")
    for clip in norm:
        assert clip.label.word == clip.path.split("/")[3]


def test_one_version_of_fake_or_real_opens_by_itself(tmp_path):
    miniatures.fake_or_real(tmp_path)
    for folder in (tmp_path / "for-original", tmp_path / "for-rerec", tmp_path / "for-rerec/for-rerecorded"):
        manifest = open_corpus(folder)
        assert len(manifest) == 12
        assert len({clip.corpus for clip in manifest}) == 1
    assert {clip.corpus for clip in manifest} == {"for-rerec"}


# --- In-the-Wild


def test_in_the_wild(tmp_path):
    manifest = open_corpus(miniatures.in_the_wild(tmp_path))
    assert facts(manifest, "path", "speaker", "label", "split", "corpus") == [
        ("release_in_the_wild/0.wav", "Alec Guinness", Label.FAKE, "eval", "in-the-wild"),
        ("release_in_the_wild/1.wav", "Alec Guinness", Label.FAKE, "eval", "in-the-wild"),
        ("release_in_the_wild/4.wav", "Christopher Hitchens", Label.REAL, "eval", "in-the-wild"),
    ]
    assert open_corpus(tmp_path / "release_in_the_wild").clips[0].path == "0.wav"


@pytest.mark.parametrize(
    "row, words",
    [
        ("9.wav,X,spoof", "'release_in_the_wild/9.wav'"),
        ("4.wav,X", "2 columns"),
        ("4.wav,X,odd", "'odd'"),
        ("../../4.wav,X,spoof", "leaves"),
        ("/etc/passwd,X,spoof", "etc/passwd"),
    ],
)
def test_a_damaged_meta_csv_is_said_with_file_and_line(tmp_path, row, words):
    miniatures.in_the_wild(tmp_path)
    file = write_lines(
        tmp_path / "release_in_the_wild/meta.csv", "file,speaker,label", miniatures.ITW[0], row, end="\r\n"
    )
    with pytest.raises(ManifestError, match=f"^{re.escape(str(file))}:3: .*{re.escape(words)}"):
        open_corpus(tmp_path)


def test_anybodys_meta_csv_does_not_make_a_folder_in_the_wild(tmp_path):
    miniatures.real_and_fake(tmp_path)
    write_lines(tmp_path / "meta.csv", "id,text", "1,hello")
    assert {clip.corpus for clip in open_corpus(tmp_path)} == {tmp_path.name}


# --- WaveFake


def test_wavefake(tmp_path):
    manifest = open_corpus(miniatures.wavefake(tmp_path))
    assert Counter(clip.generator for clip in manifest.select(label="fake")) == dict.fromkeys(
        (
            *("melgan", "melgan_large", "multi_band_melgan", "hifiGAN", "waveglow", "parallel_wavegan"),
            "conformer_fastspeech2_pwg",
        ),
        40,
    )
    assert len(manifest.select(label="real")) == 80
    assert Counter(facts(manifest, "kind", "label")) == {("vocoder", 1): 240, ("tts", 1): 40, ("", 0): 80}
    speakers = {(clip.source, clip.speaker, clip.language) for clip in manifest}
    assert speakers == {("LJSpeech", "lj", "en"), ("JSUT", "jsut", "ja")}


def test_a_recording_and_its_vocoded_versions_are_in_one_split(tmp_path):
    manifest = open_corpus(miniatures.wavefake(tmp_path))
    splits, members = defaultdict(set), Counter()
    for clip in manifest:
        if clip.recording:
            splits[clip.recording].add(clip.split)
            members[clip.recording] += 1
    assert {len(found) for found in splits.values()} == {1}
    # five vocoders and the original, one vocoder and the original
    assert Counter(members.values()) == {6: 40, 2: 40}
    assert set().union(*splits.values()) == {"train", "dev", "eval"}


def test_wavefakes_split_is_the_same_on_every_machine(tmp_path):
    names = [f"LJ001-{n:04}" for n in range(1, 1001)]
    touch(*(tmp_path / f"generated_audio/ljspeech_melgan/{name}_gen.wav" for name in names))
    counts = Counter(clip.split for clip in open_corpus(tmp_path))
    # 80/10/10 to within four standard deviations
    assert abs(counts["dev"] - 100) < 38
    assert abs(counts["eval"] - 100) < 38
    by_name = {clip.recording: clip.split for clip in open_corpus(tmp_path)}
    assert [by_name[f"LJ001-{n:04}"] for n in (1, 7, 8)] == ["train", "eval", "dev"]


def test_wavefake_without_reals_says_so(tmp_path, caplog):
    miniatures.wavefake(tmp_path)
    manifest = open_corpus(tmp_path / "generated_audio")
    assert set(manifest.labels) == {1}
    assert "LJSpeech-1.1" in caplog.text


# --- plain folders


def test_real_and_fake(tmp_path):
    manifest = open_corpus(miniatures.real_and_fake(tmp_path))
    assert sorted(facts(manifest, "path", "label", "generator", "split")) == [
        ("fake/c.mp3", Label.FAKE, "", ""),
        ("fake/espeak/d.wav", Label.FAKE, "espeak", ""),
        ("fake/espeak/deep/e.ogg", Label.FAKE, "espeak", ""),
        ("real/a.wav", Label.REAL, "", ""),
        ("real/speaker/b.FLAC", Label.REAL, "", ""),
    ]


def test_real_and_fake_below_splits(tmp_path):
    for folder in ("train", "validation", "Test", "extra"):
        touch(tmp_path / folder / "Real/a.wav", tmp_path / folder / "fake/flite/b.wav")
    manifest = open_corpus(tmp_path)
    assert Counter(facts(manifest, "split", "label")) == {
        (split, label): 1 for split in ("train", "dev", "eval") for label in (0, 1)
    }
    assert {clip.generator for clip in manifest} == {"", "flite"}


def test_links_to_audio_kept_elsewhere_are_followed_once(tmp_path):
    touch(tmp_path / "store/b.wav", tmp_path / "mine/real/a.wav")
    (tmp_path / "mine/fake").mkdir()
    (tmp_path / "mine/fake/melgan").symlink_to(tmp_path / "store")
    (tmp_path / "store/back").symlink_to(tmp_path / "store")
    (tmp_path / "mine/real/up").symlink_to(tmp_path / "mine/real")
    assert [clip.path for clip in open_corpus(tmp_path / "mine")] == ["fake/melgan/b.wav", "real/a.wav"]
