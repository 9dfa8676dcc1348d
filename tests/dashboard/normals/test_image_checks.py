"""The checks of a version's images."""

from dashboard.normals import image_checks
from dashboard.normals.image_checks import ImageCheck
from storage.line.normal_sets import NormalImage

HOSTILE = "<script>alert(1)</script>"


def test_a_frame_is_named_by_its_time_of_capture() -> None:
    assert image_checks.short_name("frame 0190-7 of 2026-11-24 08:25:40") == "2026-11-24 08:25:40"
    assert image_checks.short_name("cup of tea.jpg") == "cup of tea.jpg"


def test_a_file_s_name_is_escaped() -> None:
    check = ImageCheck(NormalImage("sha256:0", HOSTILE), None, (HOSTILE,), is_outlier=True)
    html = image_checks.image_line(check)
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2
    assert 'data-doubtful="true"' in html
