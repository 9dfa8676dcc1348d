"""Which images of a normal set resemble a frame most, without the detector, which pages do not load."""

import streamlit as st

from dashboard.components import image_grid, images
from dashboard.context import PageContext
from imaging import similar_images
from imaging.similar_images import Fingerprint
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.verdicts import Verdict


def by_similarity(page: PageContext, frame: Verdict, version: NormalSet) -> list[NormalImage]:
    """Sort the images of a normal set by similarity to a frame, the most similar first."""
    frame_fingerprint = stored_fingerprint(page, frame.image_reference, frame.station_id)
    fingerprints = stored_fingerprints(page, version)
    if frame_fingerprint is None or not fingerprints:
        return list(version.images)
    ranks = {reference: rank for rank, reference in enumerate(similar_images.nearest(frame_fingerprint, fingerprints))}
    return sorted(version.images, key=lambda image: ranks.get(image.reference, len(ranks)))


def stored_fingerprints(page: PageContext, version: NormalSet) -> dict[str, Fingerprint]:
    """Return reference → fingerprint of the images of a normal set that can be shown."""
    found = {image.reference: stored_fingerprint(page, image.reference, version.station_id) for image in version.images}
    return {reference: fingerprint for reference, fingerprint in found.items() if fingerprint is not None}


def stored_fingerprint(page: PageContext, reference: str, station_id: int) -> Fingerprint | None:
    """Return the fingerprint of a stored image, or None where it can't be shown."""
    thumbnail = page.thumbnail(reference, image_grid.SIZE, image_grid.SIZE, station_id)
    return None if thumbnail is None else _fingerprint(reference, thumbnail)


@st.cache_resource(max_entries=5000, show_spinner=False)
def _fingerprint(reference: str, _thumbnail: bytes) -> Fingerprint:
    """Cache fingerprints by reference; Streamlit leaves arguments with a leading underscore out of the key."""
    return similar_images.fingerprint(images.pixels_of_thumbnail(_thumbnail))
