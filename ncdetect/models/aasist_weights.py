"""The published weights of AASIST and AASIST-L (Jung et al. 2022), brought to this package's names."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from ncdetect.models.base import Detector

_PLACES = {
    "first_bn": "norm",
    "encoder": "encoder",
    "pos_S": "position",
    "GAT_layer_S": "spectral.0",
    "pool_S": "spectral.1",
    "GAT_layer_T": "temporal.0",
    "pool_T": "temporal.1",
    **{
        f"{published}{branch + 1}{rest}": f"branches.{branch}.{ours}"
        for branch in range(2)
        for published, rest, ours in (
            ("master", "", "master"),
            ("HtrgGAT_layer_ST", "1", "first"),
            ("HtrgGAT_layer_ST", "2", "second"),
            ("pool_hT", "", "temporal_pool"),
            ("pool_hS", "", "spectral_pool"),
        )
    },
}
_PARTS = {
    "bn": "norm",
    "bn2": "norm",
    "conv_downsample": "shortcut",
    "proj": "score",
    "proj_type1": "temporal",
    "proj_type2": "spectral",
    "att_proj": "pair",
    "att_projM": "master_pair",
    "proj_with_att": "gather.attended",
    "proj_without_att": "gather.own",
    "proj_with_attM": "master_gather.attended",
    "proj_without_attM": "master_gather.own",
    "att_weight": "weight",
    "att_weight11": "weight_temporal",
    "att_weight22": "weight_spectral",
    "att_weight12": "weight_between",
    "att_weightM": "master_weight",
}
_UNUSED = "bn1"
"""The normalisation that the published network holds and never applies."""
_BONA_FIDE = 1
"""Row of the published head."""


def load(detector: Detector, file: Path) -> None:
    """Put published weights into `aasist` or `aasist-l`, and leave it in eval mode.

    The score becomes minus the published logit of bona fide, so that the EER is the published network's.

    Args:
        detector: Freshly built.
        file: `AASIST.pth` or `AASIST-L.pth` as published; read as data only.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold the weights of this detector.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no {file.name} in {file.parent}")
    try:
        published = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{file} does not hold weights: {error}") from error
    try:
        detector.load_state_dict(renamed(published))
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{file} holds other weights than this detector's: {error}") from error
    detector.eval()


def renamed(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """A detector's state from the published one.

    Raises:
        KeyError: If a name is not AASIST's.
    """
    state = {}
    for name, value in published.items():
        place, *parts = name.split(".")
        if place == "out_layer":
            state[f"head.{parts[0]}"] = -value[_BONA_FIDE : _BONA_FIDE + 1]
        elif _UNUSED not in parts:
            if place == "encoder":
                del parts[1]  # every block is a sequence of one
            state[".".join(["backbone", _PLACES[place], *(_PARTS.get(part, part) for part in parts)])] = value
    return state
