"""Texts about an object that CLIP compares images with: prompts that call it normal, and such that do not.

States and templates are WinCLIP's compositional ensemble (CVPR 2023, arXiv 2303.14814) as InCTRL uses it; they are
data, and one changed letter changes scores.
"""

from dataclasses import dataclass

NORMAL_STATES = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS_STATES = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = (
    "a cropped photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a close-up photo of the {}.",
    "a bright photo of a {}.",
    "a bright photo of the {}.",
    "a dark photo of a {}.",
    "a dark photo of the {}.",
    "a jpeg corrupted photo of a {}.",
    "a jpeg corrupted photo of the {}.",
    "a blurry photo of the {}.",
    "a blurry photo of a {}.",
    "a photo of the {}.",
    "a photo of a {}.",
    "a photo of a small {}.",
    "a photo of the small {}.",
    "a photo of a large {}.",
    "a photo of the large {}.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for visual inspection.",
    "a photo of a {} for anomaly detection.",
    "a photo of the {} for anomaly detection.",
)
SEMANTIC_NOUNS = frozenset(
    {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck", "animal"}
)
"""CIFAR-10's classes and "animal": an anomaly is another object, not a damaged one, so there is one pair of prompts."""


@dataclass(frozen=True, slots=True)
class PromptEnsemble:
    """The prompts of one noun; each side's text embeddings are averaged."""

    normal: tuple[str, ...]
    anomaly: tuple[str, ...]


def prompt_ensemble(noun: str) -> PromptEnsemble:
    """Return the prompts for a station's object name; an underscore counts as a space, case is preserved."""
    noun = noun.replace("_", " ")
    if noun in SEMANTIC_NOUNS:
        return PromptEnsemble(
            normal=(f"a photo of {noun} for anomaly detection.",),
            anomaly=(f"a photo without {noun} for anomaly detection.",),
        )
    return PromptEnsemble(normal=_composed(NORMAL_STATES, noun), anomaly=_composed(ANOMALOUS_STATES, noun))


def _composed(states: tuple[str, ...], noun: str) -> tuple[str, ...]:
    return tuple(template.format(state.format(noun)) for state in states for template in TEMPLATES)
