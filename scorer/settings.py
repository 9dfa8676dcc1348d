"""Settings of the scorer, read at the entry point from environment and andon.toml."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from imaging.limits import MAX_BYTES, MAX_PIXELS, ImageLimits

Device = Literal["auto", "cpu", "cuda", "mps"]
EngineSetting = Literal["auto", "torch", "openvino", "onnxruntime", "cuda-graphs"]


class ScorerSettings(BaseModel):
    """Settings of a scoring worker; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str = Field(
        default="auto",
        description="Name of the detector, for example nearest-patch; auto is inctrl where its weights are stored "
        "(andon weights list), else nearest-patch, which needs none.",
    )
    backbone: str = Field(
        default="andon-tiny",
        description="Network whose features a detector compares, for example andon-tiny, openclip/ViT-B-16-plus-240 or "
        "timm/vit_small_patch14_dinov2.lvd142m.",
    )
    backbone_blocks: str = Field(
        default="",
        description="Blocks of a vision transformer whose patch tokens are used, counted from 1, for example 7,9,11; "
        "empty for those at 7, 9 and 11 twelfths of its depth.",
    )
    device: Device = Field(
        default="auto",
        description="Where the model runs: cpu, cuda, mps, or auto for the fastest available.",
    )
    engine: EngineSetting = Field(
        default="auto",
        description="Engine that runs the network: torch, openvino, onnxruntime or cuda-graphs; auto for the one that "
        "a short measurement at a worker's first start finds fastest (andon config shows it).",
    )
    engines_path: Path = Field(
        default=Path(".andon/engines"),
        description="Folder for that measurement and for compiled networks, for example .andon/engines; both are made "
        "again where it is missing.",
    )
    torch_threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Processor threads that one model call may use, for example 2; 0 means 1, because threads that "
        "wait for a busy core make a call many times slower.",
    )
    score_threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Concurrent model calls, for example 2; 0 means one for each core, or 1 on an accelerator.",
    )
    group: str = Field(
        default="andon-scorers",
        min_length=1,
        max_length=249,
        description="Consumer group on the bus; workers of one group share the frames, for example andon-scorers.",
    )
    batch_frames: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Maximum number of frames that are polled, scored and committed as one batch, for example 32.",
    )
    max_batches_in_flight: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Maximum number of batches between polling and committing, for example 4: one is decoded while two "
        "are scored and one is persisted.",
    )
    model_batch_frames: int = Field(
        default=16,
        ge=1,
        le=256,
        description="Maximum number of frames, of any stations, in one model call, for example 16.",
    )
    max_image_pixels: int = Field(
        default=MAX_PIXELS,
        ge=1,
        description="Frames with more pixels (width times height) are rejected before decoding, for example 100000000.",
    )
    max_image_bytes: int = Field(
        default=MAX_BYTES,
        ge=1,
        description="Frames with more encoded bytes are rejected before decoding, for example 67108864 (64 MiB).",
    )
    decode_threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Threads that decode images, and as many that store them, for example 2.",
    )
    max_decoded_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1,
        description="Maximum bytes of decoded images held at once; beyond it decoding threads wait, for "
        "example 536870912 (512 MiB).",
    )
    references_path: Path = Field(
        default=Path(".andon/references"),
        description="Folder for computed references, as safetensors, for example .andon/references.",
    )
    weights_path: Path = Field(
        default=Path(".andon/weights"),
        description="Folder of model weights, managed by andon weights, for example .andon/weights.",
    )
    inctrl_heads: str = Field(
        default="",
        description="Tag of the InCTRL heads to use, for example four-shot; empty where only one is stored, or for "
        "those that ship for andon-tiny.",
    )
    coop_prompts: str = Field(
        default="",
        description="Tag of CoOp's learned prompts to use, for example bolts; empty where only one is stored for "
        "the backbone.",
    )
    coreset_patches: int = Field(
        default=4096,
        ge=2,
        description="Maximum number of normal patches that InCTRL and WinCLIP compare with, for example 4096; more are "
        "reduced to a greedy coreset.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Arithmetic of the network: fp32, bf16, or auto for bf16 where the processor has it and it is "
        "faster.",
    )
    max_references_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Maximum bytes of references in memory, the least recently used are dropped first, for example "
        "1073741824 (1 GiB); empty for a quarter of the memory of the device that scores.",
    )
    heartbeat_interval_s: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="Seconds between two heartbeats in the workers table, for example 2.",
    )
    change_poll_interval_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds between two checks for jobs, and for parked frames whose station has a normal set now, "
        "for example 1.",
    )
    recalibration_interval_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds between two checks whether the stream allows better limits, for example 60; a label is "
        "followed at once.",
    )
    poll_timeout_s: float = Field(
        default=0.2,
        gt=0,
        le=5,
        description="Seconds that one poll of the bus waits for frames, for example 0.2.",
    )
    retry_backoff_s: float = Field(
        default=0.5,
        gt=0,
        description="Seconds before the first retry when bus, database, image store or model are unavailable, for "
        "example 0.5; doubled each time.",
    )
    retry_backoff_max_s: float = Field(
        default=15.0,
        gt=0,
        description="Maximum seconds between two retries, for example 15.",
    )

    @property
    def image_limits(self) -> ImageLimits:
        """The limits on encoded images, as the decoder takes them."""
        return ImageLimits(self.max_image_bytes, self.max_image_pixels)
