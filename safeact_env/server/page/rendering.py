"""How OpenEnv's page at /web shows an episode, and the calls it offers to click on.

Owns the HTML and the labels. Must not know facts or any concrete task: both come from an observation, as an
agent sees it, and from what the task publishes. Text of an observation is always escaped, never markup.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from safeact_env.core.record import reductions
from safeact_env.policies.calls import Schemas, every_call, question

Records = Sequence[tuple[str, Mapping[str, Any]]]
"""Entities with their names."""

REASON = "Chosen on the page."
OUTCOMES = {
    "completed": "Completed: everything is done, and with care.",
    "finished": "The job was handed over.",
    "budget_exhausted": "Out of steps.",
    "irreversible_mistake": "An irreversible mistake ended the episode; at most a quarter of it counts.",
}
UNKNOWN = '<span class="sa-unknown" title="not known yet">?</span>'
# `:is(#_, ...)` gives a rule the specificity of an id, so that it overrides the page's own.
STYLE = """<style>
:is(#_, .oe-visual) { flex: 1 1 100% !important; width: 100% !important; }
:is(#_, .oe-actions) .wrap { max-height: 22rem; overflow-y: auto; align-content: flex-start; gap: 5px; }
:is(#_, .oe-actions) .wrap label { padding: 3px 9px !important; font-size: 12px; overflow-wrap: anywhere; }
.sa { font-size: 14px; line-height: 1.45; overflow-wrap: anywhere; color: var(--body-text-color); }
.sa h3 { margin: 14px 0 4px; font-size: 14px; font-weight: 600; }
.sa p { margin: 4px 0; }
.sa summary { cursor: pointer; margin-top: 10px; font-weight: 600; }
.sa ol { margin: 4px 0 0; padding: 0; list-style: none; }
.sa-row { padding: 5px 0; border-top: 1px solid var(--border-color-primary); }
.sa-inner { margin: 4px 0 0 14px; }
.sa-facts { display: flex; flex-wrap: wrap; gap: 0 14px; }
.sa-muted { padding: 2px 0; }
.sa :is(i, .sa-muted, .sa-unknown) { font-style: normal; color: var(--body-text-color-subdued); }
.sa-unknown { padding: 0 5px; border: 1px dashed; border-radius: 4px; }
.sa-result { margin: 8px 0; padding: 8px 12px; border-left: 3px solid var(--color-accent); }
.sa-result, .sa-grade { background: var(--background-fill-secondary); }
.sa-bad { border-left-color: #b42318; }
.sa-grade { padding: 8px 12px; border-radius: 8px; }
</style>"""


def render(observation: Mapping[str, Any], about: Mapping[str, str]) -> str:
    """Render an observation as HTML: result and reward, grade at the end, job, state, history.

    Args:
        observation: The observation as on the wire, with `reward` and `done`.
        about: The purpose of each component of the grade, by name.
    """
    history = observation["action_history"]
    parts = [
        _progress(observation, len(history)),
        _result(str(observation["last_action_result"])),
        _grade(observation["metadata"], about) if observation["done"] else "",
        _folded("The job", f"<p>{_text(observation['task_description'])}</p>", is_open=not history),
        *_state(observation["current_state"]),
        _folded(f"History ({len(history)})", _history(history)) if history else "",
    ]
    return f'{STYLE}<div class="sa">{"".join(parts)}</div>'


def _progress(observation: Mapping[str, Any], used: int) -> str:
    left = observation["steps_remaining"]
    last = f" Reward of the last step: <b>{observation['reward']:+.4f}</b>." if used else ""
    return f"<p>Step {used} of {used + left}, <b>{left} left</b>.{last}</p>"


def _result(sentence: str) -> str:
    if not sentence:
        return ""
    style = "sa-result sa-bad" if sentence.startswith("CRITICAL") else "sa-result"
    return f'<div class="{style}">{_text(sentence)}</div>'


def _grade(metadata: Mapping[str, Any], about: Mapping[str, str]) -> str:
    rows = "".join(
        f'<div class="sa-row"><b>{_text(_words(name))}</b> {part["earned"] * part["weight"]:.3f} '
        f"of {part['weight']:.3f} <i>{_text(about.get(name, ''))}</i></div>"
        for name, part in metadata["components"].items()
    )
    told = _text(reductions(metadata["harm"], metadata["over_escalations"]))
    outcome = metadata["outcome"]
    return (
        f'<div class="sa-grade"><p><b>{_text(OUTCOMES.get(outcome, outcome))}</b> '
        f"Grade <b>{metadata['score']:.4f}</b> after {metadata['steps']} steps.</p>{rows}<p>{told}</p></div>"
    )


def _history(entries: Iterable[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<li class="sa-row"><b>{entry["step"]}. {_text(entry["action"])}</b> {_cell(entry["params"])}'
        f"<div>{_text(entry['result'])}</div></li>"
        for entry in reversed(list(entries))
    )
    return f"<ol>{rows}</ol>"


def _state(state: Mapping[str, Any]) -> list[str]:
    """One block per collection of entities and per object; plain values share one."""
    plain = {name: value for name, value in state.items() if not isinstance(value, Mapping | list)}
    parts = [_facts(plain)] if plain else []
    for name, value in state.items():
        if name in plain:
            continue
        if (records := _records(value)) is not None:
            body = _collection(records)
        else:
            body = _facts(value) if isinstance(value, Mapping) else f"<div>{_cell(value)}</div>"
        parts.append(f"<h3>{_text(_words(name))}</h3>{body}")
    return parts


def _records(value: Any) -> Records | None:
    """The entities of a collection, or `None` if it is not a collection of entities."""
    if isinstance(value, Mapping) and value and all(isinstance(one, Mapping) for one in value.values()):
        return list(value.items())
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        return [(str(number), record) for number, record in enumerate(value, 1)]
    return None


def _collection(records: Records) -> str:
    """Entities below each other. Fields that are unknown for all of them are named once."""
    fields = list(dict.fromkeys(field for _, record in records for field in record))
    unknown = [field for field in fields if all(record.get(field) is None for _, record in records)]
    told = {*unknown, *(field for field in fields if _repeats_name(field, records))}
    rows = "".join(_entity(name, record, told) for name, record in records)
    of = "of all: " if len(records) > 1 else ""
    return f"{_unknown(unknown, of)}{rows}"


def _entity(name: str, record: Mapping[str, Any], told: set[str]) -> str:
    parts = [
        f"<b>{_text(name)}</b>",
        _facts({key: value for key, value in record.items() if key not in told}),
    ]
    for field, value in record.items():
        if (records := _records(value)) is not None:
            parts.append(f'<div class="sa-inner"><i>{_text(_words(field))}</i>{_collection(records)}</div>')
    return f'<div class="sa-row">{"".join(parts)}</div>'


def _facts(record: Mapping[str, Any]) -> str:
    """The known fields, then the names of the unknown ones. Nested entities have their own block."""
    known = {key: value for key, value in record.items() if value is not None and _records(value) is None}
    cells = "".join(
        f"<span><i>{_text(_words(key))}</i> {_cell(value)}</span>" for key, value in known.items()
    )
    unknown = [key for key, value in record.items() if value is None]
    return f'<div class="sa-facts">{cells}</div>{_unknown(unknown)}'


def _unknown(fields: Sequence[str], of: str = "") -> str:
    names = ", ".join(_text(_words(field)) for field in fields)
    return f'<div class="sa-muted">{UNKNOWN} {of}{names}</div>' if fields else ""


def _repeats_name(field: str, records: Records) -> bool:
    """Whether a field only repeats the beginning of the names, as a file's directory does."""
    values = [(name, record.get(field)) for name, record in records]
    return all(isinstance(value, str) and value and name.startswith(f"{value}/") for name, value in values)


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{_text(_words(str(key)))}: {_cell(part)}" for key, part in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_cell, value)) or "-"
    return _text(value) or "-"


def _folded(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>{body}</details>"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: Any) -> str:
    return escape(str(value))


def action_choices(
    observation: Mapping[str, Any], schemas: Schemas, ask_action: str
) -> list[tuple[str, dict[str, Any]]]:
    """Well-formed calls with their labels: every action on every target, then a question about each.

    For a free parameter, such as a dose, they use the task's examples; the form takes any other value.

    Args:
        observation: The observation as on the wire.
        schemas: The published parameters of the task's actions.
        ask_action: The action that asks the reviewer.
    """
    names = [row["name"] for row in observation["available_actions"] if row["name"] != ask_action]
    moves = [move for name in names for move in every_call(observation, schemas, name)]
    moves += [question(observation, ask_action, move) for move in moves]
    found = {}
    for move in moves:
        said = {key: value for key, value in move.params.items() if key not in ("reason", "summary")}
        label = " ".join((move.name, *(str(value) for value in said.values())))
        found[label] = {"action_name": move.name, "parameters": move.params, "reasoning": REASON}
    return list(found.items())
