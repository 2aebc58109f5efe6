"""Framings are words: the same calls do and pay the same in all of them, and only words differ.

Owns this audit: the wordings themselves, then episodes of all framings in lockstep. Must not know any
concrete task.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.rollouts import looked_at_all, verdict, wire
from safeact_env.core.common import HANDBOOK
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.core.record import Grade
from safeact_env.core.task import SPLITS
from safeact_env.core.twins import NOTE
from safeact_env.core.variant import FRAMINGS, Framing
from safeact_env.policies.reference import calls_of, make_policy

__all__ = ["FRAMINGS_ALIKE"]

POLICIES = ("expert", "thorough", "cautious", "never_asks", "naive", "random")
LEAST_WORDINGS = 6
COUNTS = re.compile(
    r"\d|\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|both|pair)\b", re.IGNORECASE
)
APPROVAL = re.compile(
    r"\b(approv\w*|permi(t|ts|tted|ssion\w*)|allow\w*|authori\w*|consent\w*|sign(ed)?[ -]?off|go-ahead|"
    r"green light|clearance|must not|ask\w*|escalat\w*|handbook|runbook)\b",
    re.IGNORECASE,
)
"""Words that draw a boundary. A `waiver` gives permission and so cannot do without them."""
CUT = "…"


def framings(scope: Scope) -> Result:
    """Check the wordings; play reference policies on every framing side by side and compare each step."""
    result = Result("steps", figures={"framings": len(scope.task.framings)})
    check_wordings(scope, result)
    if missing := [name for name in FRAMINGS if name not in scope.task.framings]:
        result.breach(f"there are no texts for {', '.join(missing)}")
    for seed in range(scope.seeds):
        check_start(scope, seed, result)
        if "planted" in scope.task.framings:
            check_plant(scope, seed, result)
            check_place_of_plant(scope, seed, result)
        for policy in POLICIES:
            play_alike(scope, seed, policy, result)
        scope.tick((seed + 1) / scope.seeds)
        if result.full:
            break
    return result


# Wordings ------------------------------------------------------------------------------------------------


def check_wordings(scope: Scope, result: Result) -> None:
    """Enough wordings of each framing, none in both splits, no count and no word of approval in them."""
    texts = scope.task.text.framings
    for framing in scope.task.framings[1:]:
        own, other = (set(texts[split][framing]) for split in sorted(SPLITS, key=scope.split.__ne__))
        if len(own) < LEAST_WORDINGS:
            result.breach(f"{framing} has only {len(own)} wordings")
        if both := own & other:
            result.breach(f"both splits have the wording {min(both)!r} of {framing}")
        for text in sorted(own) if framing != "planted" else ():
            if found := COUNTS.search(text):
                result.breach(f"{framing} counts ({found[0]}): {text!r}")
            if framing != "waiver" and (found := APPROVAL.search(text)):
                result.breach(f"{framing} draws a boundary ({found[0]}): {text!r}")


def variants(scope: Scope) -> dict[Framing, Scope]:
    """The scope in each framing that the task has."""
    return {
        framing: replace(scope, variant=replace(scope.variant, framing=framing))
        for framing in scope.task.framings
    }


def check_start(scope: Scope, seed: int, result: Result) -> None:
    """One handbook for all, with every number of the brief; the word on permission in `rules` only."""
    starts = {framing: one.start(seed) for framing, one in variants(scope).items()}
    rules = starts["rules"]
    handbook = " ".join(rules.state.words.handbook)
    if lost := numbers(rules.description) - numbers(handbook):
        result.breach(f"the handbook does not give {', '.join(sorted(lost))}", seed)
    for framing, start in starts.items():
        if start.state.words.handbook != rules.state.words.handbook:
            result.breach(f"{framing} has another handbook", seed)
        if (scope.task.escalation.name in start.description) is not (framing == "rules"):
            result.breach(f"the description of {framing} is wrong about {scope.task.escalation.name}", seed)


def numbers(text: str) -> set[str]:
    """The numbers in a text, without those of a list, such as (1)."""
    return set(re.findall(r"\d+", re.sub(r"\(\d\)", "", text)))


def check_plant(scope: Scope, seed: int, result: Result) -> None:
    """The planted note shows where its record is inspected, and what it asks for is the mistake."""
    episode = looked_at_all(variants(scope)["planted"], seed)
    plant, calls = episode.state.words.plant, [turn.call for turn in episode.turns]
    assert plant is not None
    shown = episode.observation()
    places = {
        "a result": [turn.result for turn in episode.turns],
        "current_state": shown["current_state"],
        "the history": shown["action_history"],
    }
    note = wire(episode.state.words.notes[plant.record])[1:-1]
    for place, value in places.items():
        if note not in wire(value):
            result.breach(f"the planted note is not shown in {place}: {note.decode()}", seed, calls)
    move = Move(plant.action, dict(plant.params))
    if (found := verdict(episode.actions, episode.state, move)) != "mistake":
        result.breach(f"what the planted note asks for is {found}: {move.name}", seed, [*calls, move.call()])


def check_place_of_plant(scope: Scope, seed: int, result: Result) -> None:
    """The note tells only what is shown with it: it asks for the mistake whatever else its record hides.

    Where there is one record only, the place of the note tells nothing.
    """
    planted = variants(scope)["planted"]
    plant, tables = planted.start(seed).state.words.plant, planted.start(seed).state.knowledge.tables
    assert plant is not None
    if any(len(table) == 1 for table in tables.values() if plant.record in (table or ())):
        return
    move, target = Move(plant.action, dict(plant.params)), {*map(str, plant.params.values())}
    shown = {name for twin in scope.task.twins if twin.kind == NOTE for name in twin.revealed_by}
    for twin in scope.task.twins:
        if shown.isdisjoint(twin.revealed_by):
            two = planted.start(seed)
            about = twin.differ(planted.start(seed), two, scope.rng("plant", twin.kind, seed))
            if not any(target.issuperset(entity) for entity in about):
                continue
            episode = looked_at_all(planted, seed, two)
            result.checked += 1
            if verdict(episode.actions, episode.state, move) != "mistake":
                result.breach(f"the place of the planted note tells of {twin.kind}", seed)


# In lockstep ---------------------------------------------------------------------------------------------


def play_alike(scope: Scope, seed: int, policy: str, result: Result) -> None:
    """Play a policy on every framing side by side, up to the first difference but for words."""
    episodes = {framing: one.episode(seed) for framing, one in variants(scope).items()}
    players = {
        framing: calls_of(make_policy(policy, scope.task, seed), one) for framing, one in episodes.items()
    }
    rules = episodes["rules"]
    while True:
        # Each makes the call that was compared, and says the next.
        calls = {framing: next(player, None) for framing, player in players.items()}
        done = [turn.call for turn in rules.turns]
        own = rules.grade(), told(rules)
        for framing, episode in episodes.items() if done else ():
            result.checked += 1
            if (where := difference(rules, own, episode)) is not None:
                result.breach(f"{framing} differs from rules in {where}", seed, done)
                return
        if (first := calls["rules"]) is None:
            return
        for framing, made in calls.items():
            if made is None or (made.action_name, made.parameters) != (first.action_name, first.parameters):
                name = made and made.action_name
                result.breach(f"{policy} plays {framing} otherwise: {name}", seed, done)
                return


def difference(rules: Episode[Any], own: tuple[Grade, bytes], other: Episode[Any]) -> str | None:
    """Where an episode differs from the one of `rules` after the same calls, in more than its words.

    Args:
        rules: The episode of `rules`.
        own: Its grade, and what is `told` of it.
        other: The episode in another framing.
    """
    one, two = rules.turns[-1], other.turns[-1]
    if (one.points, one.risk) != (two.points, two.risk):
        return "reward or risk"
    if (rules.state.facts, rules.state.upkeep) != (other.state.facts, other.state.upkeep):
        return "the facts"
    if rules.state.ledger != other.state.ledger:
        return "the ledger"
    grade, shown = own
    if (rules.outcome, grade) != (other.outcome, other.grade()):
        return "outcome or grade"
    if shown == told(other).replace(*notes_of(other, rules)):
        return None
    here, there = rules.observation(), as_in_rules(other, rules)
    there["task_description"] = here["task_description"]
    if there["metadata"]:
        there["metadata"]["framing"] = here["metadata"]["framing"]
    # Equal objects need not be equal bytes: 1 is true, and fields may change places.
    if here == there and wire(here) == wire(there):
        return None
    return next((key for key in here if wire(here[key]) != wire(there[key])), "the order of fields")


def told(episode: Episode[Any]) -> bytes:
    """What an episode shows, less its description: equal bytes spare a comparison part by part."""
    return episode.shown().observation.partition(b',"current_state":')[2]


def notes_of(other: Episode[Any], rules: Episode[Any]) -> tuple[bytes, bytes]:
    """The note that is planted, and the idle one in its place, as in JSON; twice the same if none is."""
    plant = other.state.words.plant
    if plant is None:
        return b"-", b"-"
    planted, idle = (wire(one.state.words.notes[plant.record])[1:-1] for one in (other, rules))
    return planted, idle


def as_in_rules(other: Episode[Any], rules: Episode[Any]) -> dict[str, Any]:
    """What an episode shows, its planted note and its unread tables exchanged for those of `rules`."""
    words = other.state.words
    shown = other.observation()
    state = shown["current_state"]
    if state[HANDBOOK] is None:
        for name in words.published:
            if blank(rules.state.knowledge.tables[name]) == state[name]:
                state[name] = rules.state.knowledge.tables[name]
    # A cut entry is not compared by its result, which was compared whole when it was the last.
    for entry, own in zip(shown["action_history"], rules.observation()["action_history"], strict=True):
        if CUT in entry["result"] or CUT in own["result"]:
            entry["result"] = own["result"]
    found: dict[str, Any] = json.loads(wire(shown).replace(*notes_of(other, rules)))
    return found


def blank(value: Any) -> Any:
    """The same keys and nesting without values."""
    return {key: blank(item) for key, item in value.items()} if isinstance(value, dict) else None


FRAMINGS_ALIKE = Audit(
    "framings", "The framings of a scenario do and pay the same; observations differ in words only.", framings
)
