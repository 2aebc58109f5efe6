"""The start tells nothing: learners look for hidden facts in what is visible before the first step.

Owns this audit: what a scenario hides of its records, what is visible of them, and how well learners rank
the records of one scenario by it. Must not know any concrete task.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.rollouts import UNLIMITED, look_at_all
from safeact_env.core.episode import Episode
from safeact_env.core.state import State
from safeact_env.policies.calls import every_call

__all__ = ["START"]

MOST_AUC, MOST_AUC_RARE, RARE, TOO_RARE = 0.53, 0.55, 1 / 6, 0.02
"""The largest area under the curve, within scenarios: in general, and for values rarer than one in six. What
is rarer still is not judged, such as numbers that agree by chance."""

BY_CHANCE = 4.5
"""Standard errors from a half within which an area may lie by chance: some hundred labels are judged."""

STARTS = 4_000
LEAST_SEEN, MOST_BY_TREES = 15, 250
"""Records in which a feature has to occur, and the most features, the frequent ones, that trees are given."""

Record = tuple[str, ...]
"""Path of a record in `current_state`, its own name last; a look-alike is `("<look-alike>", name)`."""


def records(tables: Mapping[str, Any], path: Record = ()) -> Iterator[tuple[Record, Mapping[str, Any]]]:
    """Every record, nested ones included: an object that holds a value that is not an object."""
    for name, value in tables.items():
        if isinstance(value, dict):
            if path and any(not isinstance(one, dict) for one in value.values()):
                yield (*path, name), value
            yield from records(value, (*path, name))


def kind_of(record: Record) -> str:
    """The tables that a record lies in, without the names of records."""
    return "/".join(record[::2])


# What is hidden -------------------------------------------------------------------------------------------


def hidden_labels(episode: Episode[Any]) -> dict[Record, dict[str, bool]]:
    """Per record what is hidden of it, as yes or no: fields to be looked up, duties, gates.

    Args:
        episode: At its start, with an unlimited budget; all is looked at in it.
    """
    state, idle = episode.state, episode.task.idle
    # A record that a look writes to becomes a new one: these stay as they are.
    rows = dict(records(state.knowledge.tables))
    found: dict[Record, dict[str, bool]] = {record: {} for record in rows}
    gates = _gates(episode, found)
    look_at_all(episode)
    shown = dict(records(state.knowledge.tables))
    for record, row in rows.items():
        for field, value in row.items():
            if value is not None or field in idle:
                continue
            now = shown.get(record, {}).get(field)
            if isinstance(now, (bool, str, list)):
                found[record][field] = bool(now) and now != "unclassified"
                found[record][f"{field}: unclassified"] = now == "unclassified"
            elif is_number(now):
                for other in [name for name, one in row.items() if is_number(one)]:
                    found[record][f"{field} is {other}"] = now == row[other]
    _add_duties(state, found)
    for record, label, holds in gates:
        found[record][label] = holds
    for name in state.upkeep.runbooks:
        found["<look-alike>", name] = {"works": name == state.upkeep.working}
    return found


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _owner(names: tuple[str, ...], found: Mapping[Record, Any]) -> Record | None:
    """The record that these names are about: the one that has the most of them in its path."""
    about = [record for record in found if record[-1] in names]
    return max(about, key=lambda record: sum(name in names for name in record), default=None)


def _add_duties(state: State[Any], found: dict[Record, dict[str, bool]]) -> None:
    for (component, number), units in state.ledger.items.items():
        owners = {_owner(_names(unit), found) for unit in units} - {None}
        kinds = {kind_of(record) for record in owners if record}
        for record in [one for one in found if kind_of(one) in kinds]:
            found[record][f"duty {component}/{number}"] = record in owners


def _names(unit: Any) -> tuple[str, ...]:
    return tuple(map(str, unit)) if isinstance(unit, tuple) else (str(unit),)


def _gates(start: Episode[Any], found: Mapping[Record, Any]) -> list[tuple[Record, str, bool]]:
    """Per record, what the gates of actions on it say at the start."""
    gates: list[tuple[Record, str, bool]] = []
    observation, state = start.observation(), start.state
    for action in start.actions.values():
        if action.gate is None or action.lookalike:
            continue
        for move in every_call(observation, start.task.schemas, action.name):
            target = {name: move.params[name] for name in action.target_params}
            record = _owner(tuple(map(str, target.values())), found)
            if record is None:
                continue
            params = action.question(target)
            for label in ("when", "protected", "hopeless"):
                gates.append((record, f"{action.name} {label}", getattr(action.gate, label)(state, params)))
    return gates


# What is visible ------------------------------------------------------------------------------------------


def visible(observation: Mapping[str, Any]) -> dict[Record, dict[str, float]]:
    """Per record all that is visible of it, as named numbers: text by its words, numbers also by rank."""
    tables = observation["current_state"]
    brief = observation["task_description"]
    siblings: dict[str, list[tuple[Record, Mapping[str, Any]]]] = defaultdict(list)
    rows = dict(records(tables))
    for record, row in rows.items():
        siblings[kind_of(record) + "/" + "/".join(record[1:-1:2])].append((record, row))
    found = {}
    for group in siblings.values():
        named = [record[-1] in brief for record, _ in group]
        for place, (record, row) in enumerate(group):
            if named[place] and not all(named):
                continue  # the brief tells of this one in so many words
            features = {
                "place": place / len(group),
                "first": float(place == 0),
                "siblings": float(len(group)),
            }
            features |= _words("name", record[-1])
            for depth in range(2, len(record), 2):
                for field, value in rows[record[:depth]].items():
                    if isinstance(value, str):
                        features |= _words(f"parent {field}", value)
            for field, value in row.items():
                features |= _field(field, value, [other.get(field) for _, other in group])
                if is_number(value):
                    features |= {
                        f"{field} beside {other[-1]}": float(own[field])
                        for other, own in group
                        if field in own
                    }
            found[record] = features
    for place, row in enumerate(observation["available_actions"]):
        features = {
            "place": float(place),
            **_words("name", row["name"]),
            **_words("text", row["description"]),
        }
        found["<look-alike>", row["name"]] = features
    return found


def _words(field: str, text: str) -> dict[str, float]:
    words = re.findall(r"[a-z]+|[0-9]+", text.lower())
    found = {f"{field}: {word}": 1.0 for word in words}
    found |= {f"{field}, length": float(len(text)), f"{field}, last: {words[-1] if words else ''}": 1.0}
    return found


def _field(field: str, value: Any, others: list[Any]) -> dict[str, float]:
    if isinstance(value, str):
        return _words(field, value)
    if isinstance(value, list):
        return _words(field, " ".join(map(str, value))) | {f"{field}, number": float(len(value))}
    if not isinstance(value, (int, float)):
        return {}
    numbers = [float(one) for one in others if isinstance(one, (int, float))]
    rank = sum(one < value for one in numbers) / len(numbers)
    return {
        field: float(value),
        f"{field}, rank": rank,
        f"{field}, off the mean": value - sum(numbers) / len(numbers),
    }


# Learning --------------------------------------------------------------------------------------------------


Row = tuple[int, dict[str, float], dict[str, bool]]
"""A record of some scenario: its seed, what is visible of the record, and what is hidden of it."""


def gathered(scope: Scope, starts: int) -> dict[str, list[Row]]:
    """The records of so many scenarios, by kind. Those that are known to everyone are left out."""
    found: dict[str, list[Row]] = defaultdict(list)
    text = scope.task.text
    known = tuple(one.name for one in text.pools[scope.split].canonical)
    known += tuple(text.data.get(scope.split, {}).get("canonical_records", ()))
    for seed in range(starts):
        episode = scope.episode(seed, max_steps=UNLIMITED)
        features_of = visible(episode.observation())
        labels = hidden_labels(episode)
        for record, features in features_of.items():
            if record in labels and not record[-1].endswith(known):
                found[kind_of(record)].append((seed, features, labels[record]))
        scope.tick(0.5 * (seed + 1) / starts)
    return found


def area(scores: Any, labels: Any, scenarios: Any) -> tuple[float, float]:
    """The share of pairs, one of either class in one scenario, that the scores put in order.

    The second number is the standard error that the share has, by scenario, if the scores tell nothing.
    """
    import numpy as np

    won, pairs, squares = 0.0, 0, 0.0
    order = np.argsort(scenarios, kind="stable")
    _, firsts = np.unique(scenarios[order], return_index=True)
    for own in np.split(order, firsts[1:]):
        yes, no = scores[own[labels[own] == 1]], scores[own[labels[own] == 0]]
        if len(yes) and len(no):
            difference = yes[:, None] - no[None, :]
            own_won = float((difference > 0).sum() + 0.5 * (difference == 0).sum())
            won, pairs = won + own_won, pairs + difference.size
            squares += (own_won - difference.size / 2) ** 2
    return (won / pairs, math.sqrt(squares) / pairs) if pairs else (0.5, 0.5)


def vectors(rows: list[Row]) -> Any:
    """All that is visible of the records of one kind, as a sparse matrix: a row each."""
    from sklearn.feature_extraction import DictVectorizer

    return DictVectorizer().fit_transform([features for _, features, _ in rows])


Learned = tuple[float, float, float]
"""The best area that a learner reaches on the later half of the scenarios, its error, and the rarity."""


def learned(scope: Scope, rows: list[Row], matrix: Any, label: str) -> Learned | None:
    """What is learned of a label; `None` if it cannot be judged.

    Args:
        scope: Knows what was learned from the same numbers: framings have most of them in common.
        rows: The records of one kind.
        matrix: Their `vectors`.
        label: What is to be told of them.
    """
    import numpy as np

    having = [number for number, row in enumerate(rows) if label in row[2]]
    matrix = matrix[having]
    scenarios = np.array([rows[number][0] for number in having])
    labels = np.array([int(rows[number][2][label]) for number in having])
    digest = sha256(f"{matrix.shape} {matrix.nnz}".encode())
    for part in (matrix.data, matrix.indices, matrix.indptr, scenarios, labels):
        digest.update(part.tobytes())
    key = ("start", digest.digest())
    if key not in scope.known:
        scope.known[key] = _learned(matrix, scenarios, labels)
    found: Learned | None = scope.known[key]
    return found


def _learned(matrix: Any, scenarios: Any, labels: Any) -> Learned | None:
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import MaxAbsScaler

    from safeact_env.audit.learning import single_threaded

    train = scenarios < np.median(scenarios)
    test = ~train
    rare = min(float(labels.mean()), 1 - float(labels.mean()))
    if rare < TOO_RARE or len(set(labels[train])) < 2 or len(set(labels[test])) < 2:
        return None
    often = np.asarray((matrix[train] != 0).sum(axis=0)).ravel()
    matrix = MaxAbsScaler().fit_transform(matrix[:, often >= LEAST_SEEN])
    most = np.argsort(-often[often >= LEAST_SEEN])[:MOST_BY_TREES]
    dense = matrix[:, most].toarray()
    with single_threaded():
        linear = LogisticRegression(max_iter=300, C=0.3).fit(matrix[train], labels[train])
        trees = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(dense[train], labels[train])
        scores = linear.decision_function(matrix[test]), trees.predict_proba(dense[test])[:, 1]
    return (*max(area(one, labels[test], scenarios[test]) for one in scores), rare)


def start(scope: Scope) -> Result:
    """Learners rank the records of a scenario by what is hidden of them, from the start observation."""
    result = Result("hidden facts", figures={"largest area": 0.0})
    starts = min(STARTS, 20 * scope.seeds)
    tables = gathered(scope, starts)
    todo = [
        (kind, label)
        for kind, rows in sorted(tables.items())
        for label in sorted({label for _, _, labels in rows for label in labels})
    ]
    matrices = {kind: vectors(rows) for kind, rows in tables.items()}
    for number, (kind, label) in enumerate(todo):
        found = learned(scope, tables[kind], matrices[kind], label)
        if found is not None:
            area_, error, rare = found
            result.checked += 1
            result.figures[f"{kind}: {label}"] = round(area_, 3)
            result.figures["largest area"] = round(max(result.figures["largest area"], area_), 3)
            most = MOST_AUC_RARE if rare < RARE else MOST_AUC
            if area_ > max(most, 0.5 + BY_CHANCE * error):
                result.breach(
                    f"the start tells {label} of {kind}: a learner ranks {area_:.3f} of pairs rightly"
                )
        scope.tick(0.5 + 0.5 * (number + 1) / len(todo))
    return result


START = Audit("start", "Nothing in the start observation tells what is hidden.", start, learns=True)
