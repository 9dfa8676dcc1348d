"""A simulated line: its public names."""

from ingest.sources.simulated.line import SimulatedImage, SimulatedLine, SimulationOptions, normals, scene
from ingest.sources.simulated.scenes import SCENES

__all__ = ["SCENES", "SimulatedImage", "SimulatedLine", "SimulationOptions", "normals", "scene"]
