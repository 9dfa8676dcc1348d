"""Checks of a version's images: their scores against each other, near-duplicates, and outliers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from markupsafe import Markup

from dashboard import formatting
from dashboard.html import render
from imaging import similar_images
from imaging.similar_images import Fingerprint
from storage.line.jobs import Job
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.what_if import WhatIfResult

NO_SCORES = "The leave-one-out scores of these images are not known yet. A what-if of this version computes them."


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """An image of a version: its leave-one-out score, None where unknown, and the names of its near-duplicates."""

    image: NormalImage
    score: float | None = None
    duplicates: tuple[str, ...] = ()
    is_outlier: bool = False

    @property
    def has_warnings(self) -> bool:
        """Whether a person should check the image."""
        return bool(self.duplicates) or self.is_outlier


def leave_one_out_scores(jobs: Sequence[Job], version: int) -> Mapping[str, float]:
    """Return image reference → leave-one-out score from the newest what-if of a version; empty where none has them."""
    for job in jobs:
        if job.kind == "what_if" and job.state == "done" and job.payload.get("version") == version:
            scores = WhatIfResult.from_json(job.result).normal_scores
            if scores:
                return scores
    return {}


def check_images(
    version: NormalSet, fingerprints: Mapping[str, Fingerprint], scores: Mapping[str, float]
) -> list[ImageCheck]:
    """Check each image of a version, in its order.

    Args:
        version: The version.
        fingerprints: Image reference → fingerprint, of the images that can be shown.
        scores: Image reference → leave-one-out score; without any, outliers are found by fingerprints.
    """
    names = {image.reference: image.name for image in version.images}
    own = {reference: fingerprint for reference, fingerprint in fingerprints.items() if reference in names}
    duplicates = similar_images.duplicates_by_name(list(names), similar_images.near_duplicates(own))
    known = {reference: score for reference, score in scores.items() if reference in names}
    outliers = set(similar_images.outliers(known) if known else odd_images(tuple(own), own))
    return [
        ImageCheck(
            image,
            known.get(image.reference),
            tuple(names[other] for other in duplicates.get(image.reference, [])),
            image.reference in outliers,
        )
        for image in version.images
    ]


@st.cache_data(max_entries=200, show_spinner=False)
def odd_images(references: tuple[str, ...], _fingerprints: Mapping[str, Fingerprint]) -> list[str]:
    """Return the references of images unlike the others; cached by the references, as 64 images take three seconds."""
    return similar_images.odd_ones(_fingerprints)


def short_name(name: str) -> str:
    """Return an image's name; for a frame its time of capture, since its id means nothing to people."""
    return name.rpartition(" of ")[2] if name.startswith("frame ") else name


def image_line(check: ImageCheck) -> Markup:
    """Return the caption of an image: its name, its score, and warnings."""
    warnings = []
    if check.is_outlier:
        text = "looks unlike the others" if check.score is None else "scores far above the others"
        warnings.append(("warning", text))
    if check.duplicates:
        warnings.append(("content_copy", f"nearly the same as {short_name(check.duplicates[0])}"))
    return render(
        "normals/normals.html",
        "image_line",
        short_name(check.image.name),
        check.score,
        warnings,
        check.has_warnings,
    )


def describe_warnings(checks: Sequence[ImageCheck]) -> str:
    """Return a sentence per kind of warning in a version; empty without warnings."""
    outliers = sum(check.is_outlier for check in checks)
    duplicates = sum(bool(check.duplicates) for check in checks)
    sentences = []
    if outliers:
        sentences.append(
            f"{formatting.plural(outliers, 'image is an outlier', 'images are outliers')}: "
            "a defective part in the normal set hides defects of that kind."
        )
    if duplicates:
        sentences.append(
            f"{formatting.plural(duplicates, 'image is', 'images are')} nearly the same as another: "
            "a duplicate adds nothing."
        )
    return " ".join(sentences)
