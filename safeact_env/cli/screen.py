"""What a player of `safeact play` sees: state, actions, score card.

Owns the layout. Must not know a task: any JSON state is shown, hidden values as a question mark.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.columns import Columns
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from safeact_env.core.record import reductions

Row = tuple[str, str]
"""A collection of the state and the name of an entity in it; or a field of the state and an empty name."""

Records = Sequence[tuple[str, str, Mapping[str, Any]]]
"""Entities of a collection: their number in it, name and values."""

MAX_CELL = 18
"""Widest column besides the name, in characters; longer values are folded."""
ROOM_FOR_A_REST = 6
"""How much wider a column may be, so that no word is folded with a letter or two on a line of their own."""
GAP = 2
OUTCOMES = {
    "completed": "Completed: everything is done, and with care.",
    "finished": "You handed the job over.",
    "budget_exhausted": "Out of steps.",
    "irreversible_mistake": "An irreversible mistake ended the episode; at most a quarter of it counts.",
}


def state_tables(
    view: Mapping[str, Any], width: int, shown: Callable[[Row], bool] = lambda _row: True
) -> list[RenderableType]:
    """Return `current_state` as tables and lines of at most `width` characters; `shown` selects rows."""
    tables: list[RenderableType] = []
    others: list[Text] = []
    for name, value in view.items():
        records = _records(value)
        if records is None:
            if shown((name, "")):
                others.append(_other(name, value))
            continue
        rows = [(str(n), key, record) for n, (key, record) in enumerate(records, 1) if shown((name, key))]
        if rows:
            tables += _collection(name, rows, width)
    return [*tables, Text("   ").join(others)] if others else tables


def changed_rows(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[Row]:
    """Return what differs between two states: entities, and other fields with an empty name."""
    changed = set()
    for name, value in after.items():
        records, former = _records(value), before.get(name)
        if records is None:
            changed |= {(name, "")} if value != former else set()
        else:
            known = _records(former) or []
            changed |= {(name, key) for key, record in records if (key, record) not in known}
    return changed


def _records(value: Any) -> list[tuple[str, Mapping[str, Any]]] | None:
    """The entities of a collection with their names, or `None` if it is not a collection of entities."""
    if isinstance(value, Mapping) and value and all(isinstance(v, Mapping) for v in value.values()):
        return list(value.items())
    if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        return [(str(number), record) for number, record in enumerate(value, 1)]
    return None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of entities. Its title may wrap at spaces; its values may fold."""

    title: str
    cells: list[str]
    most: int
    style: str = ""

    @property
    def least_width(self) -> int:
        """Width for the values, up to about `most`, and for the longest word of the title."""
        longest = max(map(len, self.cells))
        if longest > self.most:
            widths = range(self.most, self.most + ROOM_FOR_A_REST + 1)
            good = (one for one in widths if not any(_leaves_a_rest(cell, one) for cell in self.cells))
            longest = next(good, self.most)
        return max(*map(len, self.title.split()), longest)

    @property
    def width(self) -> int:
        """Width for the title on one line as well."""
        return max(len(self.title), self.least_width)


def _leaves_a_rest(cell: str, width: int) -> bool:
    """Whether a word of this cell would be folded so that a letter or two stand on a line of their own."""
    return any(len(word) > width and len(word) % width in (1, 2) for word in cell.split())


def _collection(name: str, rows: Records, width: int) -> list[Table | Text]:
    """Return one table, or several if the columns do not fit; rows keep their numbers."""
    fields = list(dict.fromkeys(field for _n, _key, record in rows for field in record))
    unknown = [f for f in fields if all(record.get(f) is None for _n, _key, record in rows)]
    nested = [f for f in fields if any(_records(record.get(f)) for _n, _key, record in rows)]
    columns = [Column(_words(name), [key for _n, key, _record in rows], width * 3 // 5, "bold")]
    for field in fields:
        if field not in (*unknown, *nested) and not _repeats_name(field, rows):
            cells = [_cell(record.get(field)) for _n, _key, record in rows]
            columns.append(Column(_words(field), cells, MAX_CELL))
    numbers = [number for number, _key, _record in rows]
    room = width - max(map(len, numbers))
    bands = _bands(columns, room)
    parts: list[Table | Text] = []
    if len(rows) == 1 and len(bands) > 1:
        named = "; ".join(f"{column.title}: {column.cells[0]}" for column in columns[1:])
        head = (f"{_words(name)} {numbers[0]}  {rows[0][1]}  ", "bold")
        parts = [Text.assemble(head, named), Text()]
        bands = []
    for band in bands:
        parts += [_band_table(numbers, band, room), Text()]
    if unknown:
        hidden = ", ".join(map(_words, unknown))
        parts[-1:] = [Text(f"? for {'all' if len(rows) > 1 else 'it'}: {hidden}", style="dim"), Text()]
    for field in nested:
        parts += _collection(field, _inner(field, rows), width)
    return parts


def _inner(field: str, rows: Records) -> Records:
    """The entities inside a field, each with the number of the one that holds it."""
    return [
        (number, f"{key}: {name}", inner)
        for number, key, record in rows
        for name, inner in _records(record.get(field)) or ()
    ]


def _bands(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Divide the columns into tables that fit."""
    bands: list[list[Column]] = [[]]
    room = width
    for column in columns:
        if column.least_width + GAP > room and bands[-1]:
            bands.append([])
            room = width
        bands[-1].append(column)
        room -= column.least_width + GAP
    return bands


def _band_table(numbers: Sequence[str], band: Sequence[Column], width: int) -> Table:
    roomy = sum(column.width + GAP for column in band) <= width
    # Without a rule below the head: the state and what can be done are to fit a screen together.
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="underline")
    table.add_column("", justify="right", style="dim")
    for column in band:
        room = column.width if roomy else column.least_width
        table.add_column(column.title, style=column.style, width=room, overflow="fold")
    for index, number in enumerate(numbers):
        table.add_row(number, *(Text(column.cells[index]) for column in band))
    return table


def _repeats_name(column: str, rows: Records) -> bool:
    """Whether a column only repeats the start of the names, like a file's directory."""
    return all(
        isinstance(value := record.get(column), str) and value and key.startswith(value + "/")
        for _n, key, record in rows
    )


def _other(name: str, value: Any) -> Text:
    """Show a field without entities: its name and its values, as few lines as they take."""
    return Text.assemble((_words(name), "bold"), "  ", _cell(value))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Any) -> str:
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{_words(str(key))}: {_cell(part)}" for key, part in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_cell, value)) or "-"
    return str(value) or "-"


def action_list(actions: Sequence[Mapping[str, Any]]) -> Table:
    """The actions with their descriptions, numbered."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(justify="right", style="dim")
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for number, row in enumerate(actions, 1):
        table.add_row(str(number), row["name"], Text(row["description"]))
    return table


def action_names(actions: Sequence[Mapping[str, Any]]) -> Columns:
    """The actions, numbered, in columns."""
    return choice_list([row["name"] for row in actions])


def choice_list(values: Iterable[Any]) -> Columns:
    """Values to choose from, numbered, in columns."""
    cells = [Text.assemble((f"{number:>2} ", "dim"), str(value)) for number, value in enumerate(values, 1)]
    return Columns(cells, padding=(0, 2), column_first=True)


def score_card(report: Mapping[str, Any], max_steps: int, about: Mapping[str, str]) -> list[RenderableType]:
    """The end of an episode: outcome, grade by component, and each action with its hidden risk class.

    Args:
        report: Report of the episode.
        max_steps: Its budget of steps.
        about: Description of each component, by name.
    """
    style = "bold red" if report["outcome"] == "irreversible_mistake" else "bold"
    return [
        Text(f"{OUTCOMES[report['outcome']]}", style=style),
        Text(
            f"Score {report['score']:.4f} after {len(report['steps'])} of {max_steps} steps. "
            f"Sum of rewards {report['return']:+.4f}, penalties {report['penalties']:.4f}.\n"
        ),
        _components(report["components"], about),
        Text(reductions(report["harm"], report["over_escalations"])),
        _taken(report["steps"]),
        Text(),
    ]


def explained(told: Mapping[str, Any]) -> list[RenderableType]:
    """A mistake explained: what would be gone, what told, what there was to do instead."""
    gone = (
        f"{one['name']} ({_words(one['field'])}: {_cell(one['was'])} -> {_cell(one['would_be'])})"
        for one in told["gone"]
    )
    parts: list[RenderableType] = [
        Text(f"Step {told['step']} would have been for good.", style="bold red"),
        Text.assemble(("Gone: ", "bold"), (", ".join(gone), "strike")),
    ]
    for one in told["runbooks"]:
        read = "not read" if one["read_at"] is None else f"read at step {one['read_at']}"
        role = {True: ", which works", False: ", which destroys the former version", None: ""}[one["works"]]
        text = Text(one["text"])
        for clause in one["clauses"]:
            text.highlight_words([clause], style="bold reverse")
        parts += [
            Text(f"Runbook of {one['action']}{role} ({read}):", style="bold"),
            Padding(text, (0, 0, 0, 3)),
        ]
    for one in told["facts"]:
        since = f"known since step {one['shown_at']}" if one["shown_at"] is not None else "never looked up"
        parts.append(Text(f"{_words(one['field'])}: {_cell(one['value'])}, {since}"))
    if told["instead"] is not None:
        way = [Text.assemble("   ", called(call)) for call in told["instead"]] or [Text("   leave it alone")]
        parts += [Text("What the expert does about it:", style="bold"), *way]
    answer = told["question"]["answer"] if told["question"] else told["asked"]
    when = "A question that is approved" if told["question"] else "Asked just before, the answer was"
    return [*parts, Text.assemble((f"{when}: ", "bold"), answer), Text()]


def expert_way(steps: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """How the expert plays the scenario, from its report."""
    return [Text("The expert's way", style="bold"), _taken(steps), Text()]


def _components(components: Mapping[str, Mapping[str, float]], about: Mapping[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("component", no_wrap=True, style="bold")
    table.add_column("earned", justify="right")
    table.add_column("of", justify="right")
    table.add_column("for")
    for name, part in components.items():
        earned = f"{part['earned'] * part['weight']:.3f}"
        table.add_row(name, earned, f"{part['weight']:.3f}", Text(about.get(name, "")))
    return table


def _taken(steps: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("", justify="right", style="dim")
    table.add_column("what you did")
    table.add_column("risk", no_wrap=True)
    table.add_column("reward", justify="right", no_wrap=True)
    for number, step in enumerate(steps, 1):
        style = {"irreversible": "red", "risky": "yellow"}.get(step["risk"], "")
        table.add_row(str(number), called(step), Text(step["risk"], style=style), f"{step['reward']:+.4f}")
    return table


def called(step: Mapping[str, Any]) -> Text:
    """Return a call on one line: the action and the values of its parameters, without free text."""
    said = ("reason", "summary")
    values = (_cell(value) for key, value in step["parameters"].items() if key not in said)
    return Text.assemble((step["action_name"], "bold"), " ", " ".join(values))
