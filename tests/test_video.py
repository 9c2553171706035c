"""The film's scenario, its clock, its sound and its file; and what the presenter's bar says."""

import io
import shutil
import subprocess

import av
import numpy as np
import pytest
from PIL import Image

from assets import film, make_video, scenario
from assets.film import FADE, Film, Sound, mix
from ncdetect.audio import SAMPLE_RATE
from ncdetect.language import speaking
from ncdetect.ui import examples, model, page, present


def acts():
    return [(scene.point, act) for scene in scenario.SCENARIO for act in scene.acts]


def picture(colour, size=(1280, 720)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def test_film_and_talk_make_the_same_points_in_the_same_order():
    assert [scene.point for scene in scenario.SCENARIO] == [point.key for point in present.talk()]


def test_the_film_is_short_enough_even_if_it_shows_all_waiting():
    assert sum(act.seconds for _, act in acts()) + len(acts()) * film.FRAME_S < scenario.LONGEST_S


def test_every_act_says_what_it_needs():
    alone = {"rest", "live", "look"}
    for point, act in acts():
        assert act.do in {*alone, "wait", "point", "click", "bring", "drag"}, point
        assert act.seconds > 0 and (act.at or act.do in alone), (point, act)
        if act.do == "drag":
            assert 0 <= float(act.what) <= 1
        if act.do == "bring":
            assert (make_video.ASSETS / act.what).is_file()


def test_the_captions_are_true_of_the_model_that_ships():
    judge = model.predictor().check
    clips = {name: judge(examples.FOLDER / name) for name in (present.REAL, present.FAKE, present.SPLICED)}
    assert [clips[name].verdict for name in clips] == ["real", "fake", "real"]
    table = examples.examples()
    assert {table[name].speaker_trained for name in (present.REAL, present.FAKE)} == {"no"}
    assert table[present.FAKE].generator_trained == "no"
    start, end = table[present.SPLICED].fake_span
    suspect = [w for w in clips[present.SPLICED].windows if w.judged and w.probability > 0.5]
    assert suspect and all(w.start_s < end and w.end_s > start for w in suspect)
    assert judge(make_video.ASSETS / scenario.OWN).verdict == "undecided"


def test_the_clock_stands_at_the_end_of_the_last_picture(tmp_path):
    made = Film(tmp_path)
    made.add(b"a", 0.5)
    made.sounds.append(Sound(made.clock, np.ones(4, np.float32)))
    made.add(b"b", 0.04)
    made.add(b"c", 1.0)
    made.sounds.append(Sound(made.clock, np.ones(4, np.float32)))
    assert made.clock == pytest.approx(1.54)
    lines = made.frame_list().splitlines()
    assert lines[:2] == [f"file '{tmp_path}/00000.png'", "duration 0.500000"]
    assert lines[-3:] == [f"file '{tmp_path}/00002.png'", "duration 1.000000", f"file '{tmp_path}/00002.png'"]
    made.cut(0.54)
    assert made.clock == pytest.approx(0.54) and len(made.frames) == 2
    assert [sound.start_s for sound in made.sounds] == [0.5]


def test_one_sound_at_a_time_and_none_beyond_the_end():
    long = np.ones(3 * SAMPLE_RATE, np.float32)
    track = mix([Sound(2.0, -long, end_s=2.5), Sound(0.5, long), Sound(3.5, long)], 4.0)
    assert len(track) == 4 * SAMPLE_RATE
    middle = {second: float(track[round(second * SAMPLE_RATE)]) for second in (0.2, 1.0, 2.2, 2.7, 3.8)}
    assert middle == {0.2: 0.0, 1.0: 1.0, 2.2: -1.0, 2.7: 0.0, 3.8: 1.0}
    begin = round(0.5 * SAMPLE_RATE)
    assert track[begin] == 0 and track[begin + FADE // 2] == 0.5 and track[begin + FADE] == 1
    assert np.abs(np.diff(track)).max() <= 1 / FADE + 1e-6, "an edge is heard as a click"


def test_movements_are_calm():
    shares = [film.glide(share) for share in (0, 0.01, 0.5, 0.99, 1)]
    assert shares == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-4) and shares[0] == 0 and shares[-1] == 1


def test_without_ffmpeg_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    made = Film(tmp_path)
    made.add(picture("red"), 1.0)
    with pytest.raises(FileNotFoundError, match="apt-get install ffmpeg"):
        made.write(tmp_path / "out.mp4")
    with pytest.raises(SystemExit, match="apt-get install ffmpeg"):
        make_video.main()


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_the_file_plays_everywhere_and_is_as_long_as_the_clock(tmp_path):
    made = Film(tmp_path)
    for colour, seconds in (("red", 0.2), ("lime", 0.48), ("blue", 0.6)):
        made.add(picture(colour), seconds)
    made.sounds.append(Sound(0.4, np.sin(np.arange(8_000) * 0.3).astype(np.float32)))
    out = tmp_path / "out.mp4"
    made.write(out)
    data = out.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat"), "it could not begin before it is loaded"
    with av.open(str(out)) as opened:
        picture_stream, sound = opened.streams.video[0], opened.streams.audio[0]
        assert (picture_stream.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        frames = [(frame.time, frame) for frame in opened.decode(picture_stream)]
        assert frames[0][1].format.name == "yuv420p" and (frames[0][1].width, frames[0][1].height) == (
            1280,
            720,
        )
        assert frames[-1][0] == pytest.approx(1.24, abs=0.001)
        strongest = [np.asarray(f.to_ndarray(format="rgb24"))[360, 640].argmax() for _, f in frames]
    at = {time: strongest[[t for t, _ in frames].index(t)] for time in (0.08, 0.4, 1.0) for t in [time]}
    assert at == {0.08: 0, 0.4: 1, 1.0: 2}


def test_a_failing_encoder_leaves_no_half_a_film(tmp_path):
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    out = tmp_path / "out.mp4"
    out.write_bytes(b"the old one")
    made = Film(tmp_path)
    made.add(b"no picture", 1.0)
    with pytest.raises(subprocess.CalledProcessError):
        made.write(out)
    assert out.read_bytes() == b"the old one"


class FakeStage:
    """A stage on which some selectors never appear."""

    def __init__(self, tmp_path, missing):
        self.film, self.missing, self.page, self.said = Film(tmp_path), missing, self, []

    def locator(self, selector):
        self.asked = selector
        return self

    first = property(lambda self: self)

    def wait_for(self, timeout):
        if self.asked in self.missing:
            raise make_video.TimeoutError("not there")

    def caption(self, text):
        self.said.append(text)

    def play(self, act):
        if act.at in self.missing:
            raise make_video.TimeoutError("not there")
        self.film.add(b"", act.seconds)


def test_a_scene_without_its_panel_is_left_out_with_a_warning(tmp_path, caplog):
    stage = FakeStage(tmp_path, {"#probe [data-ask]", "#keep-real"})
    played = make_video.play(stage, scenario.SCENARIO)
    left_out = {"probe", "lab"}
    assert [point.key for point in present.talk() if point.key not in left_out] == played
    assert "'probe' is left out: there is no #probe [data-ask]" in caplog.text
    assert "'lab' is left out: nothing came of drag #keep-real" in caplog.text
    shown = sum(act.seconds for point, act in acts() if point not in left_out)
    assert stage.film.clock == pytest.approx(shown), "what was begun of a scene is not shown"


def test_the_talk_opens_tabs_that_are_there():
    opened = {f"tab-{point.tab}" for point in present.talk()}
    assert opened < {page.tab_id(build) for build in page.tabs().values()}


def test_nine_clips_are_at_hand_those_of_the_talk_first():
    clips = present.clips()
    assert [clip.path for clip in clips[:3]] == [point.clip for point in present.talk() if point.clip]
    assert len(clips) == len(set(clips)) == 9
    assert present._opening("One two three four five six seven") == "One two three four"
    assert present._opening("Grazie. Attenda") == "Grazie. Attenda"


def test_the_bar_is_said_in_the_language_of_its_page(monkeypatch):
    english = present.bar()
    assert english.count("<li") == len(present.talk()) and english.count("<kbd>") == 9 + 3
    with speaking("de"):
        german = present.bar()
    assert "Ein Hinweis, kein Beweis." in german and "A hint" not in german
    evil = examples.examples()[present.REAL].__class__(
        **{**vars(examples.examples()[present.REAL]), "text": '<b>"Bonjour', "language": '"><i>'}
    )
    monkeypatch.setattr(present, "clips", lambda: (evil,))
    assert "<b>" not in present.bar() and "<i>" not in present.bar()
