"""The dashboard and the alert rules that go with the metrics: they ask only for what there is, and do what they say."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from jollyae.cli import main as cli
from jollyae.cli.options import UsageError
from jollyae.service.observing.metrics import FAMILIES

OPS = Path(str(resources.files("jollyae"))) / "ops"
DOCS = Path(__file__).parents[2] / "docs"
RULES = OPS / "jollyae-rules.yml"
ALERTS = (
    "JollyaeStalled",
    "JollyaeDead",
    "JollyaeLate",
    "JollyaeHangs",
    "JollyaeFailing",
    "JollyaePaused",
    "JollyaeNotificationsLate",
    "JollyaeCredentialsExpire",
    "JollyaeRoom",
    "JollyaeReloadFailed",
    "JollyaeReplicationLate",
)
_SERIES = {
    name
    for one in FAMILIES
    for name in ([f"{one.name}_{end}" for end in ("bucket", "sum", "count")] if one.type == "histogram" else [one.name])
}


def _board() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((OPS / "grafana-dashboard.json").read_text())
    return board


def _queries() -> Iterator[str]:
    for panel in _board()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def _named(text: str) -> set[str]:
    return set(re.findall(r"\bjollyae_\w+", text))


def _promtool(*words: str, cwd: Path) -> str:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool (Debian's package prometheus)")
    told = subprocess.run([promtool, *words], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Each query names metrics that are exported, and each metric is shown somewhere."""
    asked = {name for query in _queries() for name in _named(query)}
    assert asked <= _SERIES
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in _SERIES else name for name in asked}
    families = {one.name for one in FAMILIES if one.type != "histogram"}
    assert families <= shown
    assert {f"{one.name}_bucket" for one in FAMILIES if one.type == "histogram"} <= asked


def test_the_variables_of_the_dashboard() -> None:
    """What its queries and lists name exists."""
    board = _board()
    variables = {one["name"] for one in board["templating"]["list"]} | {"__rate_interval"}
    used = {name for query in _queries() for name in re.findall(r"\$(\w+)", query)}
    assert used <= variables
    for one in board["templating"]["list"]:
        if one["type"] == "query":
            assert _named(one["definition"]) <= _SERIES and one["definition"].endswith(f", {one['name']})")


def test_the_panels_of_the_dashboard() -> None:
    """Each has a title, says what it shows, asks the chosen Prometheus, and lies on no other."""
    taken: dict[tuple[int, int], str] = {}
    panels = _board()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"] and panel["targets"]
            uids = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
            assert uids == {"${datasource}"}


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    """Each query is PromQL, with the variables as Grafana would fill them."""
    filled = [
        query.replace("$__rate_interval", "1m").replace("$queue", ".*").replace("$destination", ".*")
        for query in _queries()
    ]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(filled)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(filled)} rules found" in _promtool("check", "rules", "rules.yml", cwd=tmp_path)


def test_the_rules_are_those_that_are_documented() -> None:
    """The eleven alerts, in METRICS.md too, on metrics that are exported, each with what to do."""
    text = RULES.read_text()
    assert tuple(re.findall(r"- alert: (\w+)", text)) == ALERTS
    assert _named(re.sub(r"#.*", "", text)) <= _SERIES
    table = re.findall(r"^\| `(Jollyae\w+)` \|", (DOCS / "METRICS.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(ALERTS)
    for part in text.split("- alert: ")[1:]:
        assert "summary: " in part and "description: " in part and "severity: " in part


def test_prometheus_understands_the_rules() -> None:
    """promtool check rules."""
    assert "11 rules found" in _promtool("check", "rules", str(RULES), cwd=OPS)


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """promtool test rules: for each alert there is a case in which it fires and one in which it does not."""
    cases = Path(__file__).with_name("rules-test.yml")
    text = cases.read_text()
    for alert in ALERTS:
        silent = rf"alertname: {alert} }}"
        fires = rf"alertname: {alert}\n\s+exp_alerts:\n\s+- "
        assert re.search(fires, text), f"nothing makes {alert} fire"
        assert re.search(silent, text), f"nothing leaves {alert} silent"
    for path in (cases, RULES):
        shutil.copy(path, tmp_path)
    assert "SUCCESS" in _promtool("test", "rules", cases.name, cwd=tmp_path)


@pytest.mark.parametrize(("word", "name"), [("prometheus", "jollyae-rules.yml"), ("grafana", "grafana-dashboard.json")])
def test_the_files_are_printed(word: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """jollyae service prometheus|grafana, wherever it is installed; nothing is installed by it."""
    assert cli.main(["service", word]) == 0
    assert capsys.readouterr().out == (OPS / name).read_text()
    with pytest.raises(UsageError):
        cli.main(["service", word, "--install"])
