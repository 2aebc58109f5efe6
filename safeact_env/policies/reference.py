"""The reference policies. Each sees only what an agent sees.

Owns how a task's playbook becomes a policy. Must not know facts, nor any concrete task.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache, cached_property
from random import Random
from typing import Any, ClassVar, Protocol

from typing_extensions import override

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move, Observation, Script
from safeact_env.core.runbooks import compose
from safeact_env.core.task import Split, Task
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.policies.calls import Schemas, every_call, filled, lookalike_names, question, random_call
from safeact_env.policies.cues import describes_way_back

__all__ = ["POLICIES", "Policy", "calls_of", "make_policy", "play", "played"]

FINISH = Move("finish", {"summary": "Done as far as it goes."}, "The job is done.", "act")
READ_HANDBOOK = Move("read_handbook", {}, "Which rules hold here?", "look")
UNLIMITED_STEPS = 10_000
"""Budget of `look_only`, which inspects everything."""


class Policy(Protocol):
    """Plays one episode, a call per observation."""

    def act(self, observation: Observation) -> Call:
        """The next call."""


class ScriptPolicy:
    """The expert: plays the playbook's script, then finishes. Scripts use its methods as their tools.

    Args:
        task: The task; only what it publishes is used.
        seed: Seed of the policy's own draws.
    """

    about: ClassVar[str] = "Inspects everything, reads runbooks until one works, asks exactly where it must."
    """What it does, in one sentence for people."""
    reads_handbook: ClassVar[bool] = True
    """Whether it begins with the handbook, whatever the framing: so it plays all of them alike."""

    def __init__(self, task: Task[Any], seed: int) -> None:
        self.playbook = task.playbook
        self.schemas: Schemas = task.schemas
        self.ask_action = task.escalation.name
        self._seed = f"policy/{type(self).__name__}/{task.name}/{seed}"
        self._script: Script | None = None

    @cached_property
    def rng(self) -> Random:
        """What it draws from; made at the first draw."""
        return Random(self._seed)

    @property
    def drew(self) -> bool:
        """Whether it has drawn. If not, it plays alike whatever its seed."""
        return "rng" in vars(self)

    def act(self, observation: Observation) -> Call:
        """The handbook, then the script's next move; `finish` once it has ended."""
        try:
            if self._script is None:
                self._script = self._whole(observation)
                return next(self._script).call()
            return self._script.send(observation).call()
        except StopIteration:
            return FINISH.call()

    def _whole(self, obs: Observation) -> Script:
        if self.reads_handbook:
            obs = yield READ_HANDBOOK
        return (yield from self.script(obs))

    def script(self, obs: Observation) -> Script:
        """What this policy plays after the handbook."""
        return self.playbook.expert(self, obs)

    def upkeep(self, obs: Observation) -> Script:
        """Read runbooks until one describes a way back, and carry that one out."""
        for name in lookalike_names(obs, self.schemas):
            obs = yield Move("read_runbook", {"action_name": name}, "Is there a way back?", "look")
            if describes_way_back(obs["last_action_result"]):
                return (yield self.carry_out(obs, name))
        return obs

    def carry_out(self, obs: Observation, name: str) -> Move:
        """The move that carries out a look-alike, its parameters filled with the first valid value."""
        return filled(obs, self.schemas, name, lambda options: options[0])

    def ask(self, obs: Observation, move: Move) -> Move:
        """The question whether this move may be made."""
        return question(obs, self.ask_action, move)

    def asks(self, *, net: bool) -> bool:
        """Ask where no safety net was shown."""
        return not net

    def pick(self, options: list[Any]) -> Any:
        """One of the options, uniformly."""
        return self.rng.choice(options)


class AlwaysAsks(ScriptPolicy):
    """The expert, but asks before every act that only a safety net makes one that can be taken back."""

    about: ClassVar[str] = "The expert, but asks whether or not an act can be taken back here."

    @override
    def asks(self, *, net: bool) -> bool:
        return True


class NeverAsks(ScriptPolicy):
    """The expert, but acts as if there were a safety net everywhere."""

    about: ClassVar[str] = "The expert, but never asks, as if every act could be taken back."

    @override
    def asks(self, *, net: bool) -> bool:
        return False


class DoNothing(ScriptPolicy):
    """Finishes at once."""

    about: ClassVar[str] = "Hands the job over at once."
    reads_handbook = False

    @override
    def script(self, obs: Observation) -> Script:
        yield from ()
        return obs


class LookOnly(ScriptPolicy):
    """Every safe action on every target, the look-alikes' runbooks, then finishes."""

    about: ClassVar[str] = "Looks at everything there is, and changes nothing."

    @override
    def script(self, obs: Observation) -> Script:
        obs = yield from self.playbook.look(self, obs)
        for name in lookalike_names(obs, self.schemas):
            obs = yield Move("read_runbook", {"action_name": name}, "Is there a way back?", "look")
        return obs


class Cautious(ScriptPolicy):
    """The expert without questions and without what cannot be taken back."""

    about: ClassVar[str] = "The expert without questions, and without anything that cannot be taken back."

    @override
    def script(self, obs: Observation) -> Script:
        script = self.playbook.expert(self, obs)
        try:
            move = next(script)
            while True:
                if move.kind in ("look", "act"):
                    obs = yield move
                move = script.send(obs)
        except StopIteration:
            return obs


class EscalateAll(ScriptPolicy):
    """The expert's calls, each preceded by a question unless that was just asked."""

    about: ClassVar[str] = "The expert, but asks before every single call."

    @override
    def script(self, obs: Observation) -> Script:
        script = self.playbook.expert(self, obs)
        asked = False
        try:
            move = next(script)
            while True:
                if move.kind != "ask" and not asked:
                    obs = yield self.ask(obs, move)
                asked = move.kind == "ask"
                obs = yield move
                move = script.send(obs)
        except StopIteration:
            return obs


class Asker(ScriptPolicy):
    """The expert, but asks the reviewer about look-alikes instead of reading their runbooks."""

    about: ClassVar[str] = "The expert, but asks about look-alike actions instead of reading their runbooks."

    @override
    def upkeep(self, obs: Observation) -> Script:
        for name in lookalike_names(obs, self.schemas):
            move = self.carry_out(obs, name)
            obs = yield self.ask(obs, move)
            if obs["last_action_result"].startswith(("Approved", "No approval needed")):
                return (yield move)
        return obs


class Guesser(ScriptPolicy):
    """The expert, but picks a look-alike by a uniform draw."""

    about: ClassVar[str] = "The expert, but picks one of the look-alike actions by chance."

    @override
    def upkeep(self, obs: Observation) -> Script:
        return (yield self.carry_out(obs, self.pick(lookalike_names(obs, self.schemas))))


class Thorough(ScriptPolicy):
    """Every runbook and every inspection first, then the expert without what was looked at already."""

    about: ClassVar[str] = "Reads every runbook and inspects everything, then does what the expert does."

    def __init__(self, task: Task[Any], seed: int) -> None:
        super().__init__(task, seed)
        self.runbooks: dict[str, str] = {}

    @override
    def script(self, obs: Observation) -> Script:
        for row in obs["available_actions"]:
            obs = yield Move("read_runbook", {"action_name": row["name"]}, "What does it do?", "look")
            self.runbooks[row["name"]] = obs["last_action_result"]
        seen: list[tuple[str, dict[str, Any]]] = []
        for play in (self.playbook.look, self.playbook.expert):
            obs = yield from _unrepeated(play(self, obs), obs, seen)
        return obs

    @override
    def upkeep(self, obs: Observation) -> Script:
        for name in lookalike_names(obs, self.schemas):
            if describes_way_back(self.runbooks[name]):
                return (yield self.carry_out(obs, name))
        return obs


def _unrepeated(script: Script, obs: Observation, seen: list[tuple[str, dict[str, Any]]]) -> Script:
    """A script without the looks that were made before; what they showed is in the observation still."""
    try:
        move = next(script)
        while True:
            if move.kind != "look" or (move.name, move.params) not in seen:
                obs = yield move
            if move.kind == "look":
                seen.append((move.name, move.params))
            move = script.send(obs)
    except StopIteration:
        return obs


class Way(ScriptPolicy):
    """One of the other competent ways of the playbook."""

    name: ClassVar[str]

    @override
    def script(self, obs: Observation) -> Script:
        return self.playbook.ways.get(self.name, self.playbook.expert)(self, obs)


class Patient(Way):
    """Takes every precaution first that can be taken back."""

    name = "patient"
    about: ClassVar[str] = "Takes every precaution first that can be taken back, then does the job."


class Batch(Way):
    """Inspects everything, then acts."""

    name = "batch"
    about: ClassVar[str] = "Makes all inspections first, then all changes."


class Orderly(Way):
    """Deals with one thing at a time."""

    name = "orderly"
    about: ClassVar[str] = "Inspects one thing, deals with it, and goes on to the next."


class Blunt(ScriptPolicy):
    """Does one and the same thing to everything."""

    about: ClassVar[str] = "Does one thing to everything: archives all, holds all, scales all down."

    def __init__(self, task: Task[Any], seed: int) -> None:
        super().__init__(task, seed)
        self.number = seed

    @property
    @override
    def drew(self) -> bool:
        """Its seed chooses what it does."""
        return True

    @override
    def script(self, obs: Observation) -> Script:
        scripts = self.playbook.blunt or (self.playbook.naive,)
        return scripts[self.number % len(scripts)](self, obs)


class Ritual(ScriptPolicy):
    """The expert, but for look-alikes: opens their runbooks, ignores the text, asks about two of them."""

    about: ClassVar[str] = (
        "The expert, but opens the runbooks of look-alike actions without reading, asks about two of them, "
        "and takes the one that is not denied."
    )

    @override
    def upkeep(self, obs: Observation) -> Script:
        texts = {}
        for name in lookalike_names(obs, self.schemas):
            obs = yield Move("read_runbook", {"action_name": name}, "As one does.", "look")
            texts[name] = obs["last_action_result"]
        *asked, left = self.ranked(texts)
        for name in asked:
            obs = yield self.ask(obs, self.carry_out(obs, name))
            left = left if obs["last_action_result"].startswith("Denied") else name
        return (yield self.carry_out(obs, left))

    def ranked(self, texts: dict[str, str]) -> list[str]:
        """The look-alikes, those to ask about first."""
        return list(texts)


class RitualBow(Ritual):
    """The ritual, but asks about the two that a bag of words, learned on `train`, likes least."""

    about: ClassVar[str] = (
        "The ritual, but asks about the two whose runbooks a bag of words, learned on `train`, likes least."
    )

    def __init__(self, task: Task[Any], seed: int) -> None:
        super().__init__(task, seed)
        self.weights = word_weights(task)

    @override
    def ranked(self, texts: dict[str, str]) -> list[str]:
        return sorted(
            texts, key=lambda name: sum(self.weights.get(word, 0.0) for word in words_of(texts[name]))
        )


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


@cache
def word_weights(task: Task[Any]) -> dict[str, float]:
    """Naive Bayes on runbooks of the split `train`: per word the logarithm of its odds for one that works."""
    rng, parts = Random("word weights"), task.text.pools["train"].parts
    counts = [
        Counter(word for _ in range(1_000) for word in words_of(compose(rng, parts, keeps_former=kept)))
        for kept in (False, True)
    ]
    traps, works = counts
    return {word: math.log((works[word] + 1) / (traps[word] + 1)) for word in traps | works}


class Naive(Guesser):
    """Judges by names and descriptions only, draws a look-alike, never asks."""

    about: ClassVar[str] = "Goes by names and descriptions, and never asks."

    @override
    def script(self, obs: Observation) -> Script:
        return self.playbook.naive(self, obs)


class Reckless(ScriptPolicy):
    """Irreversible actions first, in listed order, on everything there is."""

    about: ClassVar[str] = "Starts with what cannot be taken back."
    reads_handbook = False

    @override
    def script(self, obs: Observation) -> Script:
        for row in obs["available_actions"]:
            if row["name"] in self.playbook.irreversible:
                for move in every_call(obs, self.schemas, row["name"]):
                    obs = yield move
        return obs


class RandomPolicy(ScriptPolicy):
    """Uniform over well-formed calls."""

    about: ClassVar[str] = "Any well-formed call, by chance."
    reads_handbook = False

    @override
    def script(self, obs: Observation) -> Script:
        while True:
            obs = yield random_call(obs, self.schemas, self.ask_action, self.pick)


POLICIES: dict[str, type[ScriptPolicy]] = {
    "expert": ScriptPolicy,
    "do_nothing": DoNothing,
    "look_only": LookOnly,
    "cautious": Cautious,
    "escalate_all": EscalateAll,
    "asker": Asker,
    "guesser": Guesser,
    "thorough": Thorough,
    "patient": Patient,
    "batch": Batch,
    "orderly": Orderly,
    "ritual": Ritual,
    "ritual_bow": RitualBow,
    "always_asks": AlwaysAsks,
    "never_asks": NeverAsks,
    "blunt": Blunt,
    "naive": Naive,
    "reckless": Reckless,
    "random": RandomPolicy,
}
"""The reference policies by name, the best first."""


def make_policy(name: str, task: Task[Any], seed: int) -> ScriptPolicy:
    """A reference policy for one episode.

    Raises:
        ValueError: If there is no policy of this name; the message lists them.
    """
    if name not in POLICIES:
        raise ValueError(f"unknown policy; the policies are {', '.join(POLICIES)}")
    return POLICIES[name](task, seed)


def play(
    task: Task[Any],
    split: Split,
    seed: int,
    policy: str,
    policy_seed: int | None = None,
    variant: Variant = DEFAULT,
) -> Episode[Any]:
    """Play one episode to its end with a reference policy, whose own draws follow `seed` by default."""
    return played(task, split, seed, policy, policy_seed, variant)[0]


def played(
    task: Task[Any],
    split: Split,
    seed: int,
    policy: str,
    policy_seed: int | None = None,
    variant: Variant = DEFAULT,
) -> tuple[Episode[Any], bool]:
    """Play one episode likewise; the episode, and whether the policy drew."""
    budget = UNLIMITED_STEPS if policy == "look_only" else None
    episode: Episode[Any] = Episode(task, split, seed, variant=variant, max_steps=budget)
    player = make_policy(policy, task, seed if policy_seed is None else policy_seed)
    for _call in calls_of(player, episode):
        pass
    return episode, player.drew


def calls_of(player: Policy, episode: Episode[Any]) -> Iterator[Call]:
    """Let a policy play an episode to its end.

    Yields each call before it is made, which it is once the next is asked for.
    """
    seen: Observation = episode.observation()
    while not episode.done:
        call = player.act(seen)
        yield call
        episode.step(call)
        seen = _observed(episode, seen)


def _observed(episode: Episode[Any], before: Observation) -> Observation:
    """The observation after a step, which reads from the one before what no step changes.

    To read the whole history at every step would take longer than the step.
    """
    now = episode.latest()
    turn = episode.turns[-1]
    return {
        **before,
        # What a step writes to becomes a new object: a policy may keep what it saw.
        "current_state": now["current_state"],
        "action_history": [*before["action_history"], *now["action_history"]],
        "steps_remaining": now["steps_remaining"],
        "last_action_result": turn.result,
        "reward": turn.reward,
    }
