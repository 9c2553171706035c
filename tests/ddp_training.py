"""A small training that one process runs as a function, and several as `torchrun ddp_training.py`."""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from ncdetect import training
from ncdetect.corpora import Manifest
from ncdetect.loading import TrainBatches, Waves, WindowBatches
from ncdetect.models import Detector
from ncdetect.training import Fit, Recipe


class Bands(nn.Module):
    """Log energies of eight bands, mixed: nothing that depends on the other clips of a batch."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(8, 6)

    def forward(self, wave):
        bands = torch.fft.rfft(wave).abs().square()[:, :24_000].reshape(len(wave), 8, -1)
        return torch.relu(self.mix(torch.log(bands.mean(dim=2) + 1e-3)))


def train(root: Path, folder: Path) -> tuple[Detector, Fit]:
    """Two epochs on the train clips of a corpus; the process that KILLED names dies in the second."""
    manifest = Manifest.read(root / "manifest.csv")
    train, dev = (Waves(manifest.select(split=split)) for split in ("train", "dev"))
    torch.manual_seed(0)
    detector = Detector(nn.Identity(), Bands(), 6)
    drawn = TrainBatches(train, batch_size=8)

    def batches(epoch):
        if epoch == 1 and os.environ.get("RANK") == os.environ.get("KILLED", "nobody"):
            os._exit(9)
        return drawn(epoch)

    fit = training.fit(
        detector, batches, WindowBatches(dev), WindowBatches(train),
        Recipe(2, learning_rate=0.01, precision="32-true"), folder,
        epoch_done=lambda epoch: print(f"epoch {epoch.epoch} told"),
    )  # fmt: skip
    return detector, fit


if __name__ == "__main__":
    detector, fit = train(*map(Path, sys.argv[1:3]))
    out, rank = Path(sys.argv[3]), os.environ["RANK"]
    save_file(detector.state_dict(), out / f"weights-{rank}")
    told = {
        "losses": [epoch.train_loss for epoch in fit.history],
        "helper": training.is_helper(),
        "rows": fit.draws.rows.tolist(),
        "scores": fit.draws.scores.tolist(),
    }
    (out / f"told-{rank}").write_text(json.dumps(told))
