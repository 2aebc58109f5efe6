"""GET /metrics: every number is what was done, series are few, the dashboard asks for what there is."""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from safeact_env.core.episode import Episode
from safeact_env.policies.reference import play
from safeact_env.server.app import create_app
from safeact_env.server.operations.counters import BOUNDS, Counters, Numbers
from safeact_env.server.operations.metrics import METRICS
from safeact_env.server.settings import Settings
from safeact_env.tasks import get_task

DASHBOARD = Path(__file__).resolve().parents[3] / "deploy" / "grafana-dashboard.json"
LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "What is there?"}


@pytest.fixture
def client():
    with TestClient(create_app(Settings()), raise_server_exceptions=False) as client:
        yield client


def scraped(client):
    """Every sample by name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def recorded(task, policy, seed=7):
    return [turn.call.to_json() for turn in play(get_task(task), "train", seed, policy).turns]


def play_http(client, task, calls):
    name = client.post("/reset", json={"task_name": task, "seed": 7}).json()["episode_id"]
    for number, call in enumerate(calls):
        body = {"action": call, "episode_id": name, "request_id": str(number)}
        client.post("/step", json=body)
    # A repeat is no step.
    client.post("/step", json=body)
    return name


def play_ws(client, task, calls):
    with client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset", "data": {"task_name": task, "seed": 7}})
        socket.receive_json()
        for call in calls:
            socket.send_json({"type": "step", "data": call})
            socket.receive_json()
        return scraped(client)


def test_what_was_done_is_what_is_counted(client):
    good, bad = recorded("easy", "expert"), recorded("hard", "reckless")
    play_http(client, "easy", good)
    play_http(client, "hard", bad)
    client.post("/reset", json={"task_name": "medical", "split": "test"})
    during = play_ws(client, "easy", good[:3])
    found = scraped(client)
    assert found["safeact_resets_total", "framing=rules", "level=3", "split=train", "task=easy"] == 2
    assert found["safeact_resets_total", "framing=rules", "level=3", "split=test", "task=medical"] == 1
    assert found["safeact_steps_total", "task=easy"] == len(good) + 3
    assert found["safeact_steps_total", "task=hard"] == len(bad)
    assert found["safeact_outcomes_total", "outcome=completed", "task=easy"] == 1
    assert found["safeact_outcomes_total", "outcome=irreversible_mistake", "task=hard"] == 1
    assert found["safeact_mistakes_total", "task=hard"] == 1
    assert ("safeact_mistakes_total", "task=easy") not in found
    assert found[("safeact_live_episodes",)] == 1
    assert (during[("safeact_sessions",)], found[("safeact_sessions",)]) == (1, 0)
    assert (during[("safeact_session_episodes",)], found[("safeact_session_episodes",)]) == (1, 0)
    assert found["safeact_frame_seconds_count", "route=/ws"] == 4
    assert (
        found["safeact_requests_total", "method=POST", "route=/step", "status=200"]
        == len(good) + len(bad) + 2
    )
    assert found["safeact_request_seconds_count", "route=/step"] == len(good) + len(bad) + 2
    assert found["safeact_request_seconds_bucket", "le=+Inf", "route=/step"] == len(good) + len(bad) + 2


def test_names_are_those_that_are_told(client):
    play_http(client, "hard", recorded("hard", "reckless"))
    play_ws(client, "easy", [LOOK])
    names = {key[0] for key in scraped(client) if not key[0].startswith("process_")}
    assert names == METRICS


def test_a_stranger_cannot_make_new_series(client):
    client.get("/metrics")
    before = len(scraped(client))
    for number in range(30):
        client.get(f"/no/such/{number}")
        client.request(f"M{number}", "/tasks")
        client.get(f"/episodes/e{number}/report")
        client.get("/tasks", headers={"X-Request-Id": f"id{number}"})
        client.post("/reset", json={"task_name": f"t{number}"})
    grown = len(scraped(client)) - before
    assert grown < 6 * (len(BOUNDS) + 4)
    for number in range(30, 60):
        client.get(f"/no/such/{number}")
        client.request(f"M{number}", "/tasks")
    assert len(scraped(client)) - before == grown


def test_store_errors_are_counted():
    counters = Counters()
    counters.store_failed()
    assert counters.total().counts["store_errors",] == 1


def test_steps_of_threads_are_all_counted():
    counters, episode = Counters(), Episode(get_task("easy"), "train", 1)
    threads = [
        threading.Thread(target=lambda: [counters.stepped(episode) for _ in range(5_000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.numbers.counts["steps", "easy"] == 20_000


# Several processes ---------------------------------------------------------------------------------------


def test_the_numbers_of_all_processes_are_summed(tmp_path):
    one, two = Counters(tmp_path), Counters(tmp_path)
    one.answered("GET", "/tasks", 200, 0.002)
    two.answered("GET", "/tasks", 200, 20.0)
    two.answered("GET", "/tasks", 200, 0.0)
    two.share()
    total = one.total()
    assert total.counts["requests", "GET", "/tasks", "200"] == 3
    times = total.times["request_seconds", "/tasks"]
    assert times[0] == times[2] == times[len(BOUNDS)] == 1
    assert times[-1] == pytest.approx(20.002)
    # Asking adds nothing, and what another process had when it ended stays.
    del two
    assert one.total().counts == total.counts
    (tmp_path / "torn.json").write_text('[[["steps", "ea')
    assert one.total().counts == total.counts


def test_numbers_are_read_as_they_were_written():
    numbers = Numbers()
    numbers.counts["steps", "easy"] = 3
    numbers.observe(("frame_seconds", "/ws"), 0.3)
    again = Numbers.load(numbers.dump())
    assert (again.counts, again.times) == (numbers.counts, numbers.times)


def test_a_folder_that_cannot_be_written_to_stops_nothing(tmp_path):
    counters = Counters(tmp_path / "gone")
    counters.store_failed()
    counters.share()
    assert counters.total().counts["store_errors",] == 1


# Cost ----------------------------------------------------------------------------------------------------


def test_the_library_is_imported_only_for_a_scrape():
    code = (
        "import sys\nfrom fastapi.testclient import TestClient\nimport safeact_env.server.app as a\n"
        "client = TestClient(a.create_app(a.Settings()))\nclient.post('/reset')\n"
        "before = 'prometheus_client' in sys.modules\nclient.get('/metrics')\n"
        "print(before, 'prometheus_client' in sys.modules, 'opentelemetry.sdk' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]


# The dashboard -------------------------------------------------------------------------------------------


def queries(dashboard):
    """Every query of a dashboard, those of its variables included."""
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in dashboard.get("templating", {}).get("list", []):
        if variable["type"] == "query":
            yield variable["query"]["query"]


def unknown(dashboard):
    """The metrics that a dashboard asks for and that there are not."""
    named = {name for query in queries(dashboard) for name in re.findall(r"\b(?:safeact|process)_\w+", query)}
    return named - METRICS - {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def test_every_query_of_the_dashboard_names_a_metric_that_there_is():
    dashboard = json.loads(DASHBOARD.read_text())
    assert len(list(queries(dashboard))) >= 10
    assert all(re.search(r"\b(safeact|process)_", query) for query in queries(dashboard))
    assert unknown(dashboard) == set()
    shown = {name for query in queries(dashboard) for name in re.findall(r"\bsafeact_\w+", query)}
    for name in METRICS - {"safeact_build_info"}:
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        assert any(one.startswith(base) for one in shown), f"nothing shows {base}"


def test_a_query_for_what_there_is_not_is_noticed():
    dashboard = json.loads(DASHBOARD.read_text())
    dashboard["panels"][-1].setdefault("targets", [{}])[0]["expr"] = "rate(safeact_stepz_total[5m])"
    assert unknown(dashboard) == {"safeact_stepz_total"}
