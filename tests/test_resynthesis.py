import pytest
import torch

from ncdetect.resynthesis import RESYNTHESES, in_turn

SAMPLES = 16_000


def voice(seed: int = 0) -> torch.Tensor:
    """A made voiced sound: harmonics of a gliding pitch under a formant, and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    seconds = torch.arange(SAMPLES) / 16_000
    phase = 2 * torch.pi * (120 * seconds + 20 * seconds**2)
    wave = sum(torch.sin(k * phase) / (1 + abs(k - 5)) for k in range(1, 20))
    return 0.2 * wave / wave.abs().max() + 1e-3 * torch.randn(SAMPLES, generator=generator)


def spectrum(wave: torch.Tensor) -> torch.Tensor:
    window = torch.hann_window(512)
    return torch.stft(wave, 512, 160, window=window, return_complex=True).abs().clamp_min(1e-3).log()


@pytest.mark.parametrize("name", RESYNTHESES)
def test_a_made_fake_sounds_alike_and_is_another_wave(name):
    if name == "world":
        pytest.importorskip("pyworld", reason="WORLD is an extra for building")
    wave = torch.stack([voice(0), voice(1)])
    made = RESYNTHESES[name](wave, torch.Generator().manual_seed(0))
    assert made.shape == wave.shape and made.dtype == torch.float32 and torch.isfinite(made).all()
    torch.testing.assert_close(made.abs().amax(1), wave.abs().amax(1))
    inner = slice(2000, -2000)
    noise = torch.randn(wave.shape, generator=torch.Generator().manual_seed(1)) * wave.std()
    alike = (spectrum(made[:, inner]) - spectrum(wave[:, inner])).abs().mean()
    assert alike < 0.5 * (spectrum(noise[:, inner]) - spectrum(wave[:, inner])).abs().mean()
    assert (made - wave).abs().mean() > 0.1 * wave.abs().mean()


def test_the_methods_take_turns(monkeypatch):
    monkeypatch.setattr(
        "ncdetect.resynthesis.RESYNTHESES", {"plus": lambda x, _: x + 1, "minus": lambda x, _: x - 1}
    )
    made = in_turn(torch.zeros(5, 3), torch.Generator())
    assert made[:, 0].tolist() == [1, -1, 1, -1, 1]
