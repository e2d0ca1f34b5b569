"""The committed dashboards are what their modules make, and Grafana can show them: ids, places, units, links, words."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from grafana_foundation_sdk.models import units

from dashboards.__main__ import BOARDS, main, out_of_date
from dashboards.board import OBJECTIVE, OBJECTIVES, TAG, uid
from dashboards.promql import PICKED, SCRAPE, labels_of
from dashboards.reading import FOLDER, dashboards, panels, variables

ALL = {dashboard["uid"]: dashboard for dashboard in dashboards()}
UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("__")}
PANELS = [pytest.param(panel, id=f"{name}: {panel['title']}") for name, board in ALL.items() for panel in panels(board)]
TABLES = [shown for shown in PANELS if shown.values[0]["type"] == "table"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

each_board = pytest.mark.parametrize("board", [pytest.param(board, id=name) for name, board in ALL.items()])
each_panel = pytest.mark.parametrize("panel", PANELS)


def test_every_file_is_what_its_module_makes():
    assert list(out_of_date()) == [], "run `python -m dashboards`"
    names = {path.stem for path in FOLDER.glob("*.json")}
    assert names == {module.__name__.rpartition(".")[2] for module in BOARDS}
    assert set(ALL) == {uid(name) for name in names}


def test_check_tells_a_stale_file_and_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("dashboards.__main__.FOLDER", tmp_path)
    assert main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_the_gateway_does_not_know_its_dashboards():
    modules = (FOLDER.parent / "gateway").rglob("*.py")
    assert [
        path for path in modules if re.search(r"^\s*(from|import) dashboards\b", path.read_text("utf-8"), re.M)
    ] == []


@each_board
def test_ids_are_unique_and_no_panel_covers_another(board: dict):
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(ids), "0 is no id"
    for one, other in itertools.combinations(board["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
        assert place["h"] > 0


@each_board
def test_every_row_is_filled_to_its_end(board: dict):
    """A row of panels that are 20 wide leaves a hole; one of different heights, a step."""
    lines: dict[int, list[dict]] = {}
    for panel in board["panels"]:
        lines.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"])
    for y, places in lines.items():
        assert sum(place["w"] for place in places) == 24, f"line {y}"
        assert len({place["h"] for place in places}) == 1, f"line {y}"


@each_board
def test_a_title_names_one_panel(board: dict):
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    assert all(titles)


@each_panel
def test_a_panel_says_what_it_shows(panel: dict):
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["description"].endswith("."), panel["description"]
    assert defaults["unit"] in UNITS
    assert defaults["noValue"]
    overridden = [
        value["value"]
        for override in panel["fieldConfig"].get("overrides", ())
        for value in override["properties"]
        if value["id"] == "unit"
    ]
    assert set(overridden) <= UNITS


@each_panel
def test_a_panel_asks_the_chosen_data_source(panel: dict):
    assert panel["targets"], "a dead panel"
    assert panel["datasource"] == SOURCE
    assert [target["datasource"] for target in panel["targets"]] == [SOURCE] * len(panel["targets"])
    refs = [target["refId"] for target in panel["targets"]]
    assert all(refs)
    assert len(set(refs)) == len(refs)


@pytest.mark.parametrize("panel", TABLES)
def test_overrides_and_sorting_name_columns_that_exist(panel: dict):
    expression = " ".join(target["expr"] for target in panel["targets"])
    labels = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
    organized = [step["options"] for step in panel["transformations"] if step["id"] == "organize"]
    columns = labels | {name for options in organized for name in options.get("renameByName", {}).values()}
    for options in (step["options"] for step in panel["transformations"] if step["id"] == "groupingToMatrix"):
        assert {options["rowField"], options["columnField"]} <= labels
        columns.add(f"{options['rowField']}\\{options['columnField']}")
    named = [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]
    sorted_by = [field["displayName"] for field in panel["options"].get("sortBy", ())]
    assert {*named, *sorted_by} <= columns


@each_board
def test_boards_are_linked_and_carry_time_and_variables(board: dict):
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["keepTime"], link["includeVars"]) == ("dashboards", [TAG], True, True)
    assert board["tags"] == [TAG]
    assert [variable["name"] for variable in variables(board)] == ["datasource", "objective", *PICKED]
    for target, label in re.findall(r"/d/([\w-]+)\?var-(\w+)=", json.dumps(board)):
        assert label in {variable["name"] for variable in variables(ALL[target]) if not variable["hide"]}


@each_board
def test_variables_pick_any_number_of_real_values(board: dict):
    named = {variable["name"]: variable for variable in variables(board)}
    assert named["datasource"]["query"] == "prometheus"
    assert named["objective"]["current"]["value"] == OBJECTIVE
    assert OBJECTIVE in OBJECTIVES
    for label in PICKED:
        variable = named[label]
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")
        assert variable["datasource"] == SOURCE
        asked = re.fullmatch(r"label_values\((\w+)(?:\{(.*)\})?, (\w+)\)", variable["query"]["query"])
        metric, narrowed, values_of = asked.groups()
        assert values_of == label
        matched = re.findall(r"(\w+)=~", narrowed or "")
        assert {label, *matched} <= {*SCRAPE, *labels_of(metric)}
        assert set(matched) < set(PICKED[: PICKED.index(label) + 1])


@each_board
def test_a_variable_is_shown_where_it_changes_something(board: dict):
    asked = json.dumps([panels(board), board["annotations"]])
    for variable in variables(board):
        used = re.search(rf"\$\{{?{variable['name']}\b", asked) is not None
        assert (variable["hide"] == 0) == used, variable["name"]


def _overlap(one: dict, other: dict) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
