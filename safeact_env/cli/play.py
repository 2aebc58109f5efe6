"""`safeact play`: a person plays an episode in the terminal.

Owns the dialogue. Must not know a task: the actions' published schemas say what to ask for.
"""

import json
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from safeact_env.call import MAX_INT, Call, EnvelopeError
from safeact_env.cli import screen
from safeact_env.core.episode import Episode
from safeact_env.core.record import Turn
from safeact_env.core.report import report
from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation.record import place_of, record_of
from safeact_env.explain import explanation
from safeact_env.policies.calls import choices
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task

COMMANDS = "? the job   s state   a actions   h history   q quit"
HELD_OUT = "The expert's way is told for the split train only: test is held out."
REASON = "It is what the job needs next."
ROUND_A_TURN = 7
"""Lines of a turn besides result, state and names of actions: head, empty lines, commands and prompt. If the
state does not fit, only its changes are shown."""


class Quit(Exception):
    """The player wants to stop."""


class Back(Exception):
    """The player wants to choose another action."""


def fresh_seed() -> int:
    """Draw a seed from the operating system, short enough to type."""
    return secrets.randbelow(1_000_000)


class Game:
    """One episode, played by a person.

    Args:
        task: Name of the task.
        split: `train` or `test`.
        seed: Seed of the scenario.
        console: Where the episode is shown.
        variant: Level and framing.
        reveal: Whether to show the hidden risk class of each action after it.
        out: A file to which the finished game is added, for `safeact replay` and the page.
    """

    def __init__(
        self,
        task: str,
        split: Split,
        seed: int,
        console: Console,
        *,
        variant: Variant = DEFAULT,
        reveal: bool = False,
        out: Path | None = None,
    ) -> None:
        assert 0 <= seed <= MAX_INT
        self.episode: Episode[Any] = Episode(get_task(task), split, seed, variant=variant)
        self.console = console
        self.reveal = reveal
        self.out = out
        self.obs = self.episode.observation()
        varied = "" if variant == DEFAULT else f" --level {variant.level} --framing {variant.framing}"
        self.again = f"safeact play --task {task} --split {split} --seed {seed}{varied}"

    def run(self) -> int:
        """Play to the end; return the exit code: 1 if the input ended first."""
        try:
            self._open()
            while not self.episode.done:
                self._turn()
        except (Quit, KeyboardInterrupt):
            self.console.print(f"\nStopped. The same episode from its start: {self.again}", soft_wrap=True)
            return 0
        except EOFError:
            self.console.print(
                f"\nThe input ended before the episode did. From its start again: {self.again}",
                soft_wrap=True,
            )
            return 1
        self._close()
        return 0

    # What is shown -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        episode = self.episode
        task = episode.task
        named = place_of(f"{task.name}, {episode.split}", episode.seed, episode.variant)
        where = f"{task.title}: {named}, {episode.max_steps} steps"
        self.console.rule(Text(where, style="bold"), align="left")
        self._show_job()
        self._show_state()
        self._show_actions()

    def _show_job(self) -> None:
        # The engine writes the description on one line; these words start its parts.
        parts = re.sub(r" (?=Routine upkeep: |Call one action per step)", "\n", self.obs["task_description"])
        self.console.print(Text(parts + "\n"))
        if self.obs["current_state"]["handbook"]:
            self._show_handbook()

    def _show_handbook(self) -> None:
        paragraphs = self.obs["current_state"]["handbook"]
        self.console.print(Text("Handbook", style="bold"), Text("\n".join(paragraphs) + "\n"), sep="\n")

    def _show_state(self) -> None:
        self.console.print(self._state())

    def _state(self, shown: Callable[[screen.Row], bool] = lambda _row: True) -> Group:
        return Group(*screen.state_tables(_shown(self.obs["current_state"]), self.console.width, shown))

    def _show_actions(self) -> None:
        self.console.print(Group(screen.action_list(self.obs["available_actions"]), ""))

    def _show_history(self) -> None:
        for number, turn in enumerate(self.episode.turns, 1):
            line = Text(f"{number:>2} ").append_text(screen.called(turn.call.to_json()))
            self.console.print(Group(line, Padding(Text(turn.result, style="dim"), (0, 0, 0, 3))))
        if not self.episode.turns:
            self.console.print("Nothing has been done yet.")

    def _show_turn(self, turn: Turn, before: Mapping[str, Any]) -> None:
        """Show the result, then the whole state if there is room, or else its changes."""
        style = "bold red" if turn.result.startswith("CRITICAL") else "bold"
        risk = f", {turn.risk}" if self.reveal else ""
        left = f"step {len(self.episode.turns)}, {self.obs['steps_remaining']} left"
        head = f"{left}, reward {turn.reward:+.4f}{risk}"
        self.console.print()
        self.console.rule(Text(head), align="left", style="dim")
        self.console.print(Text(f"{turn.result}\n", style=style))
        if self.episode.done:
            return
        after = self.obs["current_state"]
        state, names = self._state(), screen.action_names(self.obs["available_actions"])
        room = self.console.height - ROUND_A_TURN - self._lines(names) - self._lines(Text(turn.result))
        if after["handbook"] and not before["handbook"]:
            # That is a screen of its own; everything else is as it was.
            self._show_handbook()
            return
        if self._lines(state) <= room:
            self.console.print(state)
        elif changed := screen.changed_rows(_shown(before), _shown(after)):
            self.console.print(Text("What is new in the state (s shows all of it):", style="dim"))
            self.console.print(self._state(changed.__contains__))
        self.console.print(Text(), names, sep="\n")

    def _lines(self, shown: RenderableType) -> int:
        return len(self.console.render_lines(shown))

    def _close(self) -> None:
        episode = self.episode
        about = {component.name: component.about for component in episode.task.graded}
        self.console.print(Group(*screen.score_card(report(episode), episode.max_steps, about)))
        if (told := explanation(episode)) is not None:
            self.console.print(Group(*screen.explained(told)))
        if episode.split == "train":
            way = play(episode.task, "train", episode.seed, "expert", variant=episode.variant)
            self.console.print(Group(*screen.expert_way(report(way)["steps"])))
        else:
            self.console.print(HELD_OUT)
        if self.out is not None:
            with self.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record_of(episode, "you")) + "\n")
            self.console.print(f"Saved. Step through it: safeact replay {self.out}", soft_wrap=True)
        self.console.print(f"The same episode again: {self.again}", soft_wrap=True)

    # What is asked -----------------------------------------------------------------------------------------

    def _turn(self) -> None:
        try:
            name = self._ask_action()
            call = self._ask_call(name)
        except Back:
            return
        except EnvelopeError as error:
            self.console.print(f"Not sent: {error}.")
            return
        before = self.obs["current_state"]
        turn = self.episode.step(call)
        self.obs = self.episode.observation()
        self._show_turn(turn, before)

    def _ask_action(self) -> str:
        names = [row["name"] for row in self.obs["available_actions"]]
        shows = {"?": self._show_job, "s": self._show_state, "a": self._show_actions, "h": self._show_history}
        self.console.print(Text(COMMANDS, style="dim"))
        while True:
            text = self._read(f"Action [1-{len(names)}]: ")
            if text == "q":
                raise Quit
            if text in shows:
                shows[text]()
            elif (chosen := _chosen(text, names)) is not None:
                return str(chosen)
            elif text:
                self.console.print(f"Type a number from 1 to {len(names)}, or one of: {COMMANDS}")

    def _ask_call(self, name: str) -> Call:
        given: dict[str, Any] = {}
        action = self.episode.actions[name]
        properties = action.params.schema_for_wire()["properties"]
        for param in _asked_in_order(properties):
            schema = properties[param]
            if name == self.episode.task.escalation.name and param not in (
                "reason",
                "action_being_considered",
            ):
                found = self._schema_of_target(param, given, properties)
                if found is None:
                    continue
                schema = found
            value = self._ask_value(param, schema, given)
            if value is not None:
                given[param] = value
        said = given.get("reason") or given.get("summary")
        reasoning = said or self._read(f"reason [Enter: {REASON}] ") or REASON
        return Call.parse(name, {key: given[key] for key in properties if key in given}, reasoning)

    def _schema_of_target(
        self, param: str, given: Mapping[str, Any], properties: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The schema of a question's target, by the action it is about; `None` if that has no target."""
        considered = given.get(
            "action_being_considered", properties["action_being_considered"].get("default")
        )
        action = self.episode.actions[considered]
        wanted = next(iter(action.target_params), None) if param == "target" else param
        if wanted not in action.target_params:
            return None
        schema: Mapping[str, Any] = action.params.schema_for_wire()["properties"][wanted]
        return schema

    def _ask_value(self, param: str, schema: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        """A value that fits the schema; `None` to leave an optional parameter out."""
        optional = "default" in schema
        kind = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
        listed = "x-source" in schema or "enum" in kind
        options = choices(self.obs, schema if "x-source" in schema else kind, given) if listed else []
        label = param.replace("_", " ")
        if listed:
            self.console.print(screen.choice_list(options))
        hint = f"1-{len(options)}" if listed else _hint(self.obs, schema, kind, given)
        empty = "leave out" if optional else "back"
        while True:
            text = self._read(f"{label} [{hint}{', ' if hint else ''}Enter: {empty}]: ")
            if not text and optional:
                return None
            if not text:
                raise Back
            value = _chosen(text, options) if listed else _typed(text, kind)
            if value is not None:
                return value
            self.console.print(f"Type {f'a number from 1 to {len(options)}' if listed else _needed(kind)}.")

    def _read(self, prompt: str) -> str:
        """One line of input, stripped; `EOFError` if there is none."""
        text = input(prompt).strip()
        if not sys.stdin.isatty():
            # A terminal shows the input; with a pipe, the next line would follow the prompt directly.
            self.console.print(Text(text))
        return text


def _shown(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state without what the job has told already: `?` shows that again."""
    handbook = "read" if state["handbook"] else "not read"
    return {**state, "upkeep": state["upkeep"]["status"], "handbook": handbook}


def _asked_in_order(properties: Mapping[str, Any]) -> list[str]:
    """Return the parameters with a question's action first: its target depends on it."""
    return sorted(properties, key=lambda name: name != "action_being_considered")


def _chosen(text: str, options: Sequence[Any]) -> Any:
    """The option of this text or number, if there is one."""
    for option in options:
        if text == str(option):
            return option
    if text.isascii() and text.isdigit() and 1 <= int(text) <= len(options):
        return options[int(text) - 1]
    return None


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    """The text as the type of a schema, if it fits."""
    if schema.get("type") != "integer":
        return text
    if not text.removeprefix("-").isdecimal():
        return None
    value = int(text)
    return value if schema.get("minimum", value) <= value <= schema.get("maximum", value) else None


def _needed(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f" from {low} to {high}" if low is not None and high is not None else ""
    return f"a whole number{bounds}" if schema.get("type") == "integer" else "some text"


def _hint(
    obs: Mapping[str, Any], schema: Mapping[str, Any], kind: Mapping[str, Any], given: Mapping[str, Any]
) -> str:
    if "examples" in schema:
        return f"such as {choices(obs, schema, given)[0]}"
    if kind.get("type") == "integer":
        return _needed(kind).removeprefix("a whole number from ").replace(" to ", "-")
    return ""
