"""What there is to hear in the clips of the quiz, by what made them; in words for untrained ears."""

from ncdetect.labels import Label
from ncdetect.language import say
from ncdetect.quiz import PRACTICE, Clip


def hint(clip: Clip) -> str:
    """What to listen for in a clip, a sentence or three."""
    if clip.label is Label.REAL:
        return _real(clip)
    return {
        "espeak-ng": say(
            "A voice computed from formulas, without any recording of a person (formant synthesis). It "
            "buzzes, it never breathes, and a sound comes out the same each time. Hardly anybody takes it "
            "for real."
        ),
        "flite": say(
            "A voice from averages of recorded speech (statistical synthesis). It sounds muffled and a "
            "little buzzing, as if through cloth, and its melody is flatter than a person's."
        ),
        "rhvoice": say(
            "A voice from averages of recorded speech (statistical synthesis). Listen for a slight buzz in "
            "the vowels, soft consonants, and a melody that is too even."
        ),
        "festival-diphone": say(
            "Put together from snippets of a recorded voice, cut in the middle of each sound (diphones). "
            "Listen for small jumps within the words, and for a melody like a robot's."
        ),
        "festival-clunits": say(
            "Put together from pieces of a recorded voice (unit selection). Each piece is a real person; "
            "what gives it away are the joins, where pitch, loudness or colour of the voice jump."
        ),
        "piper-vits-joe": say(
            "A neural voice. The sound itself is close to a person's; listen for a melody that does not "
            "follow the sense, and for sentences without a breath. In a short clip even experts may hear "
            "nothing."
        ),
        "kokoro-82m": say(
            "A neural voice, and a good one. It speaks a language here that it was not made for, so an "
            "accent is no sign. Listen for sounds that melt into one another; often there is nothing else to "
            "hear."
        ),
        "hibari-tts": say(
            "A small neural voice. Listen for a faint metallic ring on long vowels and for an even, careful "
            "melody. Over a telephone most people hear nothing."
        ),
        "griffinlim-linear": say(
            "A real recording, rebuilt from its spectrogram (Griffin-Lim). The fine timing of the waves is "
            "guessed: listen for a hollow, metallic ring, as in a tube. It can be very faint."
        ),
        "griffinlim-mel80": say(
            "A real recording, rebuilt from a coarse spectrogram (Griffin-Lim). Listen for a metallic hiss, "
            "and for consonants that are smeared."
        ),
        "world-harvest": _world(),
        "world-dio": _world(),
        "lpc-pulse": say(
            "A real recording, rebuilt from a row of pulses and a filter (LPC), as in early mobile "
            "telephones. Listen for a buzz in the vowels, as if the speaker hummed through a comb."
        ),
        "sinusoidal": say(
            "A real recording, rebuilt from pure tones. Listen to s, f and sh: instead of a hiss they may "
            "sound watery, like many faint whistles."
        ),
        "channel-vocoder": say(
            "A real recording, rebuilt from the loudness of a few bands (channel vocoder). Listen for a "
            "rough, robot-like whisper around the voice."
        ),
    }.get(clip.generator, say("Made by a computer. Of this kind there is no good advice what to listen for."))


def _world() -> str:
    return say(
        "A real recording, taken apart into pitch, colour and noise, and put together again (WORLD). Listen "
        "for a light buzz and soft consonants. Often even experts hear nothing here."
    )


def _real(clip: Clip) -> str:
    if clip.source == PRACTICE:
        return say(
            "A person in a studio, reading a telephone prompt. The pauses were shortened and the clip cut "
            "out of running speech, so haste and a hard beginning are no signs. Small irregularities of "
            "pitch and loudness are what a person sounds like."
        )
    return say(
        "A person in a studio, reading a telephone prompt. There is no room around the voice, and the "
        "telephone code takes the sparkle out of it; both make real voices sound artificial. Small "
        "irregularities of pitch and loudness are what a person sounds like."
    )
