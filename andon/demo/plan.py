"""The plan of the demo: three stations, one that learns, one whose lamp fades, one whose camera falls silent."""

from dataclasses import dataclass
from urllib.parse import urlencode

from storage.line.stations import Autopilot

NORMALS_PER_STATION = 16
NORMALS_TO_LEARN_FROM = 4
FALSE_REJECT_RATE = 0.02
DEFECT_RATE = 0.08
MIN_IN_CONTROL, MAX_IN_CONTROL = 20, 200


@dataclass(frozen=True, slots=True)
class DemoStation:
    """One station of the demo; `faults` are options of the simulated source, `description` tells a person of them.

    It starts with so many `normals`, and its `autopilot` may add more from its stream.
    """

    name: str
    simulation: str
    object_name: str
    stale_after_s: float
    description: str
    faults: tuple[tuple[str, float], ...] = ()
    normals: int = NORMALS_PER_STATION
    autopilot: Autopilot = "propose"

    def source(self, seed: int) -> str:
        """Return the source of this station's frames for `andon produce`."""
        options = {"seed": seed, "defect_rate": DEFECT_RATE, **dict(self.faults)}
        return f"simulated:{self.simulation}?{urlencode(options)}"


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """`frames` in all, shared out evenly; None runs until stopped. `rate_fps` is a station's rate.

    `in_control_frames` are the reference for drift: all of them come before the lamp begins to fade.
    """

    stations: tuple[DemoStation, ...]
    rate_fps: float
    frames: int | None
    seed: int
    in_control_frames: int

    def frames_of(self, index: int) -> int | None:
        """Return how many of `frames` the station at `index` produces; None without a limit."""
        if self.frames is None:
            return None
        each, remainder = divmod(self.frames, len(self.stations))
        return each + (1 if index < remainder else 0)


def demo_plan(frames: int | None, rate_fps: float | None, seed: int) -> DemoPlan:
    """Return the plan; a run that ends by itself is quicker, and its faults begin sooner."""
    is_limited = frames is not None
    rate = rate_fps if rate_fps is not None else (3.0 if is_limited else 1.0)
    frames_each = frames // 3 if frames is not None else 600
    fades_after, fades_over, silent_from = frames_each // 2, max(frames_each // 4, 1), frames_each // 3
    # Long enough that an idle scorer shows it too: in a short run the other cameras have ended by then, which is no
    # silence of theirs.
    silent_for_s, silent_stale_after_s, other_stale_after_s = (32.0, 8.0, 120.0) if is_limited else (90.0, 30.0, 30.0)
    return DemoPlan(
        stations=(
            DemoStation(
                "coins",
                "coins",
                "coin tray",
                other_stale_after_s,
                "it learns from four good parts and its stream",
                normals=NORMALS_TO_LEARN_FROM,
                autopilot="act",
            ),
            DemoStation(
                "brick",
                "brick",
                "brick wall",
                other_stale_after_s,
                "its lamp fades",
                (("lamp_fades_after", float(fades_after)), ("lamp_fades_over", float(fades_over))),
            ),
            DemoStation(
                "gravel",
                "gravel",
                "gravel bed",
                silent_stale_after_s,
                "its camera falls silent",
                (("silent_from", float(silent_from)), ("silent_for_s", silent_for_s)),
            ),
        ),
        rate_fps=rate,
        frames=frames,
        seed=seed,
        in_control_frames=min(max(frames_each * 2 // 5, MIN_IN_CONTROL), MAX_IN_CONTROL),
    )
