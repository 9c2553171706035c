import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from malformed import make_malformed
from media import FORMATS, main_hertz, rms, speech_like, tone, with_ffmpeg, with_soundfile
from ncdetect import audio, decoding
from ncdetect.audio import SAMPLE_RATE, AudioError, load, quality_warnings
from sentences import assert_plain_sentence

pytestmark = pytest.mark.filterwarnings("error")


def code_of(source: object) -> str:
    with pytest.raises(AudioError) as caught:
        load(source)
    assert_plain_sentence(str(caught.value))
    return caught.value.code


# Sources that are read


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_frequency_level_and_length(name: str, tmp_path: Path):
    rate_hz, lossy, encode = FORMATS[name]
    data = encode(tone(rate_hz), rate_hz)
    clip = load(data)
    assert (clip.wave.dtype, clip.wave.ndim) == (np.float32, 1)
    assert clip.wave.flags.c_contiguous
    assert abs(clip.wave).max() <= 1
    assert (clip.source_rate_hz, clip.channels) == (rate_hz, 1)
    assert main_hertz(clip.wave) == pytest.approx(440, abs=1)
    assert rms(clip.wave) == pytest.approx(0.5 / 2**0.5, rel=0.15 if lossy else 0.001)
    assert clip.duration_s == pytest.approx(1.5, abs=0.05 if lossy else 1e-6)
    assert len(clip.wave) == pytest.approx(clip.duration_s * SAMPLE_RATE, abs=1)
    assert not clip.truncated
    path = tmp_path / "clip.wav"  # the wrong extension for most
    path.write_bytes(data)
    for source in (path, str(path), bytearray(data), memoryview(data)):
        np.testing.assert_array_equal(load(source).wave, clip.wave)


@pytest.mark.parametrize("name", ["wav-16", "wav-24", "wav-float", "wav-ulaw", "flac", "flac-24", "aiff"])
def test_both_decoders_give_the_same_wave(name: str, monkeypatch: pytest.MonkeyPatch):
    rate_hz, _, encode = FORMATS[name]
    data = encode(speech_like(1.6, rate_hz), rate_hz)
    first = load(data)
    monkeypatch.setattr(decoding, "_SOUNDFILE_MAGICS", (b"nothing",))
    second = load(data)
    assert first.format != second.format or name == "flac"
    np.testing.assert_array_equal(first.wave, second.wave)


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"),
    [
        ("uint8", 128, 128),
        ("int8", 128, 0),
        ("int16", 2**15, 0),
        ("uint16", 2**15, 2**15),
        ("int32", 2**31, 0),
        ("uint32", 2**31, 2**31),
        ("float16", 1, 0),
        ("float32", 1, 0),
        ("float64", 1, 0),
    ],
)
def test_arrays_of_every_kind(dtype: str, scale: int, offset: int):
    wave = tone(SAMPLE_RATE).astype(np.float64)
    clip = load((SAMPLE_RATE, (wave * scale + offset).astype(dtype)))
    np.testing.assert_allclose(clip.wave, wave, atol=0.01 if "8" in dtype else 5e-4)
    assert clip.format == f"array/{dtype}"


def test_integer_extremes_stay_in_range():
    wave = np.tile(np.array([-(2**15), 2**15 - 1], np.int16), 8000)
    clip = load((SAMPLE_RATE, wave))
    assert (clip.wave.min(), clip.wave.max()) == (-1, np.float32(32767 / 32768))


def test_gradio_rate_may_be_a_numpy_number_and_samples_a_column():
    wave = tone(SAMPLE_RATE)
    np.testing.assert_array_equal(load((np.int64(SAMPLE_RATE), wave[:, None])).wave, wave)


def test_sound_of_a_video(tmp_path: Path):
    for container, codec, video in (("webm", "libopus", "libvpx"), ("mp4", "aac", "mpeg4")):
        clip = load(with_ffmpeg(tone(48_000), 48_000, container, codec, video=video))
        assert main_hertz(clip.wave) == 440
        assert not clip.truncated


def test_recording_of_unknown_length_is_not_called_broken():
    data = with_soundfile(speech_like(2), SAMPLE_RATE, "WAV", "PCM_16")
    for size in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"):
        streamed = data[:4] + size + data[8:40] + size + data[44:]
        clip = load(streamed)
        assert not clip.truncated
        np.testing.assert_array_equal(clip.wave, load(data).wave)


@pytest.mark.parametrize(
    "name", ["wav-16", "flac", "mp3", "ogg", "opus", "aiff", "webm", "mkv-pcm", "aac", "amr", "avi"]
)
def test_what_was_read_of_a_cut_file_is_right(name: str):
    rate_hz, lossy, encode = FORMATS[name]
    data = encode(speech_like(3, rate_hz), rate_hz)
    whole, half = load(data), load(data[: len(data) // 2])
    assert half.truncated
    assert not whole.truncated
    assert 0.9 < half.duration_s < 1.8
    same = slice(0, int(0.8 * SAMPLE_RATE))
    np.testing.assert_allclose(half.wave[same], whole.wave[same], atol=0.02 if lossy else 1e-6)


def test_fragmented_mp4_cut_in_the_middle():
    data = with_ffmpeg(speech_like(3, 48_000), 48_000, "mp4", "aac", movflags="frag_keyframe+empty_moov")
    clip = load(data[: int(0.7 * len(data))])
    assert clip.truncated
    assert 1.5 < clip.duration_s < 2.5


# Errors


def triggers(folder: Path) -> dict[str, object]:
    speech = speech_like(1.6)
    m4a = FORMATS["m4a"][2](tone(44_100), 44_100)
    (folder / "large").write_bytes(bytes(audio.MAX_BYTES + 1))
    return {
        "not_found": folder / "nothing.wav",
        "unreadable": Path(__file__),  # with an `open` that fails
        "empty": b"",
        "too_large": folder / "large",
        "not_audio": b"%PDF-1.7",
        "bad_samples": (SAMPLE_RATE, speech.astype(complex)),
        "no_audio_stream": with_ffmpeg(None, 0, "mp4", video="mpeg4"),
        "protected": m4a.replace(b"mp4a", b"drms", 1),
        "unsupported_codec": FORMATS["m4a-alac"][2](tone(44_100), 44_100).replace(b"alac", b"xyzw"),
        "truncated": with_soundfile(speech, SAMPLE_RATE, "WAV", "PCM_16")[:3000],
        "sample_rate": (3999, speech),
        "channels": (SAMPLE_RATE, np.zeros((9000, 9))),
        "not_finite": (SAMPLE_RATE, np.append(speech, np.nan)),
        "too_long": (4000, np.zeros(600 * 4000 + 1, np.int16)),
        "too_short": (SAMPLE_RATE, speech[: int(0.3 * SAMPLE_RATE) - 1]),
        "silent": (SAMPLE_RATE, np.zeros(SAMPLE_RATE)),
        "too_slow": (SAMPLE_RATE, speech),  # with no time at all
    }


@pytest.mark.parametrize("code", decoding.CODES)
def test_every_error(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = triggers(tmp_path)[code]

    def fail_to_open(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    if code == "unreadable":
        monkeypatch.setattr("builtins.open", fail_to_open)
    if code == "too_slow":
        monkeypatch.setattr(audio, "DECODE_DEADLINE_S", -1.0)
    assert code_of(source) == code


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (None, "empty"),
        (bytearray(), "empty"),
        ("", "not_found"),
        ("http://127.0.0.1:9/clip.wav", "not_found"),
        ("concat:a.wav|b.wav", "not_found"),
        (Path("/dev/zero"), "not_found"),
        (7, "bad_samples"),
        pytest.param(object(), "bad_samples", id="object"),
        ((), "bad_samples"),
        ((16_000,), "bad_samples"),
        ((16_000, None), "bad_samples"),
        ((16_000, "sound"), "bad_samples"),
        ((16_000, [[1.0], [1.0, 2.0]]), "bad_samples"),
        (("fast", np.zeros(9000)), "bad_samples"),
        ((float("nan"), np.zeros(9000)), "bad_samples"),
        ((10**400, np.zeros(9000)), "bad_samples"),
        ((16_000, np.zeros(9000, np.int64)), "bad_samples"),
        ((16_000, np.zeros(9000, bool)), "bad_samples"),
        ((16_000, np.zeros((90, 10, 2))), "bad_samples"),
        ((16_000, np.float32(1)), "bad_samples"),
        ((16_000, np.zeros(0)), "empty"),
        ((16_000, np.zeros((0, 2))), "empty"),
        ((16_000, np.zeros((9000, 0))), "empty"),
        ((0, np.zeros(9000)), "sample_rate"),
        ((-16_000, np.zeros(9000)), "sample_rate"),
        ((float("inf"), np.zeros(9000)), "sample_rate"),
        ((384_001, np.zeros(9000)), "sample_rate"),
        ((16_000, np.zeros((2, 9000))), "channels"),
        ((16_000, np.full(9000, 1e300)), "not_finite"),
        ((16_000, np.full(9000, 0.7)), "silent"),
        ((16_000, 0.9e-4 * tone(16_000, level=1.0)), "silent"),
    ],
    ids=str,
)
def test_sources_that_are_refused(source: object, code: str):
    assert code_of(source) == code


def test_the_limits_themselves_are_allowed():
    assert load((SAMPLE_RATE, speech_like(0.3))).duration_s == 0.3
    assert load((4000, np.tile(tone(4000, 1.0), 600))).duration_s == 600
    assert load((SAMPLE_RATE, tone(SAMPLE_RATE, level=1.1e-4))).wave.max() > 1e-4
    clip = with_soundfile(speech_like(1.6), SAMPLE_RATE, "WAV", "PCM_16")
    assert load(clip + bytes(audio.MAX_BYTES - len(clip))).wave.any()


def test_too_long_is_found_by_decoding_not_by_believing():
    seconds = 601
    data = with_soundfile(np.tile(tone(8000, 1.0), seconds), 8000, "WAV", "ULAW")
    assert code_of(data) == "too_long"
    believed = with_soundfile(speech_like(1.6), SAMPLE_RATE, "WAV", "PCM_16")
    claims_a_day = believed[:40] + (86_400 * 32_000 % 2**32).to_bytes(4, "little") + believed[44:]
    assert load(claims_a_day).duration_s == pytest.approx(1.6)


def test_damage_in_one_decoder_is_mended_by_the_other(monkeypatch: pytest.MonkeyPatch):
    data = FORMATS["flac"][2](speech_like(2, 44_100), 44_100)
    whole = load(data)

    def fail(data: bytes, mix: object) -> None:
        mix.start(44_100, 1, "flac/pcm_16")
        mix.add(np.zeros((30_000, 1), np.float32))
        raise RuntimeError("Error : flac decoder lost sync.")

    monkeypatch.setattr(decoding, "_decode_with_soundfile", fail)
    mended = load(data)
    assert (mended.format, mended.truncated) == ("flac/flac", False)
    np.testing.assert_array_equal(mended.wave, whole.wave)


def test_damage_inside_costs_only_what_is_damaged():
    data = bytearray(FORMATS["m4a"][2](speech_like(3, 44_100), 44_100))
    start, length = data.index(b"mdat") + len(data) // 2, len(data) // 10
    data[start : start + length] = b"\xff" * length
    clip = load(data)
    assert clip.truncated
    assert 2.5 < clip.duration_s < 2.9


def test_a_stream_that_changes_its_rate_is_read_up_to_there():
    parts = [
        FORMATS["aac"][2](speech_like(seconds, rate), rate) for seconds, rate in ((2, 44_100), (5, 22_050))
    ]
    clip = load(b"".join(parts))
    assert clip.truncated
    assert clip.duration_s == pytest.approx(2, abs=0.05)


def test_what_one_decoder_read_counts_although_the_other_knows_nothing_of_it(monkeypatch: pytest.MonkeyPatch):
    read = decoding._decode_with_soundfile

    def break_off(data: bytes, mix: object) -> None:
        read(data, mix)
        raise RuntimeError("Error : unspecified internal error.")

    def refuse(data: bytes, mix: object) -> None:
        mix.frames = 10**9
        raise AudioError("unsupported_codec")

    monkeypatch.setattr(decoding, "_decode_with_soundfile", break_off)
    monkeypatch.setattr(decoding, "_decode_with_ffmpeg", refuse)
    assert load(FORMATS["wav-gsm"][2](speech_like(2, 8000), 8000)).truncated
    assert code_of(FORMATS["m4a"][2](speech_like(2, 44_100), 44_100)) == "unsupported_codec"


def test_a_length_that_is_not_reached_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(soundfile.SoundFile, "frames", property(lambda file: 40_000))
    assert load(with_soundfile(speech_like(2), SAMPLE_RATE, "FLAC", "PCM_16")).format == "flac/flac"
    monkeypatch.setattr(decoding, "_decode_with_ffmpeg", lambda data, mix: None)
    assert load(with_soundfile(speech_like(2), SAMPLE_RATE, "FLAC", "PCM_16")).truncated
    assert not load(with_soundfile(speech_like(2.5), SAMPLE_RATE, "FLAC", "PCM_16")).truncated


def test_bytes_end_at_the_deadline():
    late, early = decoding._TimedBytes(b"sound", 0.0), decoding._TimedBytes(b"sound", float("inf"))
    assert (late.read(), late.readinto(bytearray(3))) == (b"", 0)
    assert (early.read(2), early.readinto(bytearray(3))) == (b"so", 3)
    assert early.seek(-1) == 5


def test_an_error_survives_pickling():
    error = pickle.loads(pickle.dumps(AudioError("too_large", 26.1)))
    assert error.code == "too_large"
    assert str(error).startswith("The file has 26.1 MB, and at most 25 MB")
    assert isinstance(error, ValueError)


# Malformed files

CHECK_ALL = """
import json, sys, time
from pathlib import Path
from ncdetect.audio import AudioError, active_windows, load, quality_warnings, windows

def peak_mb():
    status = Path("/proc/self/status")  # getrusage would count the parent's memory, too
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024 if status.exists() else 0.0

before, seen = peak_mb(), {}
for path, kind in json.load(sys.stdin):
    start = time.monotonic()
    try:
        clip = load(path)
        sentences = [warning.sentence for warning in quality_warnings(clip)]
        active_windows(windows(clip.wave)[1])
        code = "broken" if clip.truncated else "read"
        assert clip.wave.dtype == "float32" and abs(clip.wave).max() <= 1 and clip.duration_s >= 0.3
    except AudioError as error:
        code, sentences = error.code, [str(error)]
    seen[kind] = {"code": code, "sentences": sentences, "seconds": time.monotonic() - start}
print(json.dumps({"seen": seen, "grown_mb": peak_mb() - before}))
"""


@pytest.fixture(scope="module")
def malformed(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What became of each malformed file, in a process of its own: a crash or a message to stderr shows."""
    folder = tmp_path_factory.mktemp("malformed")
    files = [(str(path), kind) for path, kind in make_malformed(folder)]
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", CHECK_ALL],
        input=json.dumps(files),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(audio.__file__).parents[1])},
    )
    return {"stderr": done.stderr, "files": files, **json.loads(done.stdout or "{}")}


def test_malformed_files_are_all_judged_or_refused(malformed: dict):
    kinds = [kind for _, kind in malformed["files"]]
    assert len(kinds) == len(set(kinds)) >= 70
    assert set(malformed["seen"]) == set(kinds)
    assert malformed["stderr"] == ""


def test_malformed_files_take_little_time_and_memory(malformed: dict):
    assert malformed["grown_mb"] < 150
    slow = {kind: seen["seconds"] for kind, seen in malformed["seen"].items() if seen["seconds"] > 5}
    assert not slow


def test_malformed_files_are_explained_in_plain_sentences(malformed: dict):
    for seen in malformed["seen"].values():
        for sentence in seen["sentences"]:
            assert_plain_sentence(sentence)


MALFORMED = {
    "read": "mp3 named wav; wav named mp3; name without extension; wav with riff size 0; "
    "opposite channels; wav of 2**31 frames; wav whose fact lies; float of integer scale; name '-rf.wav'; "
    "name '<b>bold<b>.w'; webm of 2**56 bytes; mp3 behind junk; webm whose texts are no text; "
    "flac with a wrong md5",
    "broken": "wav-16 cut at 0.9; flac cut at 0.9; mp3 cut at 0.9; webm cut at 0.9; ogg without last page; "
    "aiff cut at 0.5; mp4 of half noise; flac with flipped bits",
    "truncated": "m4a cut at 0.9; mp4 without moov; mp4 without mdat; wav of 65535 channels; wav at 0 Hz; "
    "wav of no channels; wav at 4 GHz; mp4 of 2**28 time steps; no samples; mp3 of only a tag",
    "not_audio": "png; jpeg; gif; svg; pdf; zip; gzip; html; text; utf-16 text; json; subtitles; "
    "hls playlist; hls playlist named wav; hls playlist of an address; m3u playlist; pls playlist; "
    "concat script; dash manifest; sdp; random bytes; zeros; ones; midi; elf; one byte",
    "not_found": "directory; pipe; dangling link; loop link; missing; name too long",
    "no_audio_stream": "mp4 without sound; webm without sound",
    "protected": "encrypted mp4; itunes drm",
    "unsupported_codec": "unknown fourcc; wav of unknown codec; wav of rare codec",
    "channels": "wav of 9 channels",
    "sample_rate": "wav at 100 Hz; aiff at 2**16383 Hz",
    "not_finite": "nan; infinity; all nan; nan in one channel; loud float",
    "silent": "silence; constant; silence but for one bit; tiny float; silent mp3",
    "too_short": "0.1 seconds; one sample",
    "too_long": "more than ten minutes",
    "too_large": "more than 25 MB",
    "empty": "no bytes",
}


@pytest.mark.parametrize("code", MALFORMED)
def test_malformed_files_get_the_right_answer(code: str, malformed: dict):
    wrong = {kind: malformed["seen"][kind]["code"] for kind in MALFORMED[code].split("; ")}
    assert wrong == dict.fromkeys(wrong, code)


@pytest.mark.parametrize("option", ["format_whitelist", "protocol_whitelist"])
def test_a_playlist_opens_nothing(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(with_soundfile(speech_like(2), SAMPLE_RATE, "WAV", "PCM_16"))
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n".encode()
    script = f"ffconcat version 1.0\nfile '{secret}'\n".encode()
    for playlist in (hls, script):
        with pytest.raises(AudioError, match="This is a playlist"):
            load(playlist)
    # Either list alone is enough, and without both the script would have been followed.
    monkeypatch.setattr(decoding, "_FFMPEG_OPTIONS", {"safe": "0", option: decoding._FFMPEG_OPTIONS[option]})
    for playlist in (hls, script):
        assert code_of(playlist) == "not_audio"
    monkeypatch.setattr(decoding, "_FFMPEG_OPTIONS", {"safe": "0"})
    assert load(script).wave.any()


# Changed at random

BROWSER_CLIPS = {
    name: FORMATS[name][2](speech_like(0.6, FORMATS[name][0]), FORMATS[name][0])
    for name in ("wav-16", "wav-adpcm", "flac", "mp3", "ogg", "opus", "m4a", "webm", "amr")
}


def judge_or_refuse(source: object) -> None:
    try:
        clip = load(source)
    except AudioError as error:
        assert_plain_sentence(str(error))
        return
    assert clip.wave.dtype == np.float32
    assert abs(clip.wave).max() <= 1
    for warning in quality_warnings(clip):
        assert_plain_sentence(warning.sentence)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        [b"", b"RIFF\0\1\0\0WAVEfmt ", b"fLaC", b"OggS", b"ID3", b"\0\0\0\x18ftypisom", b"\x1aE\xdf\xa3"]
    ),
    st.binary(max_size=2000),
)
def test_random_bytes_never_escape(magic: bytes, rest: bytes):
    judge_or_refuse(magic + rest)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_changes_of_a_clip_never_escape(data: st.DataObject):
    changed = bytearray(BROWSER_CLIPS[data.draw(st.sampled_from(sorted(BROWSER_CLIPS)))])
    reach = data.draw(st.sampled_from([80, 600, len(changed)]))  # headers matter most
    places = st.integers(0, min(reach, len(changed)) - 1)
    for place, new in data.draw(st.lists(st.tuples(places, st.binary(max_size=4)), max_size=12)):
        changed[place : place + data.draw(st.sampled_from([0, len(new)]))] = new
    judge_or_refuse(bytes(changed[: data.draw(st.integers(0, len(changed)))]))


@settings(max_examples=50, deadline=None)
@given(
    st.integers() | st.floats(),
    hnp.arrays(
        hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes(),
        st.sampled_from([(0,), (1,), (5000,), (5000, 2), (5000, 9), (2, 5000), ()]),
        elements=None,
    ),
)
def test_random_arrays_never_escape(rate_hz: float, samples: np.ndarray):
    judge_or_refuse((rate_hz, samples))
    judge_or_refuse((8000, samples))
