"""What a person sets for the scorer; read at the entry point from environment and andon.toml."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Device = Literal["auto", "cpu", "cuda", "mps"]
EngineSetting = Literal["auto", "torch", "openvino", "onnxruntime", "cuda-graphs"]


class ScorerSettings(BaseModel):
    """Settings of a scoring worker; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str = Field(
        default="auto",
        description="Which detector scores, for example nearest-patch; auto is InCTRL where its weights are kept "
        "(andon weights list), else nearest-patch, which needs none.",
    )
    backbone: str = Field(
        default="andon-tiny",
        description="Which network a detector looks through, for example andon-tiny, openclip/ViT-B-16-plus-240 or "
        "timm/vit_small_patch14_dinov2.lvd142m.",
    )
    backbone_blocks: str = Field(
        default="",
        description="Which blocks of a vision transformer give the patches, counted from 1, for example 7,9,11; empty "
        "for those at 7, 9 and 11 twelfths of its depth.",
    )
    device: Device = Field(
        default="auto",
        description="Where the model runs: cpu, cuda, mps, or auto for the best there is.",
    )
    engine: EngineSetting = Field(
        default="auto",
        description="What computes the network: torch, openvino, onnxruntime or cuda-graphs; auto for what a short "
        "measurement at a worker's first start finds the fastest (andon config shows it).",
    )
    engines_path: Path = Field(
        default=Path(".andon/engines"),
        description="Folder in which that measurement is kept, and what engines make of networks, for example "
        ".andon/engines; without it, both are made anew.",
    )
    torch_threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Processor threads one model call may use, for example 2; 0 means 1, for threads that wait for "
        "a core that others have make a call many times slower.",
    )
    score_threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Model calls side by side, for example 2; 0 means one for each core, or 1 on an accelerator.",
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
        description="Most frames taken from the bus, scored and committed at once, for example 32.",
    )
    max_batches_in_flight: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Most batches at once between reading and committing, for example 4: one is decoded while two are "
        "scored and one is written.",
    )
    model_batch_frames: int = Field(
        default=16,
        ge=1,
        le=256,
        description="Most frames, of any stations, that go through the model at once, for example 16.",
    )
    max_image_pixels: int = Field(
        default=100_000_000,
        ge=1,
        description="Frames with more pixels (width times height) are refused before decoding, for example 100000000.",
    )
    max_image_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1,
        description="Frames with more encoded bytes are refused before decoding, for example 67108864 (64 MiB).",
    )
    decode_threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Threads that decode images and write them to the image store, for example 2.",
    )
    max_decoded_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1,
        description="Most bytes of decoded pictures held at once; above it decoding threads wait for each other, for "
        "example 536870912 (512 MiB).",
    )
    references_path: Path = Field(
        default=Path(".andon/references"),
        description="Folder in which computed references are kept as safetensors, for example .andon/references.",
    )
    weights_path: Path = Field(
        default=Path(".andon/weights"),
        description="Folder of model weights, kept by andon weights, for example .andon/weights.",
    )
    inctrl_heads: str = Field(
        default="",
        description="Tag of the InCTRL heads to use, for example four-shot; empty where only one are kept, or for "
        "those that ship for andon-tiny.",
    )
    coop_prompts: str = Field(
        default="",
        description="Tag of CoOp's learned prompts to use, for example bolts; empty where only one are kept for the "
        "backbone.",
    )
    coreset_patches: int = Field(
        default=4096,
        ge=2,
        description="Most normal patches that InCTRL and WinCLIP compare with, for example 4096; more are reduced to a "
        "greedy coreset.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="What a network computes in: fp32, bf16, or auto for bf16 where the processor has it and it is "
        "faster.",
    )
    max_references_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Most bytes of references held in memory, least recently used go first, for example 1073741824 "
        "(1 GiB); empty for a quarter of the memory of the device that scores.",
    )
    heartbeat_interval_s: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="Seconds between two signs of life in the workers table, for example 2.",
    )
    change_poll_interval_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds between two looks for changed stations and normal sets, for example 1.",
    )
    recalibration_interval_s: float = Field(
        default=300.0,
        gt=0,
        description="Seconds between two looks whether reviews allow a better threshold, for example 300.",
    )
    poll_timeout_s: float = Field(
        default=0.2,
        gt=0,
        le=5,
        description="Seconds one poll of the bus waits for frames, for example 0.2.",
    )
    retry_backoff_s: float = Field(
        default=0.5,
        gt=0,
        description="Seconds before the first new try when bus, database, image store or model are away, for example "
        "0.5; doubled each time.",
    )
    retry_backoff_max_s: float = Field(
        default=15.0,
        gt=0,
        description="Most seconds between two tries while something is away, for example 15.",
    )
