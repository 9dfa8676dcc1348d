"""Fetch weights of OpenCLIP and timm by name from the hub; without a network, errors give the manual steps."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from scorer.backbones.weights.import_openclip import ImportOptions, import_file
from scorer.backbones.weights.import_timm import import_timm, repository_of
from scorer.backbones.weights.store import StoredWeights, WeightsStore, file_sha256
from scorer.errors import InvalidWeights, ModelUnavailable

DownloadProgress = Callable[[int, int | None], None]
"""Takes the bytes so far, and all bytes where their number is known."""

FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
TIMM = "timm/"


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where the hub has a model's weights: its repository, and the possible names of the file, best first.

    options: The options of `andon weights import` for the file.
    """

    repository: str
    files: tuple[str, ...]
    options: str


def fetch(folder: WeightsStore, name: str, progress: DownloadProgress) -> StoredWeights:
    """Download ``MODEL:TAG`` or ``timm/MODEL.TAG``, verify its sha256, check and store it.

    Raises `ModelUnavailable` with the steps that help.
    """
    of_timm = name.startswith(TIMM)
    model, _, tag = name.partition(":")
    hub = timm_hub_source(name.removeprefix(TIMM)) if of_timm else hub_source(model, tag)
    downloads = folder.path / ".downloads"
    path = _download(hub, downloads, progress, name, folder.path)
    source = f"{hub.repository}/{path.name}"
    if of_timm:
        stored = import_timm(folder, path, name, source=source)
    else:
        stored = import_file(folder, path, ImportOptions(model, tag, source=source))[0]
    shutil.rmtree(downloads, ignore_errors=True)
    return stored


def hub_source(model: str, tag: str) -> HubSource:
    """Return the repository of a model's tag; raises `ModelUnavailable` naming the tags that exist."""
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not tags:
        raise ModelUnavailable(f"OpenCLIP has no weights for {model}; InCTRL's are ViT-B-16-plus-240:laion400m_e32.")
    listed = open_clip.get_pretrained_cfg(model, tag)
    if not listed:
        raise ModelUnavailable(
            f"OpenCLIP has no weights {tag or 'without a tag'} for {model}; it has {', '.join(tags)}."
        )
    repository, _, file = str(listed.get("hf_hub", "")).rpartition("/")
    if not repository:
        raise ModelUnavailable(
            f"The weights {model}:{tag} are not on the hub; get {listed.get('url') or 'their checkpoint'} and run "
            f"andon weights import FILE --model {model} --tag {tag}."
        )
    options = f"--model {model} --tag {tag}"
    return HubSource(_of_this_tag(repository, tag, tags), (file,) if file else FILES, options)


def timm_hub_source(name: str) -> HubSource:
    """Return the repository of timm's ``MODEL.TAG``; raises `UnknownBackbone` naming similar models."""
    return HubSource(repository_of(name), TIMM_FILES, f"--timm {name}")


def _of_this_tag(repository: str, tag: str, tags: list[str]) -> str:
    """Return the repository of this tag: OpenCLIP 3.3 lists the e31 repository for ViT-B-16-plus-240's e32."""
    stem, dot, named = repository.rpartition(".")
    return f"{stem}.{tag}" if dot and named != tag and named in tags else repository


def _download(hub: HubSource, downloads: Path, progress: DownloadProgress, name: str, folder: Path) -> Path:
    """Return the verified file; an interrupted download is resumed."""
    for file in hub.files:
        with _explain_unreachable_hub(hub, name, folder):
            try:
                etag = get_hf_file_metadata(hf_hub_url(hub.repository, file)).etag or ""
                path = Path(
                    hf_hub_download(hub.repository, file, local_dir=downloads, tqdm_class=_reporting_to(progress))
                )
            except EntryNotFoundError as error:
                if isinstance(error, LocalEntryNotFoundError):
                    raise
                continue
        if len(etag) == 64 and (found := file_sha256(path)) != etag:
            path.unlink()
            raise InvalidWeights(
                f"{file} arrived with sha256 {found[:12]}…, the hub says {etag[:12]}…; fetch {name} again."
            )
        return path
    raise ModelUnavailable(f"{hub.repository} has none of {', '.join(hub.files)}; the list of it is out of date.")


@contextmanager
def _explain_unreachable_hub(hub: HubSource, name: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the hub's client lets errors of its HTTP library through, whichever that is
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelUnavailable(
            f"The hub did not give {name} ({reason.rstrip('.')}); on a computer that reaches it, get "
            f"{hub.files[0]} from {constants.ENDPOINT}/{hub.repository}, copy it here and run andon weights import "
            f"{hub.files[0]} {hub.options}, which puts it in {folder}."
        ) from error


def _reporting_to(progress: DownloadProgress) -> type[Any]:
    """Return the hub client's progress bar, made silent, which calls `progress` instead."""

    class Reporting(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            self._silence = open(os.devnull, "w")  # noqa: SIM115 (closed with the bar)
            super().__init__(*arguments, **{**options, "file": self._silence, "disable": False})

        def update(self, count: float | None = 1) -> bool | None:
            moved: bool | None = super().update(count)
            progress(int(self.n), None if self.total is None else int(self.total))
            return moved

        def close(self) -> None:
            super().close()
            self._silence.close()

    return Reporting
