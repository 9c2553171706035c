"""Find the same recording met twice, by what it sounds like and not by its name.

LJSpeech stands in FoR and beside WaveFake, at another level, rate or length; a clip of it in training and
again in evaluation would flatter every number. Two detectors answer:

- *exact*: equal samples after decoding, whatever the container or header says;
- *acoustic*: 32 bits every 16 ms, each the sign of a difference of neighbouring bands' energies across time
  (Haitsma and Kalker, "A highly robust audio fingerprinting system", ISMIR 2002). Gain cancels, the bands lie
  below 2 kHz where every rate from 8 kHz on has signal, and windows of 256 ms hardly mind where the clip
  begins. A vocoder keeps these energies, so such bits know the recording but not the voice's maker.

Reals are compared with reals, and a fake only with fakes of the same generator (all unknown ones counting as
one): two vocoders' versions of one recording sound alike here, yet both are wanted. Equal samples are the
same clip whatever the generator.
"""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ncdetect import audio
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label

WINDOW_SAMPLES = 4096  # 256 ms at 16 kHz
HOP_SAMPLES = 256  # 16 ms: a shift of half a hop moves the window by 1/32 of its length
F_MIN_HZ, F_MAX_HZ = 300.0, 2000.0
N_BITS = 32
ACTIVE_RANGE = 1e-4  # of the loudest frame's energy, 40 dB: below it the bits are of the noise

# Measured on 1,878 reals: pairs of one recording differ in at most 0.20 of the bits, MP3 and level
# included, other pairs that overlap by half in at least 0.21.
MAX_BIT_ERROR_RATE = 0.2
MIN_OVERLAP = 0.5  # of the shorter clip's active frames
FULL_OVERLAP_FRAMES = 48  # 0.77 s; fewer agree by chance now and then, so they must agree better

_NEIGHBOURS = 4
_EXTENSION_FRAMES = 8  # each side of a seed
_EXTENSION_ERROR_RATE = 0.3
_BLOCK = 512  # frames transformed at once: ten minutes of audio would take a gigabyte
_CHUNK = 2**16
_INDEX_FRAMES = 2**24  # sorted at once, about 600 MB
_EDGES = np.ceil(np.geomspace(F_MIN_HZ, F_MAX_HZ, N_BITS + 2) / audio.SAMPLE_RATE * WINDOW_SAMPLES).astype(
    int
)
_TAPER = np.hanning(WINDOW_SAMPLES).astype(np.float32)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Clips of one class that are the same recording.

    Attributes:
        clips: At least two, by path. Of three, the outer two need not overlap: the middle one may join them.
        exact: Whether all have equal samples.
    """

    clips: tuple[Clip, ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of a clip's sound.

    Attributes:
        digest: Hash of the samples, 16 bits each.
        words: N_BITS bits a frame, shape (L,), uint32.
        active: Frames loud enough to be compared, shape (L,), bool.
    """

    digest: bytes
    words: NDArray[np.uint32]
    active: NDArray[np.bool_]


def fingerprint(wave: NDArray[np.float32]) -> Fingerprint:
    """Fingerprint of a waveform.

    Args:
        wave: Shape (T,), float32 at 16 kHz.

    Returns:
        With L = T // HOP_SAMPLES frames.
    """
    samples = np.rint(wave * 32767).clip(-32768, 32767).astype("<i2")
    padded = np.pad(wave.astype(np.float32, copy=False), WINDOW_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    bands = np.concatenate([_bands(frames[row : row + _BLOCK]) for row in range(0, len(frames), _BLOCK)])
    slope = bands[:, :-1] - bands[:, 1:]
    words = np.packbits(slope[1:] > slope[:-1], axis=1).view(">u4")[:, 0].astype(np.uint32)
    loudness = bands.sum(axis=1)
    loud = loudness > ACTIVE_RANGE * loudness.max()
    return Fingerprint(
        hashlib.blake2b(samples.tobytes(), digest_size=16).digest(), words, loud[1:] & loud[:-1]
    )


def find_duplicates(
    manifest: Manifest,
    *,
    load: Callable[[Path], NDArray[np.float32]] | None = None,
    workers: int = 1,
) -> list[DuplicateGroup]:
    """Find clips that are the same recording within their class.

    Time and memory grow with the total duration: some 3 ms and 900 bytes a second of audio. A file that
    cannot be decoded is logged and skipped.

    Args:
        manifest: Clips of all corpora concerned (`Manifest.union`).
        load: From file to waveform (T,), float32 at 16 kHz; by default `audio.load`.
        workers: Threads that decode.

    Returns:
        By the first clip's path; the rows' order does not matter.
    """
    load = load or _load
    clips = sorted(manifest, key=lambda clip: clip.path)

    def take(clip: Clip) -> Fingerprint | None:
        try:
            return fingerprint(load(manifest.file(clip)))
        except (ValueError, OSError) as error:
            logger.warning("%s: not searched for duplicates: %s", manifest.file(clip), error)
            return None

    with ThreadPool(workers) as pool:
        taken = pool.map(take, clips, chunksize=16)
    found = [(clip, prints) for clip, prints in zip(clips, taken, strict=True) if prints is not None]
    clips = [clip for clip, _ in found]
    prints = [prints for _, prints in found]

    first: dict[Hashable, int] = {}
    links = [
        (first.setdefault((clip.label, print_.digest), row), row) for row, (clip, print_) in enumerate(found)
    ]
    sets = [(clip.label, clip.generator if clip.label == Label.FAKE else "") for clip in clips]
    links += same_recording(prints, sets)
    return [
        DuplicateGroup(tuple(clips[row] for row in rows), len({prints[row].digest for row in rows}) == 1)
        for rows in _components(len(clips), links)
    ]


def same_recording(prints: Sequence[Fingerprint], sets: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Pairs of fingerprints that agree over a stretch, found through an index of equal frames.

    Equal words seed a comparison of the frames around them, as in BLAST; where these agree the whole overlap
    at that offset is compared. Each frame meets its next few equals in the sorted index, not all of them, so
    the work is linear in the number of frames; a true pair has dozens of chances to meet.

    Args:
        prints: One a clip.
        sets: Set of each clip; only clips of equal sets are compared.

    Returns:
        Pairs (a, b) of indices with a < b.
    """
    if len(prints) < 2:
        return []
    starts = np.cumsum([0] + [len(print_.words) for print_ in prints])
    words = np.concatenate([print_.words for print_ in prints])
    active = np.concatenate([print_.active for print_ in prints])
    number = {name: index for index, name in enumerate(dict.fromkeys(sets))}
    clip_of = np.repeat(np.arange(len(prints), dtype=np.int32), np.diff(starts))
    set_of = np.array([number[name] for name in sets], dtype=np.uint64)

    def index() -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
        # in parts by key, so that memory is bounded; equal keys are in the same part
        parts = np.uint32(1 + len(words) // _INDEX_FRAMES)
        for part in range(parts):
            position = np.flatnonzero(active & (words % parts == part))
            keys = (set_of[clip_of[position]] << np.uint64(32)) | words[position]
            order = np.argsort(keys, kind="stable")
            yield position[order], keys[order]

    offsets: set[tuple[int, int, int]] = set()
    for here, there in (seed for part in index() for seed in _seeds(*part, clip_of)):
        a, b = clip_of[here], clip_of[there]
        agree = _error_rate_around(words, here, there) <= _EXTENSION_ERROR_RATE
        offset = (here - starts[a]) - (there - starts[b])
        offsets.update(zip(a[agree].tolist(), b[agree].tolist(), offset[agree].tolist(), strict=True))

    pairs: set[tuple[int, int]] = set()
    for a, b, offset in sorted(offsets):
        if (a, b) not in pairs and _overlaps(prints[a], prints[b], offset):
            pairs.add((a, b))
    return sorted(pairs)


def pairs_by_corpora(groups: Iterable[DuplicateGroup]) -> Counter[tuple[str, str]]:
    """Count, for each pair of corpora, the pairs of clips that are one recording.

    Returns:
        Keys are names in alphabetical order; a corpus paired with itself counts its own repetitions.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for group in groups:
        sizes = Counter(clip.corpus for clip in group.clips)
        for a, b in combinations_with_replacement(sorted(sizes), 2):
            counts[a, b] += sizes[a] * (sizes[a] - 1) // 2 if a == b else sizes[a] * sizes[b]
    return +counts


def drop_duplicates(manifest: Manifest, groups: Iterable[DuplicateGroup]) -> Manifest:
    """Keep one clip of each group: of eval before dev before train, then the first by path.

    In that order, so that what is dropped is the training copy of a clip that is judged on.
    """
    rank = {"eval": 0, "dev": 1, "train": 2, "": 3}
    dropped: set[str] = set()
    for group in groups:
        _, *others = sorted(group.clips, key=lambda clip: (rank[clip.split], clip.path))
        dropped.update(clip.path for clip in others)
    return Manifest(manifest.root, tuple(clip for clip in manifest if clip.path not in dropped))


def _bands(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Energies of the bands, (L, WINDOW_SAMPLES) -> (L, N_BITS + 1)."""
    spectrum = scipy.fft.rfft(frames * _TAPER, axis=1)[:, : _EDGES[-1]]
    return np.add.reduceat(spectrum.real**2 + spectrum.imag**2, _EDGES[:-1], axis=1)


def _load(file: Path) -> NDArray[np.float32]:
    return audio.load(file).wave


def _seeds(
    position: NDArray[np.int64], keys: NDArray[np.uint64], clip_of: NDArray[np.int32]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of frames of two clips with equal keys, in chunks; the first of a pair is of the earlier clip."""
    for step in range(1, _NEIGHBOURS + 1):
        for start in range(0, len(keys) - step, _CHUNK):
            chunk = slice(start, min(start + _CHUNK, len(keys) - step))
            ahead = slice(chunk.start + step, chunk.stop + step)
            here, there = position[chunk], position[ahead]
            seed = (keys[chunk] == keys[ahead]) & (clip_of[here] != clip_of[there])
            yield here[seed], there[seed]


def _error_rate_around(
    words: NDArray[np.uint32], here: NDArray[np.int64], there: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Bit error rate of the frames around pairs of seeds, shape (pairs,).

    Silence and neighbouring clips are compared along: they make a seed near a clip's end less likely to pass,
    but a pair has many seeds, and what passes is compared exactly later.
    """
    around = np.arange(-_EXTENSION_FRAMES, _EXTENSION_FRAMES + 1)
    last = len(words) - 1
    wrong = words[(here[:, None] + around).clip(0, last)] ^ words[(there[:, None] + around).clip(0, last)]
    return np.bitwise_count(wrong).mean(axis=1) / N_BITS


def _overlaps(a: Fingerprint, b: Fingerprint, offset: int) -> bool:
    """Whether two clips agree where they overlap if frame `offset` of a is frame 0 of b."""
    start, stop = max(0, offset), min(len(a.words), len(b.words) + offset)
    both = a.active[start:stop] & b.active[start - offset : stop - offset]
    wrong = np.bitwise_count(a.words[start:stop] ^ b.words[start - offset : stop - offset])[both]
    if len(wrong) < max(1, MIN_OVERLAP * min(a.active.sum(), b.active.sum())):
        return False
    return wrong.mean() / N_BITS <= MAX_BIT_ERROR_RATE * min(1, len(wrong) / FULL_OVERLAP_FRAMES)


def _components(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Connected components of at least two of `count` nodes, each in ascending order."""
    parent = list(range(count))

    def top(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in links:
        low, high = sorted((top(a), top(b)))
        parent[high] = low
    members = defaultdict(list)
    for node in range(count):
        members[top(node)].append(node)
    return [nodes for nodes in members.values() if len(nodes) > 1]
