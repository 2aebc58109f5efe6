"""Rewrites the generated tables of the documents, between their markers.

Every table comes from the code or from a recorded run in `results/`. With `--check` nothing is written, and
the exit code is 1 if a document is stale.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safeact_env.core.action import Action
from safeact_env.core.task import Task
from safeact_env.core.variant import FRAMINGS
from safeact_env.evaluation.result_files import Row, recorded_runs, rows_of
from safeact_env.evaluation.suite import V2
from safeact_env.policies.reference import POLICIES
from safeact_env.server.settings import Settings
from safeact_env.tasks import OFFICIAL, get_task
from tools.documents.compat_tables import clients_table, servers_table, validators_table
from tools.documents.completion_table import completion_table
from tools.documents.grpo_table import grpo_table
from tools.documents.lm_table import lm_table
from tools.documents.markdown import dated, plain, table
from tools.documents.prediction_tables import predictions_table
from tools.documents.suite_tables import (
    SCORES,
    framings_table,
    grade_and_mistakes,
    levels_table,
    order_of,
    scores,
    suite_table,
)
from tools.documents.training_table import training_table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
CHAOS_RUN = RESULTS / "chaos.json"
API_RUN = RESULTS / "api.json"
LOAD_RUN = RESULTS / "load.json"
SOAK_RUN = RESULTS / "soak.json"
SESSIONS_RUN = RESULTS / "sessions.json"
AUDIT_RUN = RESULTS / "audit.json"
BENCH_RUN = RESULTS / "bench.json"
SCALING_RUN = RESULTS / "scaling.json"
INTEGRATIONS_RUN = RESULTS / "integrations.json"
CONTAINER_RUN = RESULTS / "container.json"
POLICY_RUN = RESULTS / "reference_policies.json"

COMMON = ("read_handbook", "read_runbook", "finish", "roll_back_upkeep")


def tasks_table() -> str:
    """The tasks with their budgets and components."""
    rows = []
    for name in OFFICIAL:
        task = get_task(name)
        parts = ", ".join(f"{c.name} {c.weight / 10_000:.4g}" for c in task.graded)
        rows.append([f"`{name}`", task.title, task.summary, task.difficulty, str(task.max_steps), parts])
    return table(["task", "title", "job", "difficulty", "steps", "grade"], rows)


def actions_tables() -> str:
    """The actions of every task, under a heading each."""
    parts = []
    for name in OFFICIAL:
        task = get_task(name)
        rows = [_action_row(task, a) for a in task.fixed_actions if a.name not in COMMON]
        body = table(["action", "parameters", "what it does", "risk", "taken back by"], rows)
        parts.append(f"### `{name}`: {task.title}\n\n{body}")
    return "\n\n".join(parts)


def _action_row(task: Task[Any], action: Action[Any]) -> list[str]:
    params = ", ".join(f"{key}: {kind}" for key, kind in action.params.types().items())
    risk = str(action.risk)
    if action.gate is not None and action.risk != "irreversible":
        risk += ", irreversible in some states"
    return [f"`{action.name}`", params, task.text.descriptions[action.name], risk, action.undo]


def policies_table() -> str:
    """The recorded run of the reference policies."""
    run = json.loads(POLICY_RUN.read_text(encoding="utf-8"))
    chosen = run["selection"]
    groups = {(g["policy"], g["task"], g["split"]): g["metrics"] for g in run["groups"]}
    rows = []
    for policy in chosen["policies"]:
        overall = groups[policy, None, None]
        grade = overall["grade"]
        rows.append(
            [
                f"`{policy}`",
                POLICIES[policy].about,
                f"{grade['value']:.3f} [{grade['low']:.3f}, {grade['high']:.3f}]",
                f"{overall['mistakes']['value']:.1%}",
                f"{overall['safe_completion']['value']:.1%}",
                f"{overall['over_escalations']['value']:.2f}",
                *(f"{groups[policy, task, None]['grade']['value']:.3f}" for task in chosen["tasks"]),
            ]
        )
    head = ["policy", "what it does", "mean grade [95%]", "mistakes", "grade 1.0", "over-asked"]
    seeds = chosen["seeds"]
    note = (
        f"Seeds {min(seeds)}-{max(seeds)} of the splits {' and '.join(chosen['splits'])}. The last columns "
        "are mean grades by task. Intervals: bootstrap, clustered by scenario. `look_only` plays without a "
        "budget."
    )
    note = dated(note, run["version"])
    return f"{table([*head, *chosen['tasks']], rows)}\n\n{note}"


def models_table() -> str:
    """The recorded runs of models; and of those that were asked, how good their predictions were."""
    rows = [row for path in recorded_runs(RESULTS) for row in rows_of(path)]
    if not rows:
        return "No run of a model has been recorded yet."
    head = ["model", "played", "prompt", *SCORES, *OFFICIAL, "tokens per episode", "date"]
    note = (
        "k is the number of attempts on each scenario. The columns of tasks are mean grades. Intervals: "
        "bootstrap, clustered by scenario. What was not recorded is left empty."
    )
    oldest = min((row.version for row in rows), key=lambda version: [*map(int, version.split("."))])
    parts = [table(head, [_model_row(row) for row in rows]), dated(note, oldest), predictions_table(rows)]
    return "\n\n".join(part for part in parts if part)


def model_levels_table() -> str:
    """The recorded runs of models that played several variants, by level and framing."""
    rows = [row for path in recorded_runs(RESULTS) for row in rows_of(path) if row.by_variant]
    if not rows:
        return "No run of a model on several levels or framings has been recorded yet."
    variants = sorted({variant for row in rows for variant in row.by_variant}, key=order_of)
    head = ["model", "prompt", *(f"{level} {framing}" for level, framing in variants)]
    shown = [
        [
            f"`{plain(row.agent)}`",
            row.prompt or "",
            *(grade_and_mistakes(row.by_variant[one]) if one in row.by_variant else "" for one in variants),
        ]
        for row in rows
    ]
    note = "Mean grade, and the share of episodes that ended in a mistake, by level and framing."
    note += "".join(map(_pace, rows))
    oldest = min((row.version for row in rows), key=lambda version: [*map(int, version.split("."))])
    return f"{table(head, shown)}\n\n{dated(note, oldest)}"


def _pace(row: Row) -> str:
    """How long a model took, and would take for the suite; empty where that was not recorded."""
    if row.cost is None or not row.cost.seconds:
        return ""
    each = row.cost.seconds / row.episodes
    hours = each * V2.episodes / 3_600
    took = f"`{plain(row.agent)}` took {each:,.0f} seconds an episode"
    return f" {took}, at which the {V2.episodes} of suite {V2.name} take {hours:,.0f} hours."


def _model_row(row: Row) -> list[str]:
    each = f", {row.attempts} attempts" if row.attempts > 1 else ""
    tokens = (row.cost.tokens_in + row.cost.tokens_out) / row.episodes if row.cost else None
    return [
        f"`{plain(row.agent)}`" + (f", {plain(str(row.licence))}" if row.licence else ""),
        f"{row.played}{each}",
        row.prompt or "",
        *scores(row.overall, row.attempts),
        *(f"{row.by_task[task]['grade'].value:.3f}" if task in row.by_task else "" for task in OFFICIAL),
        "" if tokens is None else f"{tokens:,.0f}",
        plain(row.date or ""),
    ]


def settings_table() -> str:
    """The server's settings."""
    rows = [
        [f"`SAFEACT_{name.upper()}`", f"`{field.default}`", field.description or ""]
        for name, field in Settings.model_fields.items()
    ]
    return table(["variable", "default", "meaning"], rows)


def audit_table() -> str:
    """The recorded audit: per promise, what was checked on all tasks and splits together."""
    run = json.loads(AUDIT_RUN.read_text(encoding="utf-8"))
    rows = []
    for name in dict.fromkeys(one["audit"] for one in run["audits"]):
        own = [one for one in run["audits"] if one["audit"] == name]
        checked = f"{sum(one['checked'] for one in own):,} {own[0]['unit']}"
        broken = sum(len(one["breaches"]) for one in own)
        minutes = sum(one["seconds"] for one in own) / 60
        rows.append([f"`{name}`", own[0]["promise"], checked, str(broken), f"{minutes:.1f}"])
    seeds = max(one["seeds"] for one in run["audits"])
    note = (
        f"`safeact audit --seeds {seeds}`, five tasks, both splits. Minutes are summed over the jobs, two of "
        "which ran at a time."
    )
    note = dated(note, run["version"])
    return f"{table(['audit', 'promise', 'checked', 'breaches', 'minutes'], rows)}\n\n{note}"


def audit_variants_table(runs: Path = RESULTS / "audit") -> str:
    """The recorded audits by level and framing: audits run, checks made and breaches."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.glob("*.json"))]
    audits = [one for run in found for one in run["audits"]]
    if not audits:
        return "No audit of other levels has been recorded yet: `make audit-variants`."
    rows = []
    for level in sorted({one["level"] for one in audits}):
        for framing in FRAMINGS:
            own = [one for one in audits if (one["level"], one["framing"]) == (level, framing)]
            if own:
                tasks = ", ".join(name for name in OFFICIAL if any(one["task"] == name for one in own))
                names = len({one["audit"] for one in own})
                checked = f"{sum(one['checked'] for one in own):,}"
                broken = str(sum(len(one["breaches"]) for one in own))
                rows.append([str(level), f"`{framing}`", tasks, str(names), checked, broken])
    seeds = min(one["seeds"] for one in audits)
    minutes = sum(one["seconds"] for one in audits) / 60
    note = (
        f"`make audit-variants`: {seeds} seeds of both splits. The audit `framings` compares all framings of "
        f"a level, and is counted with `rules`. {minutes:,.0f} minutes, summed over the jobs."
    )
    head = ["level", "framing", "tasks", "audits", "checked", "breaches"]
    return f"{table(head, rows)}\n\n{dated(note, found[0]['version'])}"


def undo_table() -> str:
    """Calls to undo each risky action, from the recorded audit."""
    run = json.loads(AUDIT_RUN.read_text(encoding="utf-8"))
    most: dict[tuple[str, str], int] = {}
    for one in run["audits"]:
        for action, calls in one["figures"].get("undo distances", {}).items():
            most[one["task"], action] = max(calls, most.get((one["task"], action), 0))
    rows = []
    for task in OFFICIAL:
        own = {action: calls for (name, action), calls in most.items() if name == task}
        cells = [
            ", ".join(f"`{action}`" for action, found in own.items() if found == calls) for calls in (1, 2, 3)
        ]
        rows.append(
            [f"`{task}`", *(cell.replace("`<look-alike that works>`", "the upkeep") for cell in cells)]
        )
    labels = [one["figures"] for one in run["audits"] if one["audit"] == "labels"]
    ended, searches = (sum(f[name] for f in labels) for name in ("searched to the end", "searches"))
    note = (
        f"{ended:,} of {searches:,} searches visited every state that the calls given to them can reach, the "
        f"others stopped at a bound. {sum(f['states'] for f in labels):,} states in all."
    )
    note = dated(note, run["version"])
    return f"{table(['task', '1 call', '2 calls', '3 calls'], rows)}\n\n{note}"


def bench_table() -> str:
    """The recorded benchmark: each goal and what was found, then the figures of the engine."""
    run = json.loads(BENCH_RUN.read_text(encoding="utf-8"))
    goals = [[name, _figure(one["found"]), one["goal"]] for name, one in run["goals"].items()]
    heads = list(next(iter(run["in process"].values())))
    engine = [[name, *map(_figure, figures.values())] for name, figures in run["in process"].items()]
    note = f"Recorded with {run['software']}; {run['machine']}; medians of {run['runs']} runs."
    note = dated(note, run["version"])
    return "\n\n".join([table(["what", "found", "goal"], goals), table(["in process", *heads], engine), note])


def peers_table() -> str:
    """The recorded costs of a step, here and in servers that one could use or build instead."""
    run = json.loads(BENCH_RUN.read_text(encoding="utf-8"))
    rows = [
        [way if number == 0 else "", name, *map(_figure, figures.values())]
        for way, servers in run["wire"].items()
        for number, (name, figures) in enumerate(servers.items())
    ]
    heads = ["", "", "processor time per step, µs", "ratio", "steps/s", "ratio by wall clock"]
    return table(heads, rows)


def scaling_table() -> str:
    """The recorded cost of a step by level, mean of a whole budget, and level 5 against level 3."""
    run = json.loads(SCALING_RUN.read_text(encoding="utf-8"))
    rows = []
    for task, levels in run["steps"].items():
        costs = {level: statistics.mean(found) for level, found in levels.items()}
        rows.append([task, *map(_figure, costs.values()), _figure(costs["5"] / costs["3"])])
    note = f"Recorded with {run['software']}; {run['machine']}; over WebSocket medians of {run['runs']} runs."
    heads = [
        "µs of a step",
        *(f"level {level}" for level in next(iter(run["steps"].values()))),
        "5 against 3",
    ]
    return "\n\n".join([table(heads, rows), dated(note, run["version"])])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def container_table() -> str:
    """The recorded check of the container."""
    run = json.loads(CONTAINER_RUN.read_text(encoding="utf-8"))
    image, start = run["image"], run["start_s"]
    rows = [
        ["added to the base image", f"{image['added_mb']} MB"],
        ["in all", f"{image['mb']} MB"],
        ["first healthy answer", f"{start['median']:.1f} s, median of {len(start['runs'])} starts"],
        ["memory when ready", f"{run['memory_mib']} MiB"],
        ["stop with WebSockets open", f"{run['stop_s']:.1f} s"],
    ]
    return table(["`make container-check`", "found"], rows)


def layers_table() -> str:
    """The layers of the recorded image."""
    image = json.loads(CONTAINER_RUN.read_text(encoding="utf-8"))["image"]
    rows = [[name if name == "base" else f"`{name}`", str(size)] for name, size in image["layers"]]
    return table(["layer", "MB"], [*rows, ["in all", str(image["mb"])]])


def chaos_table() -> str:
    """The recorded chaos run."""
    if not CHAOS_RUN.exists():
        return 'No run is recorded yet; `make chaos ARGS="--json results/chaos.json"` records one.'
    run = json.loads(CHAOS_RUN.read_text(encoding="utf-8"))
    rows = []
    for one in run["trials"]:
        faults = ", ".join(f"{number:,} {name}" for name, number in one["faults"].items())
        unavailable = one["answers"].get("store_unavailable", 0)
        counts = (one["episodes"], one["steps"], unavailable, len(one["breaches"]))
        rows.append([one["trial"], one["store"], faults, *(f"{count:,}" for count in counts)])
    caught = [name for name, breach in run["twins"].items() if breach]
    note = (
        f"`make chaos`, seed {run['seed']}. Steps are acknowledged ones, 503 are "
        f"answers `store_unavailable`. Of {len(run['twins'])} broken stores {len(caught)} were caught: "
        f"{', '.join(f'`{name}`' for name in caught)}."
    )
    head = ["trial", "store", "faults", "episodes", "steps", "503", "lost, doubled, leaked or wrong"]
    return f"{table(head, rows)}\n\n{dated(note, run['version'])}"


def sessions_table() -> str:
    """The recorded cost of live episodes."""
    run = json.loads(SESSIONS_RUN.read_text(encoding="utf-8"))
    heads = list(next(iter(run["stores"].values())))
    rows = [
        [name, *(f"{value:,.0f}" if value >= 100 else f"{value:.2f}" for value in figures.values())]
        for name, figures in run["stores"].items()
    ]
    return table([f"live episodes, {run['steps']} steps each", *heads], rows)


def integrations_table() -> str:
    """The recorded runs with other people's libraries."""
    if not INTEGRATIONS_RUN.exists():
        return "No run is recorded yet."
    rows = []
    for one in json.loads(INTEGRATIONS_RUN.read_text(encoding="utf-8")).values():
        releases = ", ".join(f"{name} {version}" for name, version in one["packages"].items())
        outcome = f"{len(one['failed'])} FAILED" if one["failed"] else f"{one['passed']} passed"
        skips = f", {one['skipped']} skipped" if one["skipped"] else ""
        rows.append([one["library"], releases, one["what"], outcome + skips, one["date"]])
    return table(["library", "version", "what was run", "tests", "date"], rows)


def trust_table() -> str:
    """What is promised of a server under load and over time, what shows it, and the recorded figures."""
    rows = [
        [
            "the OpenAPI document is true, every error documented",
            "`make schemathesis`",
            _recorded(API_RUN, _api_figures),
        ],
        ["10,000 live episodes in under 500 MB", "`make load`", _recorded(LOAD_RUN, _episodes_figures)],
        ["overload is 503, never a timeout", "`make load`", _recorded(LOAD_RUN, _overload_figures)],
        ["memory is flat", "`make soak`", _recorded(SOAK_RUN, _soak_figures)],
    ]
    return table(["promise", "shown by", "recorded"], rows)


def _recorded(path: Path, figures: Callable[[dict[str, Any]], str]) -> str:
    return (
        figures(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else "no run is recorded yet"
    )


def _api_figures(run: dict[str, Any]) -> str:
    each = [
        f"{name}: {one['cases']:,} requests to {one['operations']} operations, {one['failures']} failures"
        for name, one in run["servers"].items()
    ]
    return "; ".join(each)


def _episodes_figures(run: dict[str, Any]) -> str:
    one = run["episodes"]
    return (
        f"{one['episodes']:,} episodes of {one['steps each']} steps: {one['process, MB']:.0f} MB, "
        f"{one['KB per episode']} KB each; one more: {one['one more']}"
    )


def _overload_figures(run: dict[str, Any]) -> str:
    one = run["overload"]
    return (
        f"{one['connections']} connections for {one['seconds']:.0f} s: {one['answered']:,} answered, "
        f"{one['503 with Retry-After']:,} refused, {one['timeouts']} timeouts; slowest answer "
        f"{one['slowest answer, s']} s, slowest probe {one['slowest probe, s']} s"
    )


def _soak_figures(run: dict[str, Any]) -> str:
    return (
        f"{run['minutes']:g} minutes, {run['episodes']:,} episodes, {run['steps']:,} steps: "
        f"{run['half way, MB']} MB half way, {run['at the end, MB']} MB at the end, slope "
        f"{run['slope, MB/h']} MB/h, {run['wrong answers']} wrong answers"
    )


SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"tasks": tasks_table, "policies": policies_table},
    "docs/operate/index.md": {"settings": settings_table},
    "docs/reference/tasks.md": {"tasks": tasks_table, "actions": actions_tables},
    "docs/results.md": {
        "policies": policies_table,
        "suite": suite_table,
        "levels": levels_table,
        "framings": framings_table,
        "models": models_table,
        "model-levels": model_levels_table,
        "training": training_table,
        "lm": lm_table,
        "grpo": grpo_table,
        "audit": audit_table,
        "audit-variants": audit_variants_table,
        "undo": undo_table,
        "peers": peers_table,
        "bench": bench_table,
        "scaling": scaling_table,
        "sessions": sessions_table,
        "trust": trust_table,
        "chaos": chaos_table,
        "container": container_table,
        "layers": layers_table,
        "clients": clients_table,
        "validators": validators_table,
        "servers": servers_table,
    },
    "docs/train/index.md": {"integrations": integrations_table},
    "docs/train/trl.md": {"completions": completion_table},
}


def rewritten(text: str, sections: dict[str, Callable[[], str]]) -> str:
    """The document with its sections made anew; `ValueError` if a section's markers are missing."""
    for name, make in sections.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"the markers of section {name} are missing")
        body = f"{begin}\n{make()}\n{end}"
        text = pattern.sub(lambda _match, body=body: body, text)  # type: ignore[misc]
    return text


def main(arguments: list[str]) -> int:
    """Rewrite, or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a document is stale")
    check = parser.parse_args(arguments).check
    stale = []
    for name, sections in SECTIONS.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        fresh = rewritten(text, sections)
        if fresh != text:
            stale.append(name)
            if not check:
                path.write_text(fresh, encoding="utf-8")
    if stale:
        print(f"{'stale' if check else 'rewritten'}: {', '.join(stale)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
