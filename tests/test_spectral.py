import math

import pytest
import torch

from ncdetect.encoders import spectral
from ncdetect.encoders.spectral import FRONT_ENDS, SIZES, SpectralStatistics, columns

RATE = 16_000


def tone(frequency, seconds=1.0):
    return 0.1 * torch.sin(2 * math.pi * frequency * torch.arange(int(seconds * RATE)) / RATE)[None]


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_each_front_end_has_its_columns(name):
    torch.manual_seed(0)
    wave = 0.1 * torch.randn(2, RATE)
    features = FRONT_ENDS[name]()(wave)
    assert features.shape[:2] == (2, SIZES[name]) and features.isfinite().all()
    start, end = columns(name)
    found = SpectralStatistics()(wave)[:, start:end]
    torch.testing.assert_close(found, torch.cat([features.mean(2), features.std(2)], dim=1))


def test_the_columns_follow_one_another():
    ends = [columns(name) for name in SIZES]
    assert ends[0][0] == 0 and all(a[1] == b[0] for a, b in zip(ends, ends[1:], strict=False))
    assert SpectralStatistics()(tone(100)).shape == (1, ends[-1][1])


@pytest.mark.parametrize(("frequency", "octaves_down"), [(4000, 1), (1000, 3), (250, 5)])
def test_a_tone_lights_its_constant_q_band(frequency, octaves_down):
    bands = spectral.constant_q()(tone(frequency))[0, :, 50]
    assert int(bands.argmax()) == spectral.PER_OCTAVE * (spectral.OCTAVES - octaves_down)


def test_a_tone_lights_its_linear_band():
    assert int(spectral.linear()(tone(2000))[0, :, 50].argmax()) == 64  # 31.25 Hz each


def test_the_group_delay_of_a_click_is_where_it_is():
    wave = torch.zeros(1, RATE)
    wave[0, 8000 + 64] = 1.0  # 64 samples after the middle of frame 50
    delay = spectral.GroupDelay()(wave)[0, :, 50]
    deviation = 0.18 * 512  # of the time axis under a Hann window: its width times sqrt(1/12 - 1/(2 pi^2))
    torch.testing.assert_close(delay, torch.full((257,), 64 / deviation), atol=0.05, rtol=0)


def test_level_and_offset_do_not_matter():
    torch.manual_seed(0)
    wave = 0.1 * torch.randn(1, RATE)
    torch.testing.assert_close(
        SpectralStatistics()(wave), SpectralStatistics()(0.3 * wave + 0.2), atol=1e-3, rtol=1e-3
    )
