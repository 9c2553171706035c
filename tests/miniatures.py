"""Miniatures of the corpora, folders and lists exactly as distributed; the audio files are empty."""

from pathlib import Path

LA = {
    "train.trn": (
        "LA_0079 LA_T_1138215 - - bonafide",
        "LA_0080 LA_T_1004644 - A01 spoof",
        "LA_0081 LA_T_1056709 - A05 spoof",
    ),
    "dev.trl": ("LA_0069 LA_D_1047731 - - bonafide", "LA_0070 LA_D_1009418 - A06 spoof"),
    "eval.trl": (
        "LA_0039 LA_E_2834763 - A11 spoof",
        "LA_0014 LA_E_4581379 - A17 spoof",
        "LA_0030 LA_E_5849185 - - bonafide",
    ),
}
PA = {
    "train.trn": ("PA_0079 PA_T_0000001 aaa - bonafide", "PA_0095 PA_T_0005731 aaa AA spoof"),
    "dev.trl": ("PA_0082 PA_D_0000001 abc - bonafide", "PA_0082 PA_D_0020001 abc CB spoof"),
    "eval.trl": ("PA_0016 PA_E_0000001 ccc BA spoof",),
}
DF = (
    "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -",
    "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive"
    " Task1 team20 FF E",
    "TGF1 DF_E_2000024 mp3m4a vcc2020 Task2-team12 spoof notrim eval traditional_vocoder Task2 team12 FF G",
    "LA_0043 DF_E_2000026 mp3m4a asvspoof - bonafide trim hidden bonafide - - - -",
)
ITW = ("0.wav,Alec Guinness,spoof", "1.wav,Alec Guinness,spoof", "4.wav,Christopher Hitchens,bona-fide")
WAVEFAKE = {
    "ljspeech_melgan": "LJ{}_gen.wav",
    "ljspeech_melgan_large": "LJ{}_gen.wav",
    "ljspeech_multi_band_melgan": "LJ{}_gen.wav",
    "ljspeech_hifiGAN": "LJ{}_generated.wav",
    "ljspeech_waveglow": "LJ{}.wav",
    "jsut_parallel_wavegan": "BASIC5000_{}_gen.wav",
    "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech": "gen_{}.wav",
}


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def write_lines(file: Path, *lines: str, end: str = "\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("".join(line + end for line in lines).encode())
    return file


def asvspoof2019(root: Path, track: str = "LA") -> Path:
    for name, lines in (LA if track == "LA" else PA).items():
        split = name.partition(".")[0]
        folder = root / track
        write_lines(
            folder / f"ASVspoof2019_{track}_cm_protocols" / f"ASVspoof2019.{track}.cm.{name}.txt", *lines
        )
        touch(
            *(folder / f"ASVspoof2019_{track}_{split}/flac/{line.split()[1]}.flac" for line in lines),
            # as in the archives: what no protocol names must not become a clip
            folder / f"ASVspoof2019_{track}_{split}/LICENSE.txt",
            folder / f"ASVspoof2019_{track}_{split}/flac/{track}_X_0000000.flac",
        )
    return root


def asvspoof2021_df(root: Path, parts: bool = False) -> Path:
    write_lines(root / "keys/DF/CM/trial_metadata.txt", *DF)
    for number, line in enumerate(DF):
        outer = root / f"ASVspoof2021_DF_eval_part{number:02}" if parts else root
        touch(outer / f"ASVspoof2021_DF_eval/flac/{line.split()[1]}.flac")
    return root


def fake_or_real(root: Path) -> Path:
    for version in ("for-norm/for-norm", "for-2sec/for-2seconds", "for-rerec/for-rerecorded", "for-original"):
        for split, count in (("training", 3), ("validation", 2), ("testing", 1)):
            for word in ("real", "fake"):
                touch(
                    *(root / version / split / word / f"file{n}.wav_16k.wav_norm.wav" for n in range(count))
                )
    return root


def in_the_wild(root: Path) -> Path:
    folder = root / "release_in_the_wild"
    write_lines(folder / "meta.csv", "file,speaker,label", *ITW)
    touch(*(folder / line.partition(",")[0] for line in ITW))
    return root


def wavefake(root: Path, count: int = 40) -> Path:
    ids = [f"{1 + n % 3:03}-{n:04}" for n in range(count)]
    for folder, name in WAVEFAKE.items():
        touch(*(root / "generated_audio" / folder / name.format(id_) for id_ in ids))
    touch(*(root / f"LJSpeech-1.1/wavs/LJ{id_}.wav" for id_ in ids), root / "LJSpeech-1.1/metadata.csv")
    touch(*(root / f"jsut_ver1.1/basic5000/wav/BASIC5000_{id_}.wav" for id_ in ids))
    return root


def real_and_fake(root: Path) -> Path:
    touch(root / "real/a.wav", root / "real/speaker/b.FLAC", root / "fake/c.mp3", root / "fake/espeak/d.wav")
    touch(
        root / "fake/espeak/deep/e.ogg", root / "real/._a.wav", root / "real/notes.txt", root / "other/f.wav"
    )
    return root
