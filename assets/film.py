"""A film from pictures that each stand for some time, and from sounds: clock, sound track and file."""

import shutil
import subprocess
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncdetect.audio import SAMPLE_RATE
from ncdetect.files import replacing

FRAMES_PER_S = 25
FRAME_S = 1 / FRAMES_PER_S
FADE = SAMPLE_RATE // 50
"""Samples over which a sound begins and ends: an edge would be heard as a click."""
NO_FFMPEG = "ffmpeg is needed to make the film: apt-get install ffmpeg, or see https://ffmpeg.org"


@dataclass
class Sound:
    """Something that is heard."""

    start_s: float
    """When, on the film's clock."""
    wave: NDArray[np.float32]
    """(T,) at 16 kHz."""
    end_s: float = float("inf")
    """When it is stopped, if it is."""


@dataclass
class Film:
    """Pictures and sounds in their order; the clock stands at the end of the last picture."""

    folder: Path
    clock: float = 0.0
    frames: list[tuple[Path, float]] = field(default_factory=list)
    """Each picture and how long it stands, in seconds."""
    sounds: list[Sound] = field(default_factory=list)

    def add(self, picture: bytes, seconds: float) -> None:
        """Show a picture (PNG) for some time."""
        file = self.folder / f"{len(self.frames):05d}.png"
        file.write_bytes(picture)
        self.frames.append((file, seconds))
        self.clock += seconds

    def cut(self, clock: float) -> None:
        """Go back to an earlier time: what came since then is neither seen nor heard."""
        while self.frames and self.clock > clock + FRAME_S / 2:
            self.clock -= self.frames.pop()[1]
        self.sounds = [sound for sound in self.sounds if sound.start_s < self.clock]

    def frame_list(self) -> str:
        """The pictures for ffmpeg's `concat`, which wants the last one twice to keep its duration."""
        lines = [f"file '{file}'\nduration {seconds:.6f}\n" for file, seconds in self.frames]
        return "".join([*lines, f"file '{self.frames[-1][0]}'\n"])

    def write(self, out: Path, quality: int = 26) -> None:
        """Encode: H.264 that every browser plays and begins to play before it is loaded, and AAC.

        Args:
            out: The MP4 file; it is there whole or not at all.
            quality: The constant rate factor of x264, lower is better and larger.

        Raises:
            FileNotFoundError: If there is no ffmpeg.
            subprocess.CalledProcessError: If it fails.
        """
        ffmpeg = shutil.which("ffmpeg")
        if not ffmpeg:
            raise FileNotFoundError(NO_FFMPEG)
        pictures, track = self.folder / "frames.txt", self.folder / "sound.wav"
        pictures.write_text(self.frame_list(), "utf-8")
        with wave.open(str(track), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes((32_767 * mix(self.sounds, self.clock)).astype("<i2").tobytes())
        picture = ["-c:v", "libx264", "-preset", "medium", "-crf", str(quality), "-pix_fmt", "yuv420p"]
        sound = ["-c:a", "aac", "-b:a", "96k", "-ar", "48000"]
        with replacing(out) as temporary:
            subprocess.run(
                [
                    ffmpeg, "-y", "-loglevel", "error", "-f", "concat", "-safe", "0", "-i", str(pictures),
                    "-i", str(track), "-vf", f"fps={FRAMES_PER_S}",
                    "-t", f"{self.clock:.3f}", *picture, *sound, "-movflags", "+faststart",
                    "-f", "mp4", str(temporary),
                ],
                check=True,
            )  # fmt: skip


def mix(sounds: list[Sound], length_s: float) -> NDArray[np.float32]:
    """The sound track: one sound at a time, each until it ends, is stopped, or the next one begins.

    Args:
        sounds: What is heard.
        length_s: Of the film.

    Returns:
        (T,) at 16 kHz, as long as the film.
    """
    track = np.zeros(round(length_s * SAMPLE_RATE), np.float32)
    ordered = sorted(sounds, key=lambda sound: sound.start_s)
    for number, sound in enumerate(ordered, 1):
        following = ordered[number].start_s if number < len(ordered) else length_s
        start, end = (round(second * SAMPLE_RATE) for second in (sound.start_s, min(sound.end_s, following)))
        heard = sound.wave[: max(0, end - start)].copy()
        edge = min(FADE, len(heard) // 2)
        ramp = np.arange(edge, dtype=np.float32) / max(edge, 1)
        heard[:edge] *= ramp
        heard[len(heard) - edge :] *= ramp[::-1]
        track[start : start + len(heard)] += heard[: len(track) - start]
    return track


def glide(share: float) -> float:
    """How far a calm movement has come after a share of its time: it starts and ends at rest."""
    return share**3 * (share * (6 * share - 15) + 10)
