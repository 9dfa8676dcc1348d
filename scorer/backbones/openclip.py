"""OpenCLIP's two towers by name: patch tokens of chosen blocks, image embeddings and text embeddings."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import open_clip
import torch
from open_clip import CLIP, SimpleTokenizer
from torch import nn

from scorer.backbones.clip_architecture import (
    OPTIONAL_TENSORS,
    Architecture,
    blocks_of,
    build_network,
    grid_of,
    image_size_of,
)
from scorer.backbones.weights import checkpoints
from scorer.engines.devices import to_device
from scorer.engines.measurements import EngineName
from scorer.engines.precision import Precision, dtype_for, rounding
from scorer.engines.protocol import SINGLE_CALL, EngineOptions, Forward
from scorer.engines.registry import compile_network

TEXT_BATCH_SIZE = 64


@dataclass(frozen=True)
class ImageFeatures:
    """Outputs of the image tower: tokens of each chosen block (L, B, P, D), embeddings (B, E) unnormalised; float32."""

    tokens: torch.Tensor
    embedding: torch.Tensor

    def take(self, positions: Sequence[int]) -> "ImageFeatures":
        """Return the features of those images, in that order."""
        chosen = torch.tensor(positions, device=self.embedding.device)
        return ImageFeatures(self.tokens[:, chosen], self.embedding[chosen])

    @classmethod
    def concat(cls, parts: Sequence["ImageFeatures"]) -> "ImageFeatures":
        """Join the features of several batches."""
        tokens = torch.cat([part.tokens for part in parts], dim=1)
        return cls(tokens, torch.cat([part.embedding for part in parts]))


class ImageTower(nn.Module):
    """The image tower as one function: normalised images to the tokens of each chosen block, and the embeddings."""

    def __init__(self, visual: nn.Module, blocks: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()
        self.visual: Any = visual
        self.blocks = tuple(blocks)
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Encode images (B, 3, H, W): L of (B, P, D), then (B, E)."""
        outputs = self.visual.forward_intermediates(
            images.to(self.dtype),
            indices=[block - 1 for block in self.blocks],
            output_fmt="NLC",
            normalize_intermediates=False,
        )
        return (*outputs["image_intermediates"], outputs["image_features"])


class OpenClip:
    """Both towers on one device; the image tower in the chosen precision, the text tower always in fp32.

    Attributes:
        grid: Rows and columns of patches.
        blocks: Number of transformer blocks of the image tower.
    """

    def __init__(
        self,
        network: nn.Module,
        chosen: Architecture,
        device: torch.device,
        precision: Precision = "auto",
        engine: EngineName = "torch",
        calls: EngineOptions = SINGLE_CALL,
    ) -> None:
        self.network = network.to(device)
        self.architecture = chosen
        self.device = device
        self.dtype = dtype_for(precision, device)
        self.rounding = rounding(self.dtype, engine)
        self.grid = grid_of(network, chosen.model)
        self.blocks = len(blocks_of(network, chosen.model))
        self._visual: Any = network.visual
        self._visual.to(self.dtype)
        self._engine = engine
        self._calls = calls
        self._encoders: dict[tuple[int, ...], Forward] = {}
        self._compiling = threading.Lock()

    @classmethod
    def of(
        cls,
        chosen: Architecture,
        tensors: Mapping[str, torch.Tensor],
        description: str,
        device: torch.device,
        precision: Precision = "auto",
    ) -> "OpenClip":
        """Build towers with these weights.

        Raises `InvalidWeights` where a tensor is missing, unexpected or of another shape.
        """
        network = build_network(chosen)
        checkpoints.load_into(network, tensors, description, optional=OPTIONAL_TENSORS)
        return cls(network, chosen, device, precision)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that it takes, in pixels."""
        return image_size_of(self.network)

    @property
    def embedding_width(self) -> int:
        """Width of image and text embeddings."""
        return int(self.architecture.config["embed_dim"])

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise (B, 3, H, W) uint8 RGB for the image tower: to 0 to 1, minus the mean, divided by the deviation."""
        mean = torch.tensor(self.architecture.mean, device=self.device).view(3, 1, 1)
        std = torch.tensor(self.architecture.std, device=self.device).view(3, 1, 1)
        return ((to_device(pixels, self.device).float() / 255 - mean) / std).to(self.dtype)

    @torch.no_grad()
    def encode_images(self, images: torch.Tensor, blocks: Sequence[int]) -> ImageFeatures:
        """Encode normalised images (B, 3, H, W); `blocks` count from 1 and rise.

        Tokens are a block's output without the class token.
        """
        *tokens, embedding = self._encoder(tuple(blocks))(images)
        return ImageFeatures(torch.stack(tokens), embedding)

    def _encoder(self, blocks: tuple[int, ...]) -> Forward:
        """Return the image tower on its engine, compiled when these blocks are first used."""
        with self._compiling:
            if blocks not in self._encoders:
                example = torch.zeros(1, 3, *self.image_size, device=self.device)
                calls = replace(self._calls, network_id=f"{self._calls.network_id}-{'-'.join(map(str, blocks))}")
                tower = ImageTower(self._visual, blocks, self.dtype).eval()
                self._encoders[blocks] = compile_network(self._engine, tower, example, calls)
            return self._encoders[blocks]

    @torch.no_grad()
    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Embed normalised images (B, 3, H, W) with the bare image tower: (B, E) float32."""
        embedding: torch.Tensor = self._visual(images)
        return embedding.float()

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed N texts: (N, E), unnormalised; a text longer than the context is cut, as CLIP's tokenizer does."""
        tokens = self._tokenizer()(list(texts)).to(self.device)
        return torch.cat([self._embed_tokens(part) for part in tokens.split(TEXT_BATCH_SIZE)])

    def _embed_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        network: Any = self.network
        if not _is_causal(network):
            embedding: torch.Tensor = network.encode_text(tokens)
            return embedding
        # A causal tower's embedding is read at the text's last token and sees nothing after it: padding isn't computed.
        ends = tokens.argmax(dim=1)
        return self.embed_token_embeddings(network.token_embedding(tokens[:, : int(ends.max()) + 1]), ends)

    @property
    def has_clip_text_tower(self) -> bool:
        """Whether the text tower is CLIP's own, which accepts token embeddings that are in no vocabulary."""
        return _is_causal(self.network)

    def embed_tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return texts as token embeddings (N, context length, W), and the index of each text's last token, (N,).

        The text tower must be CLIP's own, see `has_clip_text_tower`.
        """
        network: Any = self.network
        tokens = self._tokenizer()(list(texts)).to(self.device)
        return network.token_embedding(tokens), tokens.argmax(dim=1)

    def embed_token_embeddings(self, token_embeddings: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """Embed token embeddings (N, T, W) without positions, each text read at its index in `ends` (N,): (N, E).

        Gradients flow to the token embeddings.
        """
        network: Any = self.network
        length = token_embeddings.shape[1]
        states = token_embeddings + network.positional_embedding[:length]
        states = network.transformer(states, attn_mask=network.attn_mask[:length, :length])
        embedded: torch.Tensor = network.ln_final(states)[torch.arange(len(ends)), ends] @ network.text_projection
        return embedded

    def _tokenizer(self) -> Any:
        text = self.architecture.config["text_cfg"]
        if text.get("hf_tokenizer_name") or "siglip" in self.architecture.model.lower():
            return open_clip.get_tokenizer(self.architecture.model)
        return SimpleTokenizer(context_length=text.get("context_length", 77), **text.get("tokenizer_kwargs", {}))


class OpenClipPatches:
    """The image tower as a backbone of patch tokens (`scorer.backbones.protocol.PatchBackbone`)."""

    def __init__(self, towers: OpenClip, blocks: Sequence[int], weights_sha256: str | None) -> None:
        self._towers = towers
        self._blocks = tuple(blocks)
        self.name = f"openclip {towers.architecture.model}"
        self.weights_sha256 = weights_sha256
        self.device = towers.device
        self.size = towers.image_size
        self.grid = towers.grid
        self.configuration = {
            **towers.rounding,
            **{f"layer {index}": float(block) for index, block in enumerate(self._blocks)},
        }

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode images (B, 3, H, W), uint8 RGB of `size`: (L, B, P, D) float32, patches row by row."""
        return self._towers.encode_images(self._towers.normalised(pixels), self._blocks).tokens


def _is_causal(network: Any) -> bool:
    """Return whether this is CLIP's own text tower, as in its paper."""
    return (
        isinstance(network, CLIP)
        and network.attn_mask is not None
        and network.text_pool_type == "argmax"
        and isinstance(network.text_projection, torch.Tensor)
    )
