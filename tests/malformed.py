"""Files that a detector meets and cannot, or can only just, read: broken, renamed, lying, hostile, odd."""

import gzip
import io
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from media import FORMATS, speech_like, with_ffmpeg, with_soundfile

_TRUNCATED = (
    *(
        "wav-16",
        "wav-adpcm",
        "flac",
        "mp3",
        "mp3-ffmpeg",
        "ogg",
        "opus",
        "aiff",
        "caf-alac",
        "m4a",
        "m4a-alac",
    ),
    *("webm", "mkv-pcm", "aac", "amr", "3gp", "wma", "ac3", "avi", "mpegts"),
)
_CUTS = (0.02, 0.5, 0.9)
_FLIPPED = ("wav-adpcm", "flac", "mp3", "ogg", "opus", "aiff", "m4a", "m4a-alac", "webm", "amr", "wma", "avi")


def make_malformed(folder: Path) -> list[tuple[Path, str]]:
    """Write the files, the same ones every time.

    Args:
        folder: Existing and empty.

    Returns:
        Path and kind of each; kinds are unique. Some paths are a folder, a pipe or a dangling link.
    """
    made = []
    for name, kind, data in _contents():
        path = folder / name
        path.write_bytes(data)
        made.append((path, kind))
    return made + list(_not_plain_files(folder))


def _contents() -> Iterator[tuple[str, str, bytes]]:
    clips = {name: FORMATS[name][2](speech_like(3.0, FORMATS[name][0]), FORMATS[name][0]) for name in FORMATS}
    for name in _TRUNCATED:
        for cut in _CUTS:
            yield f"cut-{name}-{cut}.bin", f"{name} cut at {cut}", clips[name][: int(cut * len(clips[name]))]
    for name in _FLIPPED:
        yield f"flipped-{name}.bin", f"{name} with flipped bits", _flip_bits(clips[name], 40)
    yield from _odd_wavs()
    yield from _lying_headers(clips)
    yield from _foreign_files(clips)
    yield from _odd_signals()
    for name in (
        "ünï 漢字 🎙.wav",
        "two  spaces .wav",
        "<b>bold<b>.wav",
        "-rf.wav",
        "%s{0}\n.wav",
        "x" * 196 + ".wav",
    ):
        yield name, f"name {name[:12]!r}", clips["wav-16"]
    yield "no extension", "name without extension", clips["m4a"]
    yield "mp3.wav", "mp3 named wav", clips["mp3"]
    yield "wav.mp3", "wav named mp3", clips["wav-16"]


def _flip_bits(data: bytes, count: int) -> bytes:
    rng, flipped = random.Random(len(data)), bytearray(data)
    for _ in range(count):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _wav(
    samples: bytes,
    tag: int = 1,
    channels: int = 1,
    rate_hz: int = 16_000,
    bits: int = 16,
    align: int = 2,
    riff_bytes: int | None = None,
    data_bytes: int | None = None,
    before: bytes = b"",
) -> bytes:
    """A WAV whose header says what one likes."""
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * align & 0xFFFFFFFF, align, bits)
    data_bytes = len(samples) if data_bytes is None else data_bytes
    body = (
        b"WAVEfmt " + struct.pack("<I", 16) + fmt + before + b"data" + struct.pack("<I", data_bytes) + samples
    )
    return b"RIFF" + struct.pack("<I", len(body) if riff_bytes is None else riff_bytes) + body


def _odd_wavs() -> Iterator[tuple[str, str, bytes]]:
    samples = (speech_like(1.6) * 32767).astype("<i2").tobytes()
    odd = {
        "wav of 2**31 frames": {"data_bytes": 2**32 - 2, "riff_bytes": 2**32 - 1},
        "wav of 1 GB": {"data_bytes": 2**30},
        "wav of no channels": {"channels": 0, "align": 0},
        "wav of 65535 channels": {"channels": 65535, "align": 65535},
        "wav of 9 channels": {"channels": 9, "align": 18},
        "wav at 0 Hz": {"rate_hz": 0},
        "wav at 100 Hz": {"rate_hz": 100},
        "wav at 4 GHz": {"rate_hz": 2**32 - 1},
        "wav of 0 bits": {"bits": 0},
        "wav of 7 bits": {"bits": 7},
        "wav of 255 bits": {"bits": 255, "align": 32},
        "wav of unknown codec": {"tag": 0x1234},
        "wav that says it is mp3": {"tag": 0x55},
        "wav that says it is adpcm": {"tag": 2, "bits": 4, "align": 0},
        "wav extensible without extension": {"tag": 0xFFFE},
        "wav with riff size 0": {"riff_bytes": 0},
        "wav with data size 0": {"data_bytes": 0},
        "wav with small sizes": {"riff_bytes": 1000, "data_bytes": 900},
        "wav whose fact lies": {"before": b"fact" + struct.pack("<II", 4, 2**32 - 1)},
        "wav with a chunk of 4 GB": {"before": b"LIST" + struct.pack("<I", 2**32 - 1)},
        "wav with second fmt": {
            "before": b"fmt " + struct.pack("<IHHIIHH", 16, 3, 2, 48_000, 384_000, 8, 32)
        },
    }
    for kind, header in odd.items():
        yield f"{kind.replace(' ', '_')}.wav", kind, _wav(samples, **header)
    whole = _wav(samples)
    yield "no_fmt.wav", "wav without fmt", whole[:12] + whole[36:]
    yield "no_data.wav", "wav without data", whole[:36]
    yield "only_riff.wav", "wav of twelve bytes", whole[:12]
    sizes = struct.pack("<IQQQI", 28, 2**63, 2**63, 2**63, 0)
    huge = b"RF64\xff\xff\xff\xffWAVEds64" + sizes + whole[12:]
    yield "rf64.wav", "rf64 of 2**63 bytes", huge


def _patch(data: bytes, after: bytes, offset: int, new: bytes) -> bytes:
    """Overwrite `new` at `offset` bytes behind the end of the first `after`."""
    start = data.index(after) + len(after) + offset
    return data[:start] + new + data[start + len(new) :]


def _atom(kind: bytes, *children: bytes, size: int | None = None) -> bytes:
    body = b"".join(children)
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def _ogg_page(payload: bytes, flags: int, segments: bytes | None = None) -> bytes:
    segments = bytes([len(payload)]) if segments is None else segments
    return b"OggS" + struct.pack("<BBqIIIB", 0, flags, 0, 1, 0, 0, len(segments)) + segments + payload


def _lying_headers(clips: dict[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    m4a, flac, aiff, ogg, webm = (clips[name] for name in ("m4a", "flac", "aiff", "ogg", "webm"))
    huge = b"\x0f\xff\xff\xff"
    yield "encrypted.m4a", "encrypted mp4", _patch(m4a, b"stsd", 12, b"enca")
    yield "itunes.m4p", "itunes drm", _patch(m4a, b"stsd", 12, b"drms")
    yield "fourcc.m4a", "unknown fourcc", _patch(clips["m4a-alac"], b"stsd", 12, b"xyzw")
    yield "stsz.m4a", "mp4 of 2**28 samples", _patch(m4a, b"stsz", 8, huge)
    yield "stsz_size.m4a", "mp4 samples of 256 MB", _patch(m4a, b"stsz", 4, huge)
    yield "stts.m4a", "mp4 of 2**28 time steps", _patch(m4a, b"stts", 4, huge)
    yield "stco.m4a", "mp4 with offsets beyond its end", _patch(m4a, b"stco", 8, huge)
    yield "timescale.m4a", "mp4 with timescale 0", _patch(m4a, b"mdhd", 12, b"\0\0\0\0")
    yield "no_moov.m4a", "mp4 without moov", m4a.replace(b"moov", b"junk")
    yield "no_mdat.m4a", "mp4 without mdat", m4a[: m4a.index(b"mdat") - 4] + m4a[m4a.index(b"moov") - 4 :]
    ftyp = _atom(b"ftyp", b"isom\0\0\2\0isom")
    noise = random.Random(4).randbytes(len(m4a) // 2)
    yield "noise.m4a", "mp4 of half noise", m4a[: len(m4a) // 3] + noise + m4a[len(m4a) // 3 + len(noise) :]
    yield "size0.mp4", "mp4 atoms of size 0", ftyp + _atom(b"moov", _atom(b"trak", size=0), size=0) * 50
    yield (
        "size1.mp4",
        "mp4 atoms of size 1",
        ftyp + _atom(b"moov", _atom(b"trak", b"\xff" * 8, size=1), size=1),
    )
    nested = b""
    for _ in range(2000):
        nested = _atom(b"moov", nested)
    yield "nested.mp4", "mp4 nested 2000 deep", ftyp + nested
    yield "video.mp4", "mp4 without sound", with_ffmpeg(None, 0, "mp4", video="mpeg4")
    yield "video.webm", "webm without sound", with_ffmpeg(None, 0, "webm", video="libvpx")
    yield (
        "segment.webm",
        "webm of 2**56 bytes",
        _patch(webm, b"\x18\x53\x80\x67", 0, b"\x01" + b"\xff" * 6 + b"\xfe"),
    )
    yield "title.webm", "webm whose texts are no text", webm.replace(b"Lavf", b"\xff\xfe\xff\xfe")
    yield "ebml.webm", "webm of headers only", b"\x1aE\xdf\xa3\x9f" * 500
    yield (
        "blocksize.flac",
        "flac with blocks of 65535 and a wrong md5",
        _patch(flac, b"fLaC", 4, b"\xff\xff\xff\xff" + b"\xff" * 6),
    )
    yield "md5.flac", "flac with a wrong md5", flac[:26] + bytes(16) + flac[42:]
    yield "frames.flac", "flac of 2**36 frames", flac[:21] + bytes([flac[21] | 15]) + b"\xff" * 4 + flac[26:]
    yield "picture.flac", "flac with a block of 16 MB", flac[:42] + b"\x06\xff\xff\xff" + flac[42:]
    yield "frames.aiff", "aiff of 2**32 frames", _patch(aiff, b"COMM", 6, b"\xff\xff\xff\xff")
    yield "rate.aiff", "aiff at 2**16383 Hz", _patch(aiff, b"COMM", 12, b"\x7f\xfe" + b"\xff" * 8)
    yield "channels.aiff", "aiff of 32767 channels", _patch(aiff, b"COMM", 4, b"\x7f\xff")
    yield "no_ssnd.aiff", "aiff without sound chunk", aiff.replace(b"SSND", b"SSN\x04")
    yield "unknown.au", "au of unknown length", clips["au"][:8] + b"\xff" * 4 + clips["au"][12:]
    yield "channels.au", "au of 2**31 channels", clips["au"][:20] + b"\x7f\xff\xff\xff" + clips["au"][24:]
    yield "vorbis.ogg", "ogg with broken pages", _ogg_page(b"\x01vorbis" + b"\xff" * 23, 2) + b"OggS" * 500
    yield "segments.ogg", "ogg page that lacks its body", _ogg_page(b"\x7fFLAC", 2, b"\xff" * 255)
    yield "crc.ogg", "ogg with wrong checksums", ogg.replace(b"OggS\0\0", b"OggS\0\1")
    yield "chained.ogg", "ogg of two rates", clips["opus"] + ogg
    yield "no_end.ogg", "ogg without last page", clips["opus"][: clips["opus"].rindex(b"OggS")]
    tag = b"ID3\x04\0\0\x7f\x7f\x7f\x7f"
    yield "picture.mp3", "mp3 with a picture of 256 megapixels", _with_picture(clips["mp3"])
    yield "id3.mp3", "mp3 with a tag of 256 MB", tag + clips["mp3"]
    yield "only_id3.mp3", "mp3 of only a tag", b"ID3\x04\0\0\0\0\x01\0" + bytes(128)
    yield "headers.mp3", "mp3 of headers only", b"\xff\xfb\x90\x00" * 5000
    yield "junk_first.mp3", "mp3 behind junk", random.Random(1).randbytes(3000) + clips["mp3"]
    yield "junk_last.mp3", "mp3 before junk", clips["mp3"] + random.Random(2).randbytes(30_000)
    yield (
        "yamaha.wav",
        "wav of rare codec",
        with_ffmpeg(speech_like(2, 22_050), 22_050, "wav", "adpcm_yamaha"),
    )
    yield "twice.wav", "two wavs in one", clips["wav-16"] + clips["wav-16"]


def _png(side: int) -> bytes:
    """A black square, grey scale."""
    packer, row = zlib.compressobj(1), bytes(side + 1)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )


def _with_picture(mp3: bytes) -> bytes:
    """Put a cover picture, small in the file and huge in memory, before the sound."""
    body = b"\0image/png\0\3\0" + _png(16_000)
    frame = b"APIC" + struct.pack(">IH", len(body), 0) + body
    return b"ID3\3\0\0" + bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0)) + frame + mp3


def _foreign_files(clips: dict[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    """Files of other kinds under names of sound files; playlists that name `secret.wav` beside them."""
    yield "secret.wav", "plain wav that playlists name", clips["wav-16"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("clip.wav"), clips["wav-16"])
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    foreign = {
        "no bytes": ("wav", b""),
        "one byte": ("wav", b"R"),
        "zeros": ("wav", bytes(5000)),
        "ones": ("mp3", b"\xff" * 5000),
        "random bytes": ("mp3", random.Random(3).randbytes(50_000)),
        "png": ("mp3", _png(8)),
        "jpeg": ("wav", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(200)),
        "gif": (
            "wav",
            b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
        ),
        "svg": ("mp3", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="secret.wav"/></svg>'),
        "pdf": ("mp3", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"),
        "zip": ("wav", archive.getvalue()),
        "gzip": ("wav", gzip.compress(clips["wav-16"], mtime=0)),
        "html": ("mp3", b"<!DOCTYPE html><html><audio src=secret.wav></audio></html>"),
        "text": ("mp3", b"This is not a sound.\n" * 100),
        "utf-16 text": ("wav", "This is not a sound.\n".encode("utf-16") * 100),
        "json": ("wav", b'{"wave": [0.0, 0.1]}'),
        "subtitles": ("mp3", b"1\n00:00:00,000 --> 00:00:03,000\nhello\n\n"),
        "hls playlist": ("m3u8", hls.format("secret.wav").encode()),
        "hls playlist named wav": ("wav", hls.format("file:secret.wav").encode()),
        "hls playlist of an address": ("mp3", hls.format("http://127.0.0.1:9/secret.wav").encode()),
        "m3u playlist": ("m3u", b"secret.wav\n"),
        "pls playlist": ("pls", b"[playlist]\nFile1=secret.wav\nNumberOfEntries=1\n"),
        "concat script": ("wav", b"ffconcat version 1.0\nfile 'secret.wav'\n"),
        "dash manifest": (
            "mp4",
            b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
            b"<Representation><BaseURL>secret.wav</BaseURL></Representation></AdaptationSet></Period></MPD>",
        ),
        "sdp": (
            "mp3",
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        ),
        "webp": ("wav", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"),
        "midi": ("mp3", b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk\0\0\0\x04\0\xff/\0"),
        "numpy array": ("wav", b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'shape': (9,)}" + bytes(36)),
        "elf": ("wav", b"\x7fELF\x02\x01\x01" + bytes(500)),
    }
    for kind, (extension, data) in foreign.items():
        yield f"{kind.replace(' ', '_')}.{extension}", kind, data


def _odd_signals() -> Iterator[tuple[str, str, bytes]]:
    speech = speech_like(1.6)
    nan, infinite, loud = speech.copy(), speech.copy(), speech * np.float32(3e38)
    nan[12_345], infinite[-1] = np.nan, np.inf
    stereo = np.stack([speech, -speech], axis=1)
    lame = stereo.copy()
    lame[5, 1] = np.nan
    for kind, wave in {
        "nan": nan,
        "infinity": infinite,
        "all nan": np.full(9000, np.nan, np.float32),
        "nan in one channel": lame,
        "loud float": loud,
        "float of integer scale": speech * 32767,
        "tiny float": speech * np.float32(1e-40),
        "opposite channels": stereo,
        "silence": np.zeros(16_000),
        "silence but for one bit": np.arange(16_000) % 2 / 32768,
        "constant": np.full(16_000, 0.5),
        "0.1 seconds": speech[:1600],
        "one sample": speech[:1],
        "no samples": speech[:0],
    }.items():
        yield f"{kind.replace(' ', '_')}.wav", kind, with_soundfile(wave, 16_000, "WAV", "FLOAT")
    yield "zeros.mp3", "silent mp3", with_soundfile(np.zeros(16_000), 16_000, "MP3", "MPEG_LAYER_III")
    yield "long.flac", "more than ten minutes", with_soundfile(np.zeros(8000 * 601), 8000, "FLAC", "PCM_16")
    wide = np.zeros((192_000 * 4, 8))
    yield "bomb.flac", "eight silent channels at 192 kHz", with_soundfile(wide, 192_000, "FLAC", "PCM_16")


def _not_plain_files(folder: Path) -> Iterator[tuple[Path, str]]:
    large = folder / "large.wav"
    large.write_bytes(_wav(b"\1\0" * 9000))
    os.truncate(large, 26 * 2**20)  # sparse
    yield large, "more than 25 MB"
    directory = folder / "directory.wav"
    directory.mkdir()
    yield directory, "directory"
    for name, target in (("dangling.wav", "nowhere"), ("loop.wav", "loop.wav")):
        (folder / name).symlink_to(folder / target)
        yield folder / name, name.removesuffix(".wav") + " link"
    os.mkfifo(folder / "pipe.wav")
    yield folder / "pipe.wav", "pipe"
    yield folder / "missing.wav", "missing"
    yield folder / ("x" * 5000), "name too long"
    yield folder / "null\0byte.wav", "name with a null byte"
