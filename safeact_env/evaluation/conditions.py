"""The conditions of a suite, and whether a run kept them: a sentence for each that it did not.

Owns what an agent of a kind may be, and what its records may say. Must not know metrics or files.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from safeact_env.core.variant import Variant
from safeact_env.evaluation.cost import ReportError, Usage, usage_of
from safeact_env.evaluation.mismatches import Replay
from safeact_env.evaluation.record import said_in, went_without_temperature
from safeact_env.evaluation.report import Agent, Report
from safeact_env.evaluation.suite import Limits, Suite
from safeact_env.policies.reference import POLICIES
from safeact_env.tasks import get_task

__all__ = ["agent_mismatches", "misdescribed"]

NAME = re.compile(r"(?! )[^\x00-\x1f\x7f-\U0010ffff|<>`]+(?<! )")
"""Names that cannot look like another one, and mean nothing in Markdown or HTML."""
LONGEST_NAME = 200


def agent_mismatches(suite: Suite, report: Report, replays: Iterable[Replay]) -> Iterator[str]:
    """Check the suite's conditions, and that a reference policy's calls are the policy's own."""
    agent, prompt = report.agent, report.agent.prompt
    if mismatch := misdescribed(agent):
        yield mismatch
    if agent.kind == "model" and (
        prompt is None or (prompt.name, prompt.version) != (suite.prompt, suite.prompt_version)
    ):
        yield f"The report's prompt is not {suite.prompt}, version {suite.prompt_version}, as the suite asks."
    for again in replays:
        if again.fresh is None:
            continue
        if agent.kind == "model":
            mismatches = _model_mismatches(suite, report, again.record, again.fresh)
        else:
            mismatches = _own_mismatches(agent.kind, again)
        yield from (
            f"{again.key.place}: {mismatch}." for mismatch in (*_budget_mismatches(again.fresh), *mismatches)
        )


def misdescribed(agent: Agent) -> str | None:
    """What cannot be true of an agent of this kind, in a sentence."""
    if agent.kind == "policy" and agent.name not in POLICIES:
        return f"There is no reference policy {agent.name}."
    if agent.kind != "policy" and agent.name.lower() in POLICIES:
        return f"{agent.name} is the name of a reference policy; a {agent.kind} needs another one."
    if not NAME.fullmatch(agent.name) or len(agent.name) > LONGEST_NAME:
        return (
            f"The name {agent.name[:LONGEST_NAME]!a} is none for an agent: at most {LONGEST_NAME} printable "
            "characters of ASCII, no space at either end, none of |, <, > and backticks."
        )
    if agent.kind != "model" and agent.prompt is not None:
        return f"A {agent.kind} reads no prompt, and the agent has one; with a prompt it is a model."
    return None


def _budget_mismatches(fresh: Mapping[str, Any]) -> Iterator[str]:
    budget = get_task(fresh["task"]).level(Variant.of(fresh)).max_steps
    if fresh["max_steps"] != budget:
        yield f"played under a budget of {fresh['max_steps']} steps instead of the task's {budget}"


def _own_mismatches(kind: str, again: Replay) -> Iterator[str]:
    if "model" in again.record:
        yield f"the record says how a model played, and a {kind} uses none"
    # A policy that is not known here is reported once, or its record is not an episode of this run.
    if again.own is not None and again.fresh and again.own != again.fresh["calls"]:
        yield f"{again.key.policy} plays other calls here"
    elif again.fresh and again.fresh["outcome"] is None:
        yield "the episode is not over"


def _model_mismatches(
    suite: Suite, report: Report, record: Mapping[str, Any], fresh: Mapping[str, Any]
) -> Iterator[str]:
    used = record.get("model")
    if not isinstance(used, Mapping):
        yield "the record has no part `model`"
        return
    if (used.get("prompt"), used.get("prompt_version")) != (suite.prompt, suite.prompt_version):
        yield f"the model did not get the prompt {suite.prompt}, version {suite.prompt_version}"
    if fresh["calls"] and (said_in(fresh) is not None) != suite.predict:
        yield f"the suite is played {'with' if suite.predict else 'without'} predictions, and this was not"
    prompt = report.agent.prompt
    if prompt is not None and used.get("prompt_sha256", prompt.sha256) != prompt.sha256:
        yield "the text of the prompt was another one than the report's"
    settings = {"model": report.agent.name, **report.agent.settings}
    if went_without_temperature(record) and settings.get("temperature") is not None:
        yield "a request went without the temperature that the report names"
    for name, setting in (("name", "model"), ("mode", "mode"), ("temperature", "temperature")):
        said, asked = used.get(name), settings.get(setting)
        if None not in (said, asked) and asked != "auto" and said != asked:
            yield f"the model's {name} was {json.dumps(said)}, and the report's is {json.dumps(asked)}"
    with suppress(ReportError):  # reported by the check of the cost
        yield from _limit_mismatches(suite.limits, used.get("stop"), usage_of(record), fresh)


def _limit_mismatches(limits: Limits, stop: object, used: Usage, fresh: Mapping[str, Any]) -> Iterator[str]:
    answers, tokens, seconds = len(used.waits), used.tokens_in + used.tokens_out, sum(used.waits[:-1])
    stopped = isinstance(stop, str) and stop in asdict(limits)
    if fresh["outcome"] is not None:
        if stopped:
            yield f"the episode is over, and the record says that its limit of {stop} stopped the model"
    elif not stopped:
        yield "the episode is not over, and the record does not name the limit that stopped the model"
    elif stop == "calls" and answers < limits.calls:
        yield f"the record says that {answers} answers were all that the suite allows"
    elif stop == "tokens" and tokens < limits.tokens:
        yield f"the record says that {tokens} tokens were all that the suite allows"
    # That its seconds were used up cannot be seen: an answer that is cut off is not counted.
    if answers < len(fresh["calls"]):
        yield f"{len(fresh['calls'])} calls came of {answers} answers, and an answer is one call"
    if answers > limits.calls:
        yield f"{answers} answers were asked for, and the suite allows {limits.calls}"
    if seconds > limits.seconds:
        yield f"the model was asked again after the {limits.seconds} seconds that the suite allows"
