"""A simulated line: what other rooms need of it."""

from ingest.sources.simulated.line import LineOptions, Shot, SimulatedLine, normals, scene
from ingest.sources.simulated.scenes import SCENES

__all__ = ["SCENES", "LineOptions", "Shot", "SimulatedLine", "normals", "scene"]
