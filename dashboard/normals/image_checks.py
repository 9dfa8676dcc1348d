"""What is known of a version's images: their scores against each other, twins, and those that stand out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from dashboard import formatting
from dashboard.components import elements, similar_images
from dashboard.components.similar_images import Fingerprint
from storage.line.jobs import Job
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.what_if import WhatIfResult

NO_SCORES = (
    "How each image scores against the others is not known yet: it comes with a what-if of this version, which a "
    "running scorer works out."
)


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """`score` is the image's own against the others of its set; `twins` are names of near-duplicates."""

    image: NormalImage
    score: float | None
    twins: tuple[str, ...]
    stands_out: bool

    @property
    def is_doubtful(self) -> bool:
        return bool(self.twins) or self.stands_out


def scores_of(jobs: Sequence[Job], version: int) -> Mapping[str, float]:
    """Image reference → leave-one-out score, from the newest what-if of that version; empty where there was none."""
    for job in jobs:
        if job.kind == "what_if" and job.state == "done" and job.payload.get("version") == version:
            found = WhatIfResult.from_json(job.result).normal_scores
            if found:
                return found
    return {}


def facts_of(version: NormalSet, looks: Mapping[str, Fingerprint], scores: Mapping[str, float]) -> list[ImageCheck]:
    """One an image, in the set's order; without scores an image stands out by its looks."""
    names = {image.reference: image.name for image in version.images}
    here = {reference: one for reference, one in looks.items() if reference in names}
    twins = similar_images.twins(list(names), similar_images.near_duplicates(here))
    known = {reference: score for reference, score in scores.items() if reference in names}
    odd = set(similar_images.outliers(known or similar_images.unlikeness(here)))
    return [
        ImageCheck(
            image,
            known.get(image.reference),
            tuple(names[other] for other in twins.get(image.reference, [])),
            image.reference in odd,
        )
        for image in version.images
    ]


def short(name: str) -> str:
    """An image's name; of a picked frame only when it was captured, as its id says nothing to people."""
    return name.rpartition(" of ")[2] if name.startswith("frame ") else name


def image_line(fact: ImageCheck) -> str:
    """What stands under an image: its name, its score, and what is doubtful about it."""
    score = "" if fact.score is None else f"<b>{formatting.score(fact.score)}</b>"
    doubts = []
    if fact.stands_out:
        why = "scores far above the others" if fact.score is not None else "looks unlike the others"
        doubts.append(f'<i class="flag">{elements.icon("warning")}{why}</i>')
    if fact.twins:
        doubts.append(f'<i class="flag">{elements.icon("content_copy")}much like {escape(short(fact.twins[0]))}</i>')
    return (
        f'<div class="andon-image" data-doubtful="{str(fact.is_doubtful).lower()}">'
        f"<span>{escape(short(fact.image.name))}</span>{score}{''.join(doubts)}</div>"
    )


def doubts(facts: Sequence[ImageCheck]) -> str:
    """A sentence on the set as a whole; empty where nothing is doubtful."""
    odd = sum(fact.stands_out for fact in facts)
    alike = sum(bool(fact.twins) for fact in facts)
    said = []
    if odd:
        said.append(
            f"{formatting.plural(odd, 'image stands', 'images stand')} out: a bad part among the good makes it blind."
        )
    if alike:
        said.append(f"{formatting.plural(alike, 'image is', 'images are')} much like another: the second adds nothing.")
    return " ".join(said)
