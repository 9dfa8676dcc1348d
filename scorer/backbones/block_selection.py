"""Which blocks of a vision transformer provide the patches that are compared."""

from scorer.errors import UnsupportedBackbone

DEFAULT_TWELFTHS = (7, 9, 11)
"""InCTRL's blocks of a tower of twelve (CVPR 2024): neither the first's colours nor the last's class alone."""


def select_blocks(setting: str, depth: int, backbone: str) -> tuple[int, ...]:
    """Return rising block numbers, counted from 1: those of the setting, or at 7, 9 and 11 twelfths of the depth.

    Raises `UnsupportedBackbone` for a setting that is no list of the backbone's blocks.
    """
    if not setting.strip():
        return tuple(sorted({max(1, round(depth * twelfths / 12)) for twelfths in DEFAULT_TWELFTHS}))
    parts = [part.strip() for part in setting.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= depth for part in parts):
        raise UnsupportedBackbone(
            f"scorer.backbone_blocks is {setting!r}; {backbone} has blocks 1 to {depth}, so name some of those, as in "
            f"{','.join(str(block) for block in select_blocks('', depth, backbone))}."
        )
    return tuple(sorted({int(part) for part in parts}))
