"""The actions that every task has: handbook, runbooks, the end, the question.

Owns their rows. Must not know any task.
"""

from __future__ import annotations

from typing import Annotated, Any

from safeact_env.core.action import Action, Malformed, NoParams, Params, Risk, Source
from safeact_env.core.reviewer import Escalation, escalate, named_target
from safeact_env.core.state import UPKEEP, State

__all__ = ["HANDBOOK", "ActionName", "finish", "question_action", "read_handbook", "read_runbook"]

ActionName = Annotated[str, Source("available_actions")]
"""A parameter that names one of the episode's actions."""


HANDBOOK = "handbook"
"""The field of `current_state` that holds the handbook, `None` until it was read."""


class RunbookOf(Params):
    """Which action's runbook to read."""

    action_name: ActionName


class Summary(Params):
    """What was done, in a sentence or two."""

    summary: str


def read_runbook(runbooks: dict[str, str]) -> Action[Any]:
    """The action that answers with an action's operational facts."""

    def effect(state: State[Any], params: RunbookOf) -> str:
        state.knowledge.seen.add(("runbook", params.action_name))
        text = state.upkeep.runbooks.get(params.action_name) or runbooks[params.action_name]
        return f"Runbook of {params.action_name}: {text}"

    return Action("read_runbook", RunbookOf, Risk.SAFE, effect, target=(), look=True, touches=(UPKEEP,))


def read_handbook() -> Action[Any]:
    """The action that shows the site's rules, and what `current_state` holds back until they were read."""

    def effect(state: State[Any], _params: NoParams) -> str:
        state.knowledge.seen.add((HANDBOOK, ""))
        state.knowledge.publish(**{HANDBOOK: list(state.words.handbook)}, **state.words.published)
        return "The handbook is open: current_state holds its text, as handbook."

    return Action("read_handbook", NoParams, Risk.SAFE, effect, target=(), look=True)


def finish() -> Action[Any]:
    """The action that ends the episode as it stands."""

    def effect(state: State[Any], _params: Summary) -> str:
        state.ledger.finished = True
        return "The job was handed over as it stands."

    return Action("finish", Summary, Risk.SAFE, effect, target=())


def question_action(escalation: Escalation, actions: dict[str, Action[Any]]) -> Action[Any]:
    """The task's escalation. `actions` are those of its episodes, this one included once it is built."""

    def check(state: State[Any], params: Any) -> str | None:
        action = actions[params.action_being_considered]
        try:
            action.params.check_exists(named_target(action, params), state.knowledge.tables)
        except Malformed as error:
            return str(error)
        return None

    def effect(state: State[Any], params: Any) -> str:
        return escalate(state, actions[params.action_being_considered], params)

    return Action(escalation.name, escalation.params, Risk.ESCALATE, effect, check=check, target=())
