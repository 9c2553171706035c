"""Attention with more dimensions a head, and encoder layers widened: attention and feed-forward."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect.dropin.parts import MoreInputs, MoreOutputs, Widened, neurons
from ncdetect.encoders.whisper import EncoderLayer as WhisperLayer
from ncdetect.models.wav2vec2 import Wav2Vec2FrontEnd


class WideAttention(Widened):
    """Self-attention each head of which has d old and n new dimensions.

    A query's logits are (q k + q' k') / sqrt(d), the old scale. Of q' and k' only the queries start at zero:
    were both zero, neither would ever have a gradient. The keys have no bias: it would move all logits of a
    query alike, which softmax does not see.
    """

    def __init__(self, old: nn.Module, share: float):
        """Take a trained attention module; `share` of a head's dimensions is added to each."""
        heads, width = self.shape(old)
        count = neurons(share, width // heads)
        new = nn.ModuleDict(
            {
                "query": nn.Linear(width, heads * count),
                "key": nn.Linear(width, heads * count, bias=False),
                "value": nn.Linear(width, heads * count),
                "output": nn.Linear(heads * count, width, bias=False),
            }
        )
        super().__init__(old, new)
        self.heads, self.sizes = heads, [width // heads, count]

    def outgoing(self) -> list[nn.Parameter]:
        """The new queries, and what the output hears of the new values."""
        return [self.new.query.weight, self.new.query.bias, self.new.output.weight]

    def shape(self, old: nn.Module) -> tuple[int, int]:
        """Heads and width of the old module."""
        raise NotImplementedError

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Old queries, keys and values, (B, L, D) each."""
        raise NotImplementedError

    def attend(self, x: Tensor, dropout: float = 0.0) -> Tensor:
        """(B, L, D) -> (B, L, D); in training mode weights are dropped with probability `dropout`."""
        new = (self.new.query(x), self.new.key(x), self.new.value(x))
        # (B, L, heads * d) and (B, L, heads * n) -> (B, heads, L, d + n)
        wide = [
            torch.cat([part.unflatten(2, (self.heads, -1)) for part in parts], dim=3).transpose(1, 2)
            for parts in zip(self.projected(x), new, strict=True)
        ]
        mixed = F.scaled_dot_product_attention(
            *wide, dropout_p=dropout if self.training else 0.0, scale=self.sizes[0] ** -0.5
        )
        old, new = (part.flatten(2) for part in mixed.transpose(1, 2).split(self.sizes, dim=3))
        return self.old.out_proj(old) + self.new.output(new)


class WideWhisperAttention(WideAttention):
    """Of a layer of `WhisperEncoder`."""

    def shape(self, old: nn.Module) -> tuple[int, int]:
        """Heads and width."""
        return old.heads, old.q_proj.in_features

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By three layers."""
        return self.old.q_proj(x), self.old.k_proj(x), self.old.v_proj(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        return self.attend(x)


class WideWav2Vec2Attention(WideWhisperAttention):
    """Of a layer of transformers' wav2vec 2.0, which names its parts as Whisper does."""

    def shape(self, old: nn.Module) -> tuple[int, int]:
        """Heads and width."""
        return old.num_heads, old.embed_dim

    def forward(
        self, hidden_states: Tensor, attention_mask: None = None, **options: object
    ) -> tuple[Tensor, None]:
        """(B, L, D) -> (B, L, D), and no weights; clips are of one length, so there is no mask."""
        assert attention_mask is None
        return self.attend(hidden_states, self.old.dropout), None


class WideMultiheadAttention(WideAttention):
    """Of torch's `nn.TransformerEncoderLayer`, batch first."""

    # By these the layer decides on its fused path, which does not know of new neurons: not with this module.
    batch_first, in_proj_bias = True, None

    def shape(self, old: nn.MultiheadAttention) -> tuple[int, int]:
        """Heads and width."""
        return old.num_heads, old.embed_dim

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By one layer whose rows are queries, keys and values."""
        return F.linear(x, self.old.in_proj_weight, self.old.in_proj_bias).chunk(3, dim=2)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: None = None,
        key_padding_mask: None = None,
        **options: object,
    ) -> tuple[Tensor, None]:
        """(B, L, D), the same thrice -> (B, L, D), and no weights; without masks."""
        assert query is key is value and attn_mask is None and key_padding_mask is None
        return self.attend(query, self.old.dropout), None


@dataclass(frozen=True)
class EncoderLayer:
    """Where an encoder layer has its parts."""

    attention: str
    wide: type[WideAttention]
    expand: str
    contract: str
    """The two layers of the feed-forward."""

    def widen(self, layer: nn.Module, share: float) -> None:
        """Add a share of its neurons to heads and feed-forward."""
        attention, expand, contract = (
            layer.get_submodule(name) for name in (self.attention, self.expand, self.contract)
        )
        count = neurons(share, expand.out_features)
        layer.set_submodule(self.attention, self.wide(attention, share))
        layer.set_submodule(self.expand, MoreOutputs(expand, count))
        layer.set_submodule(self.contract, MoreInputs(contract, count))


WHISPER = EncoderLayer("self_attn", WideWhisperAttention, "fc1", "fc2")
TORCH = EncoderLayer("self_attn", WideMultiheadAttention, "linear1", "linear2")
WAV2VEC2 = EncoderLayer(
    "attention", WideWav2Vec2Attention, "feed_forward.intermediate_dense", "feed_forward.output_dense"
)


def whisper_layer(layer: WhisperLayer) -> dict[str, Callable[[float], None]]:
    """What widens it."""
    return {"": partial(WHISPER.widen, layer)}


def torch_layer(layer: nn.TransformerEncoderLayer) -> dict[str, Callable[[float], None]]:
    """What widens it; nothing where the batch does not come first."""
    return {"": partial(TORCH.widen, layer)} if layer.self_attn.batch_first else {}


def wav2vec2_layers(front_end: Wav2Vec2FrontEnd) -> dict[str, Callable[[float], None]]:
    """What widens each of its layers, by name."""
    return {
        f"model.encoder.layers.{index}": partial(WAV2VEC2.widen, layer)
        for index, layer in enumerate(front_end.model.encoder.layers)
    }
