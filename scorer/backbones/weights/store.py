"""The weights folder: safetensors files that describe themselves, each with a .sha256 file."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from foundation.atomic_files import replace_file, write_file
from scorer.errors import InvalidWeights, ModelUnavailable

CARD_KEY = "andon-card"
"""The safetensors metadata entry that holds a file's card as JSON."""

IGNORED_TENSORS = frozenset({"logit_scale", "logit_bias"})
"""CLIP's training temperature, which changes no embedding; two towers that differ in it only are the same tower."""

KINDS_PER_BACKBONE = frozenset({"inctrl-visual-heads", "coop-prompts"})
"""Kinds of which every backbone can have one of the same name."""


@dataclass(frozen=True, slots=True)
class WeightsCard:
    """A weights file's identity: its kind, model, tag, source, and a hash of its contents.

    `config`, `mean` and `std` are those of an image tower, `backbone` is the one that heads or prompts belong to.
    """

    kind: Literal["openclip", "inctrl-heads", "inctrl-visual-heads", "timm", "coop-prompts"]
    model: str
    tag: str
    source: str
    contents: str
    config: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    backbone: str | None = None

    @property
    def name(self) -> str:
        """The name that users write: ``ViT-B-16-plus-240:laion400m_e32``, ``inctrl:four-shot``, ``timm/MODEL.TAG``."""
        return f"timm/{self.model}.{self.tag}" if self.kind == "timm" else f"{self.model}:{self.tag}"


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """A file of the weights folder, with its card and the sha256 that it had when it was stored."""

    path: Path
    card: WeightsCard
    sha256: str
    size_bytes: int


class WeightsStore:
    """The weights folder: weights by name; files are written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def list_all(self) -> list[StoredWeights]:
        """Return every file with a card, sorted by name; raises `InvalidWeights` for a file cut short."""
        found = [
            stored for path in sorted(self.path.glob("*.safetensors")) if (stored := _read_stored(path)) is not None
        ]
        return sorted(found, key=lambda stored: stored.card.name)

    def tower(self, name: str) -> StoredWeights:
        """Return the OpenCLIP towers of that name, ``MODEL:TAG``, or ``MODEL`` where only one tag of it is stored.

        Raises `ModelUnavailable` with how to get them, or which ones exist.
        """
        found = [stored for stored in self._of_kind("openclip") if name in (stored.card.name, stored.card.model)]
        if (only := self._only(found)) is not None:
            return only
        raise ModelUnavailable(
            f"The weights of {name} are not in {self.path}; run andon weights fetch {name}, or copy its checkpoint "
            "here and run andon weights import FILE."
        )

    def transformer(self, name: str) -> StoredWeights:
        """Return the timm model of that name, ``timm/MODEL.TAG``, or without tag where only one of it is stored.

        Raises `ModelUnavailable` with how to get it, or which ones exist.
        """
        found = [stored for stored in self._of_kind("timm") if name in (stored.card.name, f"timm/{stored.card.model}")]
        if (only := self._only(found)) is not None:
            return only
        raise ModelUnavailable(
            f"The weights of {name} are not in {self.path}; run andon weights fetch {name}, or copy its "
            f"model.safetensors here and run andon weights import FILE --timm {name.removeprefix('timm/')}."
        )

    def prompts(self, backbone: str, tag: str | None = None) -> StoredWeights:
        """Return CoOp's prompts for towers of that name, of that tag or the only ones; raises `ModelUnavailable`."""
        found = [stored for stored in self._of_kind("coop-prompts") if stored.card.backbone == backbone]
        chosen = [stored for stored in found if tag in (None, stored.card.tag)]
        if len(chosen) == 1:
            return chosen[0]
        names = ", ".join(stored.card.name for stored in found)
        if chosen:
            raise ModelUnavailable(
                f"{self.path} has {names} for {backbone}; say which with scorer.coop_prompts, as in "
                f"{found[0].card.tag}."
            )
        wanted = f"CoOp prompts{f' {tag}' if tag else ''}"
        has = f" (there are {names})" if names else ""
        raise ModelUnavailable(
            f"There are no {wanted} for {backbone} in {self.path}{has}; CoOp has to learn them first, from labelled "
            "images: run andon train coop."
        )

    def heads(self, tag: str | None = None) -> StoredWeights:
        """Return InCTRL's heads of that tag, or the only ones; raises `ModelUnavailable` naming those that exist."""
        found = self._of_kind("inctrl-heads")
        chosen = [stored for stored in found if tag in (None, stored.card.tag)]
        if len(chosen) == 1:
            return chosen[0]
        names = ", ".join(stored.card.name for stored in found)
        if chosen:
            raise ModelUnavailable(f"{self.path} has InCTRL heads {names}; say which, as in {found[0].card.name}.")
        wanted = f"InCTRL heads{f' {tag}' if tag else ''}"
        has = f" (there are {names})" if names else ""
        raise ModelUnavailable(
            f"There are no {wanted} in {self.path}{has}; get the official checkpoint and run andon weights import FILE."
        )

    def same_tower(self, model: str, contents: str) -> StoredWeights | None:
        """Return towers of that model with those contents, whatever their tag; None where none exist."""
        towers = (stored for stored in self._of_kind("openclip") if stored.card.model == model)
        return next((stored for stored in towers if stored.card.contents == contents), None)

    def _only(self, found: Sequence[StoredWeights]) -> StoredWeights | None:
        """Return the only match, None where nothing matches; raises `ModelUnavailable` where several do."""
        if len(found) > 1:
            names = ", ".join(stored.card.name for stored in found)
            raise ModelUnavailable(f"{self.path} has {names}; say which, as in {found[0].card.name}.")
        return found[0] if found else None

    def _of_kind(self, kind: str) -> list[StoredWeights]:
        return [stored for stored in self.list_all() if stored.card.kind == kind]

    def put(self, card: WeightsCard, tensors: Mapping[str, torch.Tensor]) -> StoredWeights:
        """Write tensors in float32 with their card, the sha256 in ``FILE.sha256``; replaces weights of that name.

        A kind that is looked up by name and backbone replaces no other backbone's weights.
        """
        require_tag(card.tag)
        self.path.mkdir(parents=True, exist_ok=True)
        path = self._path_of(card)
        copies = {name: _plain(tensor).clone() for name, tensor in tensors.items()}  # safetensors refuses shared memory
        with replace_file(path) as temporary:
            save_file(copies, temporary, metadata={CARD_KEY: json.dumps(asdict(card))})
            digest = file_sha256(temporary)
            _sha256_path(path).unlink(missing_ok=True)
        write_file(_sha256_path(path), f"{digest}  {path.name}\n".encode())
        return StoredWeights(path, card, digest, path.stat().st_size)

    def _path_of(self, card: WeightsCard) -> Path:
        """Return the path for weights; the second of two backbones' with one name has the backbone in its name."""
        usual = self.path / f"{card.model.replace('/', '-')}.{card.tag}.safetensors"
        if card.kind not in KINDS_PER_BACKBONE or not usual.is_file():
            return usual
        try:
            existing = read_card(usual)
        except InvalidWeights:
            return usual  # cut short: to be replaced
        if existing is None or existing.backbone == card.backbone:
            return usual
        return usual.with_suffix(f".{re.sub(r'[^A-Za-z0-9_-]+', '-', str(card.backbone))}.safetensors")

    def tensors(self, stored: StoredWeights) -> dict[str, torch.Tensor]:
        """Read the tensors of a file; raises `InvalidWeights` where its sha256 has changed."""
        if (found := file_sha256(stored.path)) != stored.sha256:
            raise InvalidWeights(
                f"{stored.path} has sha256 {found[:12]}…, not {stored.sha256[:12]}… as "
                f"{_sha256_path(stored.path).name} says; fetch or import {stored.card.name} again."
            )
        return load_file(stored.path)


def require_tag(tag: str) -> None:
    """Raise `InvalidWeights` for a text that cannot be the tag in a file's name."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", tag):
        raise InvalidWeights(f"{tag!r} is no tag; use letters, digits, dots, dashes and underscores.")


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def content_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a hash of names and float32 values, whatever file they came in."""
    digest = sha256()
    for name in sorted(tensors.keys() - IGNORED_TENSORS):
        values = _plain(tensors[name])
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_card(path: Path) -> WeightsCard | None:
    """Return the card in a safetensors file's header, None where it has none.

    Raises `InvalidWeights` for a file cut short.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= path.stat().st_size else b""
    try:
        read = json.loads(header)
        last = max((entry["data_offsets"][1] for name, entry in read.items() if name != "__metadata__"), default=0)
        is_whole = path.stat().st_size == 8 + length + last
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidWeights(f"{path} is no whole safetensors file; fetch or import it again.") from error
    if not is_whole:
        raise InvalidWeights(f"{path} is cut short; fetch or import it again.")
    card = read.get("__metadata__", {}).get(CARD_KEY)
    if card is None:
        return None
    fields = json.loads(card)
    return WeightsCard(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})


def _read_stored(path: Path) -> StoredWeights | None:
    card = read_card(path)
    if card is None:
        return None
    digest_path = _sha256_path(path)
    digest = (
        digest_path.read_text().split()[0]
        if digest_path.is_file() and digest_path.stat().st_size
        else file_sha256(path)
    )
    return StoredWeights(path, card, digest, path.stat().st_size)


def _sha256_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor contiguous, floating point in float32."""
    return (tensor.detach().float() if tensor.is_floating_point() else tensor.detach()).contiguous()
