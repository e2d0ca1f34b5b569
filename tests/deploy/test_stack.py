"""The compose stack fits together and keeps to itself: what can be told of it without starting it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.reading import FOLDER as DASHBOARDS
from gateway.cli import demo
from gateway.config import parse
from tests.deploy.promql_labels import Labels
from tests.deploy.rules import PROMETHEUS, ROOT

DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "observability-stack.md").read_text("utf-8")
FILES = ("compose.yaml", "compose.langfuse.yaml")
# Variables of services that hold a secret, or one in their midst.
SECRET = re.compile(r"PASSWORD|SECRET|SALT|_AUTH$|_KEY$|DATABASE_URL")
REQUIRED = re.compile(r"\$\{(\w+):\?set \1 in deploy/\.env[^}]*\}")
SECRETS = {"SKEIN_KEY": "a-key-for-callers", "SKEIN_ADMIN_KEY": "a-key-for-operators"}


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text("utf-8"))


COMPOSE = {name: read(DEPLOY / name) for name in FILES}
SERVICES = [(name, service) for name, file in COMPOSE.items() for service in file["services"]]
# As compose merges them; the collector is the only service of both.
MERGED = {**COMPOSE["compose.langfuse.yaml"]["services"], **COMPOSE["compose.yaml"]["services"]}


@pytest.fixture(params=SERVICES, ids=lambda pair: pair[1])
def service(request) -> dict[str, Any]:
    name, service = request.param
    return COMPOSE[name]["services"][service]


def test_ports_are_published_on_this_machine_only(service):
    assert [port for port in service.get("ports", ()) if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []
    assert "network_mode" not in service


def test_images_are_pinned_by_tag():
    images = {name: service["image"] for name, service in MERGED.items()}
    tags = {name: re.fullmatch(r"[\w./-]+:([\w.-]+)", image) for name, image in images.items()}
    floating = [name for name, tag in tags.items() if tag is None or not re.search(r"\d+\.\d+|\d{4}-|^local$", tag[1])]
    assert floating == []
    assert all(MERGED[name].get("build") for name, image in images.items() if image.endswith(":local"))


def test_no_secret_has_a_default(service):
    given = {name: value for name, value in service.get("environment", {}).items() if SECRET.search(name)}
    assert [name for name, value in given.items() if not REQUIRED.search(value)] == []


@pytest.mark.parametrize("name", FILES)
def test_a_missing_secret_is_asked_for_by_name_and_the_page_tells_of_it(name: str):
    text = (DEPLOY / name).read_text("utf-8")
    required = set(REQUIRED.findall(text))
    assert set(re.findall(r"\$\{(\w+):\?", text)) == required
    assert {variable for variable in required if variable not in PAGE} == set()
    langfuse = {variable for variable in required if variable.startswith("LANGFUSE_")}
    assert langfuse == (required if name == "compose.langfuse.yaml" else set()), "nobody is asked for more than is used"


def test_langfuse_and_the_demo_start_only_when_asked_for():
    profiles = {name: service.get("profiles", []) for name, service in MERGED.items()}
    assert {name for name, names in profiles.items() if names == ["langfuse"]} == {
        f"langfuse-{part}" for part in ("web", "worker", "postgres", "clickhouse", "redis", "minio")
    }
    assert {name for name, names in profiles.items() if names not in ([], ["langfuse"])} == {"demo"}


@pytest.mark.parametrize("name", FILES)
def test_what_is_mounted_exists(name: str):
    volumes = COMPOSE["compose.yaml"]["volumes"] | COMPOSE["compose.langfuse.yaml"]["volumes"]
    mounts = [
        mount.split(":")
        for service in COMPOSE[name]["services"].values()
        for mount in service.get("volumes", ())
        if "volumes" in service
    ]
    for source, _inside, *mode in mounts:
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
            assert mode == ["ro"], source
        else:
            assert source in volumes


def test_who_is_waited_for_can_say_that_it_is_ready():
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    for name, service in MERGED.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                own = "HEALTHCHECK" in dockerfile and MERGED[needed]["image"] == "skein:local"
                assert own or MERGED[needed]["healthcheck"]["test"], f"{name} waits for {needed}"


def test_every_name_that_is_called_is_a_service():
    files = [*DEPLOY.glob("*.y*ml"), *DEPLOY.glob("grafana/**/*.yaml"), PROMETHEUS / "prometheus.yml"]
    text = "\n".join(path.read_text("utf-8") for path in files)
    called = set(re.findall(r"(?:https?|clickhouse)://([a-z][\w-]*):\d+", text))
    called |= set(re.findall(r'targets: \["([\w-]+):\d+"\]', text)) | set(re.findall(r"endpoint: ([\w-]+):\d+", text))
    assert called - {"localhost"} <= set(MERGED)
    assert {"gateway", "prometheus", "tempo", "otel-collector", "langfuse-web"} <= called


def test_exemplars_are_kept_and_lead_to_the_trace():
    assert "--enable-feature=exemplar-storage" in MERGED["prometheus"]["command"]
    assert read(PROMETHEUS / "prometheus.yml")["storage"]["exemplars"]["max_exemplars"] > 0
    sources = {
        each["uid"]: each for each in read(DEPLOY / "grafana/provisioning/datasources/skein.yaml")["datasources"]
    }
    assert {uid: source["type"] for uid, source in sources.items()} == {
        each: each for each in ("prometheus", "tempo", "alertmanager")
    }
    assert [
        (each["name"], each["datasourceUid"])
        for each in sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    ] == [("trace_id", "tempo")]
    for query in sources["tempo"]["jsonData"]["tracesToMetrics"]["queries"]:
        Labels({}).of(query["query"])


def test_grafana_finds_the_dashboards_and_prometheus_the_runbooks():
    (provider,) = read(DEPLOY / "grafana/provisioning/dashboards/skein.yaml")["providers"]
    inside = {mount.split(":")[1]: mount.split(":")[0] for mount in MERGED["grafana"]["volumes"]}
    assert (DEPLOY / inside[provider["options"]["path"]]).resolve() == DASHBOARDS.resolve()
    assets = next(each for each in MERGED["prometheus"]["command"] if each.startswith("--web.user-assets="))
    assert f"../docs/runbooks:{assets.partition('=')[2]}/runbooks:ro" in MERGED["prometheus"]["volumes"]


def collector(*names: str) -> dict[str, Any]:
    """The files one on top of the other, as the collector merges them."""
    merged: dict[str, Any] = {}
    for name in names:
        merged = _merged(merged, read(DEPLOY / name))
    return merged


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: _merged(below.get(key), value) for key, value in above.items()}


@pytest.mark.parametrize("names", [("otel-collector.yaml",), ("otel-collector.yaml", "otel-collector.langfuse.yaml")])
def test_the_collectors_pipelines_are_whole(names):
    config = collector(*names)
    assert set(config["service"]["extensions"]) == set(config["extensions"])
    for kind in ("receivers", "processors", "exporters"):
        used = {each for pipeline in config["service"]["pipelines"].values() for each in pipeline[kind]}
        assert used == set(config[kind])
    for pipeline in config["service"]["pipelines"].values():
        first, sampled, last = pipeline["processors"]
        assert (first, sampled.partition("/")[0], last) == ("memory_limiter", "tail_sampling", "batch")
    for exporter in config["exporters"].values():
        assert exporter["sending_queue"]["storage"] in config["service"]["extensions"]


def test_tempo_gets_what_is_worth_looking_at_and_langfuse_every_model_call():
    config = collector("otel-collector.yaml", "otel-collector.langfuse.yaml")
    kept = {each["type"]: each[each["type"]] for each in config["processors"]["tail_sampling"]["policies"]}
    assert kept["status_code"] == {"status_codes": ["ERROR"]}
    assert (kept["numeric_attribute"]["key"], kept["numeric_attribute"]["min_value"]) == ("skein.failovers", 1)
    assert {"latency", "probabilistic"} <= set(kept)
    (calls,) = config["processors"]["tail_sampling/model-calls"]["policies"]
    assert calls["ottl_condition"]["span"] == ['attributes["gen_ai.operation.name"] != nil']
    langfuse = config["exporters"]["otlp_http/langfuse"]
    assert langfuse["headers"] == {"x-langfuse-ingestion-version": "4"}
    assert langfuse["endpoint"].endswith("/api/public/otel")


def test_the_collector_reads_the_files_that_are_mounted():
    for name in FILES:
        service = COMPOSE[name]["services"]["otel-collector"]
        read_ones = {each.partition("=")[2] for each in service["command"]}
        mounted = {mount.split(":")[1] for mount in service["volumes"]}
        everywhere = mounted | {mount.split(":")[1] for mount in MERGED["otel-collector"]["volumes"]}
        assert read_ones <= everywhere
        assert {each for each in mounted if each.endswith(".yaml")} <= read_ones


def test_tempo_listens_where_the_collector_sends_and_grafana_asks():
    tempo = read(DEPLOY / "tempo.yaml")
    sent_to = collector("otel-collector.yaml")["exporters"]["otlp_grpc/tempo"]["endpoint"]
    listening = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert listening == f"0.0.0.0:{sent_to.rpartition(':')[2]}"
    text = (DEPLOY / "grafana/provisioning/datasources/skein.yaml").read_text("utf-8")
    assert f"http://tempo:{tempo['server']['http_listen_port']}" in text
    kept = {mount.split(":")[1] for mount in MERGED["tempo"]["volumes"]}
    local = (tempo["storage"]["trace"]["wal"]["path"], tempo["storage"]["trace"]["local"]["path"])
    assert all(str(Path(path).parent) in kept for path in local)


def test_the_gateway_takes_its_configuration_and_asks_for_keys():
    config = parse((DEPLOY / "skein.yaml").read_text("utf-8"), SECRETS, "deploy/skein.yaml")
    assert (config.server.host, config.server.port) == ("0.0.0.0", 4000)
    assert (config.access.mode, config.access.admin_key) == ("keys", SECRETS["SKEIN_ADMIN_KEY"])
    receivers = collector("otel-collector.yaml")["receivers"]["otlp"]["protocols"]
    port = receivers["http"]["endpoint"].rpartition(":")[2]
    assert config.observe.otlp.endpoint == f"http://otel-collector:{port}"


def test_the_gateway_serves_what_the_demo_asks_for():
    """deploy/skein.yaml is the demo's configuration behind a door; whoever changes the one changes the other."""
    ours, demos = read(DEPLOY / "skein.yaml"), read(demo.CONFIG)
    same = ("providers", "models", "aliases", "resilience")
    assert [name for name in same if ours.get(name) != demos.get(name)] == [], "copy them from gateway/cli/demo.yaml"
    assert ours["observe"].get("prices") == demos["observe"].get("prices"), "copy them from gateway/cli/demo.yaml"


def test_the_demos_command_is_one():
    parser = argparse.ArgumentParser()
    demo.add(parser.add_subparsers())
    arguments = parser.parse_args(MERGED["demo"]["command"])
    demo.check(arguments)
    assert arguments.url == "http://gateway:4000"
    assert "SKEIN_KEY" in MERGED["demo"]["environment"]
