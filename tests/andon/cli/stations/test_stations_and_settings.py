"""Stations, normal sets and settings on the command line, with the embedded default."""

import json
import re
import sqlite3
from pathlib import Path

import pytest

from testing.command_line import Andon, Start


def test_the_first_command_creates_the_database(andon: Andon, workplace: Path) -> None:
    added = andon("station", "add", "s1", "--object", "solar cell")
    assert (added.code, added.err) == (0, "")
    assert "s1" in added.out
    assert (workplace / ".andon" / "andon.db").is_file()


def test_two_concurrent_first_commands_both_succeed(start_andon: Start) -> None:
    both = [start_andon("station", "add", name) for name in ("s1", "s2")]
    finished = [(*process.communicate(timeout=150), process.returncode) for process in both]
    assert [(err, code) for _, err, code in finished] == [("", 0), ("", 0)]


def test_an_outdated_schema_is_refused_until_it_is_upgraded(andon: Andon, workplace: Path) -> None:
    andon("station", "add", "s1")
    with sqlite3.connect(workplace / ".andon" / "andon.db") as database:
        database.execute("DELETE FROM andon_schema")
    refused = andon("station", "list")
    assert refused.code == 1
    assert "andon db upgrade" in refused.err


def test_upgrading_twice_succeeds(andon: Andon) -> None:
    assert [andon("db", "upgrade").code for _ in range(2)] == [0, 0]


def test_an_empty_list_names_the_next_command(andon: Andon) -> None:
    listed = andon("station", "list")
    assert (listed.code, listed.out) == (0, "")
    assert "andon station add" in listed.err
    assert andon("station", "list", "--json").out == "[]\n"


def test_a_station_is_shown_with_its_settings(andon: Andon) -> None:
    andon("station", "add", "s1", "--object", "solar cell", "--without-normals", "no-reference", "--stale-after", "5")
    andon("station", "edit", "s1", "--reviews-per-shift", "15")
    shown = json.loads(andon("station", "show", "s1", "--json").out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", shown.pop("created_at"))
    assert shown == {
        "name": "s1",
        "object_name": "solar cell",
        "without_normals": "no_reference",
        "framing": "letterbox",
        "false_reject_rate": 0.01,
        "sample_one_in": 200,
        "bit_depth": "auto",
        "reviews_per_shift": 15,
        "autopilot": "propose",
        "learn_defects": True,
        "stale_after_s": 5.0,
        "active_normal_set": None,
        "questions": 0,
        "verdicts": 0,
        "flagged": 0,
        "bad_pictures": 0,
        "parked": 0,
    }


def test_a_piped_list_shows_whole_cells(andon: Andon) -> None:
    object_name = (
        "a casting with eleven bores, seen from above under two lamps, before and after it was cleaned of chips"
    )
    andon("station", "add", "s1", "--object", object_name)
    assert object_name in andon("station", "list").out


def test_editing_changes_the_named_settings_and_reports_them(andon: Andon) -> None:
    andon("station", "add", "s1", "--object", "solar cell")
    edited = andon("station", "edit", "s1", "--stale-after", "5")
    assert "stale_after_s 60 → 5" in edited.out
    assert json.loads(andon("station", "show", "s1", "--json").out)["object_name"] == "solar cell"
    assert andon("station", "edit", "s1").out == "Station s1 is as it was.\n"


def test_the_autopilot_of_a_station_is_set(andon: Andon) -> None:
    andon("station", "add", "s1")
    assert "autopilot propose → act" in andon("station", "edit", "s1", "--autopilot", "act").out
    assert andon("station", "edit", "s1", "--autopilot", "fly").code == 2


def test_the_reviews_per_shift_of_a_station_are_set(andon: Andon) -> None:
    andon("station", "add", "s1", "--reviews-per-shift", "0")
    assert "reviews_per_shift 0 → 60" in andon("station", "edit", "s1", "--reviews-per-shift", "60").out
    assert json.loads(andon("station", "show", "s1", "--json").out)["reviews_per_shift"] == 60
    assert andon("station", "edit", "s1", "--reviews-per-shift", "-1").code == 2


def test_normal_sets_are_added_activated_and_rolled_back(andon: Andon, good_folder: Path) -> None:
    andon("station", "add", "s1")
    first = andon("normals", "add", "s1", good_folder, "--limit", "4", "--activate")
    assert first.code == 0
    assert first.out.startswith("Normal set 1 of s1 has 4 images.\nNormal set 1 of s1 is active;")
    second = andon("normals", "add", "s1", good_folder, "--note", "after cleaning the lens")
    assert "It is a draft; andon normals activate s1 2" in second.out
    assert "Normal set 2 of s1 is active, set 1 is retired;" in andon("normals", "activate", "s1", "2").out
    assert "active already" in andon("normals", "activate", "s1", "2").out
    assert "Normal set 1 of s1 is active, set 2 is retired;" in andon("normals", "rollback", "s1").out
    listed = json.loads(andon("normals", "list", "s1", "--json").out)
    assert [(normal_set["version"], normal_set["state"], len(normal_set["images"])) for normal_set in listed] == [
        (2, "retired", 8),
        (1, "active", 4),
    ]


def test_the_active_normal_set_is_shown_with_its_images(andon: Andon, good_folder: Path) -> None:
    andon("station", "add", "s1")
    andon("normals", "add", "s1", good_folder, "--limit", "2", "--activate")
    shown = json.loads(andon("normals", "show", "s1", "--json").out)
    assert [image["name"] for image in shown["images"]] == ["good0.png", "good1.png"]
    table = andon("normals", "show", "s1").out
    assert "good0.png" in table
    assert shown["images"][0]["reference"] in table


def test_an_invalid_image_is_named_and_nothing_is_added(andon: Andon, good_folder: Path) -> None:
    andon("station", "add", "s1")
    (good_folder / "good5.png").write_bytes(b"no picture")
    refused = andon("normals", "add", "s1", good_folder)
    assert refused.code == 1
    assert "good5.png" in refused.err
    assert andon("normals", "list", "s1", "--json").out == "[]\n"


def test_a_duplicate_image_is_reported_on_stderr(andon: Andon, good_folder: Path) -> None:
    andon("station", "add", "s1")
    (good_folder / "good1.png").write_bytes((good_folder / "good0.png").read_bytes())
    added = andon("normals", "add", "s1", good_folder)
    assert str(good_folder / "good1.png") in added.err
    assert str(good_folder / "good0.png") in added.err
    assert "has 7 images" in added.out


def test_config_shows_values_and_their_origin_with_secrets_masked(
    andon: Andon, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("andon.toml").write_text('[ingest]\ntopic = "line-1"\n', encoding="utf-8")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", "postgresql+psycopg://andon:hunter2@db/andon")
    shown = andon("config", "--json")
    rows = {row["setting"]: row for row in json.loads(shown.out)}
    assert (rows["ingest.topic"]["value"], rows["ingest.topic"]["from"]) == ("line-1", "andon.toml")
    assert (rows["ingest.bus"]["value"], rows["ingest.bus"]["from"]) == ("embedded", "default")
    assert rows["ingest.kafka_sasl_password"]["value"] == "**********"
    assert rows["storage.database_url"]["from"] == "ANDON_STORAGE__DATABASE_URL"
    assert "hunter2" not in shown.out + andon("config").out


def test_the_version_is_one_line(andon: Andon) -> None:
    assert re.fullmatch(r"andon \d+\.\d+\.\d+\n", andon("--version").out)
