"""The encoding: it holds what an agent sees, and nothing of what it does not."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice, product
from random import Random
from typing import Any

import numpy as np
import pytest

from safeact_env.audit.base import Scope, Subject
from safeact_env.audit.interference import Pair, _judge, _pair, twins_of
from safeact_env.audit.prefixes import PREFIXES
from safeact_env.audit.rollouts import verdict
from safeact_env.core.episode import Episode
from safeact_env.core.features import FeatureExtractor
from safeact_env.core.playbook import Move
from safeact_env.core.task import SPLITS, Split, Task
from safeact_env.core.twins import Twin
from safeact_env.core.variant import Variant
from safeact_env.integrations.action_menu import ASK, RUNBOOK
from safeact_env.integrations.encoding import CLUES, Clues, Encoded, Encoder
from safeact_env.policies.calls import random_call
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import OFFICIAL, get_task
from tests import toy

See = Callable[[Encoder, Episode[Any], Encoded | None], Encoded]


@cache
def encoder_of(name: str, clues: Clues) -> Encoder:
    """The encoder of a task, made when a test first asks for it."""
    return Encoder(get_task(name), clues)


def as_it_is(encoder: Encoder, episode: Episode[Any], earlier: Encoded | None) -> Encoded:
    return encoder.encode(episode.observation(), earlier)


def data(encoded: Encoded) -> tuple[Any, ...]:
    """All that is told: the features, the mask, and what the calls in their cells are made of."""
    cells = encoded.menu.cells
    calls = cells.ask_action, cells.listed, cells.offers
    return encoded.rows.tobytes(), encoded.job.tobytes(), encoded.mask.tobytes(), calls


def pairs(task: Task[Any], split: Split, twin: Twin[Any], most: int) -> Iterator[Pair]:
    scope = Scope(Subject(task.name, task), split, 40)
    made = (_pair(scope, twin, seed) for seed in range(40))
    return islice((pair for pair in made if pair is not None), most)


def compared(encoder: Encoder, pair: Pair, prefix: str, see: See = as_it_is) -> int:
    """Play twins in lockstep without the calls that may tell; the number of equal encodings."""
    told: list[Encoded | None] = [None, None]
    equal = 0

    def look() -> None:
        nonlocal equal
        told[:] = [see(encoder, x, e) for x, e in zip((pair.one, pair.two), told, strict=True)]
        assert told[0] is not None
        assert told[1] is not None
        assert data(told[0]) == data(told[1]), pair.twin.kind
        equal += 1

    look()
    for move in PREFIXES[prefix](pair.one, pair.is_about, Random(f"{pair.twin.kind}/{prefix}")):
        made, wrong = _judge(pair, move)
        assert wrong is None
        if made:
            pair.step(move)
            if pair.one.done:
                break
            look()
    return equal


# What is hidden ------------------------------------------------------------------------------------------


# An encoding knows tables and actions, which both splits share.
@pytest.mark.parametrize(("name", "split"), [*((name, "train") for name in OFFICIAL), (OFFICIAL[0], "test")])
def test_twins_are_encoded_alike_until_a_call_may_tell(name: str, split: Split) -> None:
    task, equal = get_task(name), 0
    for twin in twins_of(task, split):
        for number, prefix in enumerate(PREFIXES):
            encoder = encoder_of(name, CLUES[number % 2])
            for pair in pairs(task, split, twin, 1):
                equal += compared(encoder, pair, prefix)
    assert equal > 60


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_encoding_that_peeks_is_caught(name: str) -> None:
    def peeking(encoder: Encoder, episode: Episode[Any], earlier: Encoded | None) -> Encoded:
        encoded = as_it_is(encoder, episode, earlier)
        for number, row in enumerate(encoded.menu.rows):
            encoded.rows[number, -1] = row.action == episode.state.upkeep.working
        return encoded

    *_, lookalikes = twins_of(get_task(name), "train")
    pair = next(pairs(get_task(name), "train", lookalikes, 1))
    with pytest.raises(AssertionError, match=lookalikes.kind):
        compared(encoder_of(name, "runbooks"), pair, "scripted", peeking)


def test_a_mask_that_peeks_is_caught() -> None:
    def masking(encoder: Encoder, episode: Episode[Any], _earlier: Encoded | None) -> Encoded:
        encoded = as_it_is(encoder, episode, None)
        encoded.layout.mask = encoded.mask.copy()
        for number, row in enumerate(encoded.menu.rows):
            if row.params and (file := episode.state.facts.files.get(row.params["path"])):
                encoded.layout.mask[number, RUNBOOK] = file.erasure_order
        return encoded

    task = get_task("easy")
    orders = next(twin for twin in twins_of(task, "train") if twin.kind == "erasure order")
    pair = next(pairs(task, "train", orders, 1))
    with pytest.raises(AssertionError, match="erasure order"):
        compared(encoder_of("easy", "runbooks"), pair, "scripted", masking)


@pytest.mark.parametrize("name", OFFICIAL)
def test_what_was_looked_at_is_told(name: str) -> None:
    task, encoder = get_task(name), encoder_of(name, "runbooks")
    silent = []
    for twin in twins_of(task, "train"):
        for pair in pairs(task, "train", twin, 3):
            for action in twin.revealed_by:
                # Every call of it that the menu has now: what it shows may add rows.
                cells = as_it_is(encoder, pair.one, None).menu.cells
                for move in [cells[cell] for cell in sorted(cells) if cells[cell].name == action]:
                    if not pair.one.done:
                        pair.step(move)
            if data(as_it_is(encoder, pair.one, None)) != data(as_it_is(encoder, pair.two, None)):
                break
        else:
            silent.append(twin.kind)
    assert silent == SILENT.get(name, [])


SILENT = {
    "easy": ["format", "owner", "references", "note"],
    "medium": ["note"],
    "hard": ["note"],
    "medical": ["note", "lab results"],
    "cloud_infra": ["note"],
}
"""Kinds of hidden facts that the features leave out, as nothing that is to be done depends on them."""


# What is the same ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clues", CLUES)
@pytest.mark.parametrize("name", OFFICIAL)
def test_what_is_kept_from_step_to_step_does_not_show(name: str, clues: Clues) -> None:
    task, encoder, rng = get_task(name), encoder_of(name, clues), Random(3)
    for seed in range(3):
        episode: Episode[Any] = Episode(task, "test", seed)
        expert = make_policy("expert", task, seed)
        earlier = None
        while not episode.done:
            obs = episode.observation()
            earlier = encoder.encode(obs, earlier)
            assert data(earlier) == data(encoder.encode(obs))
            call = expert.act(obs) if seed else None
            if call is None or rng.random() < 0.2:
                episode.step(random_call(obs, task.schemas, task.escalation.name, rng.choice).call())
            if call is not None and not episode.done:
                episode.step(call)


@pytest.mark.parametrize(
    "variant", [Variant(1, "goal"), Variant(3), Variant(4, "planted"), Variant(5)], ids=str
)
@pytest.mark.parametrize("name", OFFICIAL)
def test_what_a_step_changed_is_encoded_as_the_whole_observation_is(name: str, variant: Variant) -> None:
    task, encoder, rng = get_task(name), Encoder(get_task(name), "runbooks", variant), Random(4)
    went_on = 0
    for seed in range(2):
        episode: Episode[Any] = Episode(task, "train", seed, variant=variant)
        expert = make_policy("expert", task, seed)
        first = obs = episode.observation()
        earlier = encoder.encode(first)
        while not episode.done:
            move = random_call(obs, task.schemas, task.escalation.name, rng.choice)
            sure = move.name != "finish" and verdict(episode.actions, episode.state, move) != "mistake"
            call = move.call() if sure and rng.random() < 0.3 else expert.act(obs)
            episode.step(call)
            obs = episode.observation()
            seen = first | episode.latest()
            if encoder.goes_on(seen, earlier):
                earlier = encoder.encode(seen, earlier)
                went_on += 1
            else:
                earlier = encoder.encode(obs)
            assert data(earlier) == data(encoder.encode(obs))
    assert went_on > 10


def test_a_later_encoding_leaves_the_earlier_one_as_it_was() -> None:
    encoder, episode = encoder_of("easy", "runbooks"), Episode(get_task("easy"), "train", 1)
    first = encoder.encode(episode.observation())
    before = data(first)
    episode.step(Move("list_directory").call())
    second = encoder.encode(episode.observation(), first)
    assert data(first) == before != data(second)


@pytest.mark.parametrize("name", OFFICIAL)
def test_names_tell_nothing_where_runbooks_are_the_clue(name: str) -> None:
    """Two scenarios whose look-alikes exchange names are encoded alike but for the order of rows."""
    encoder = encoder_of(name, "runbooks")
    obs = Episode(get_task(name), "train", 2).observation()
    names = [row["name"] for row in obs["available_actions"] if row["name"] not in encoder.grid.schemas]
    free = [n for n in names if not next(r for r in obs["available_actions"] if r["name"] == n)["parameters"]]
    renamed = {
        **obs,
        "available_actions": [
            {**row, "name": "another_name" if row["name"] == free[0] else row["name"]}
            for row in obs["available_actions"]
        ],
    }
    assert encoder.encode(obs).rows.tobytes() == encoder.encode(renamed).rows.tobytes()
    other = encoder_of(name, "names")
    assert other.encode(obs).rows.tobytes() != other.encode(renamed).rows.tobytes()


def test_where_names_are_the_clue_runbooks_and_answers_about_lookalikes_are_not() -> None:
    task = get_task("easy")
    told = {}
    for clues in CLUES:
        told[clues] = []
        for seed in (1, 2):
            episode: Episode[Any] = Episode(task, "train", seed)
            for name in episode.state.upkeep.runbooks:
                episode.step(Move("read_runbook", {"action_name": name}).call())
                ask = {"reason": "?", "action_being_considered": name}
                episode.step(Move(task.escalation.name, ask).call())
            encoder = encoder_of("easy", clues)
            encoded = encoder.encode(episode.observation())
            rows = [encoded.layout.of_action[name][0] for name in episode.state.upkeep.runbooks]
            columns = [
                number
                for number, feature in enumerate(encoder.row_features)
                if not feature.startswith(("name ", "is a row", "look-alike"))
            ]
            told[clues].append([encoded.rows[row, columns].tolist() for row in rows])
    assert all(row == told["names"][0][0] for rows in told["names"] for row in rows)
    assert len({tuple(row) for rows in told["runbooks"] for row in rows}) > 1


# The menu ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_grid_holds_every_start(name: str) -> None:
    encoder = encoder_of(name, "runbooks")
    rows = [
        len(encoder.grid.menu(Episode(get_task(name), split, seed).observation()).rows)
        for split in SPLITS
        for seed in range(150)
    ]
    assert max(rows) <= encoder.rows


def test_a_start_that_does_not_fit_is_refused() -> None:
    encoder = Encoder(get_task("easy"))
    encoder.rows = 10
    with pytest.raises(ValueError, match=r"easy shows \d+ rows; its feature extractor allows 10"):
        encoder.encode(Episode(get_task("easy"), "train", 0).observation())


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_action_can_be_called_asked_about_and_looked_up(name: str) -> None:
    task, encoder = get_task(name), encoder_of(name, "runbooks")
    obs = Episode(task, "test", 4).observation()
    menu = encoder.grid.menu(obs)
    listed = {row["name"] for row in obs["available_actions"]}
    called = {move.name for move in menu.cells.values()}
    assert called == listed
    asked = {
        m.params["action_being_considered"] for m in menu.cells.values() if m.name == task.escalation.name
    }
    assert asked == listed
    assert {m.params["action_name"] for c, m in menu.cells.items() if c[1] == RUNBOOK} == listed
    assert all(menu.cells[cell].name == task.escalation.name for cell in menu.asks.values())
    assert len({encoder.grid.key_of(m.name, m.params) for m in menu.cells.values()}) == len(menu.cells)
    assert all(menu.place_of(m.name, m.params) == cell for cell, m in menu.cells.items())
    assert any(cell[1] == ASK for cell in menu.cells)


def test_features_are_named_once() -> None:
    for name, clues in product(OFFICIAL, CLUES):
        encoder = encoder_of(name, clues)
        assert len(set(encoder.job_features)) == len(encoder.job_features)
        assert len(set(encoder.row_features)) == len(encoder.row_features)
        assert encoder.encode(Episode(encoder.task, "train", 0).observation()).rows.shape == (
            encoder.rows,
            len(encoder.row_features),
        )


def test_an_approval_is_in_hand_until_it_is_used() -> None:
    task, encoder = get_task("easy"), encoder_of("easy", "runbooks")
    episode: Episode[Any] = Episode(task, "train", 3)
    path = next(file.path for file in episode.state.facts.files.values() if file.erasure_order)
    feature = encoder.row_features.index("approved: ask delete_file")
    ask = {"reason": "?", "action_being_considered": "delete_file", "target": path}

    def in_hand() -> float:
        return float(encoder.encode(episode.observation()).rows[:, feature].sum())

    found = []
    for move in (
        Move(task.escalation.name, ask),
        Move("read_file_metadata", {"path": path}),
        Move(task.escalation.name, ask),
        Move(task.escalation.name, ask),
        Move("delete_file", {"path": path}),
    ):
        episode.step(move.call())
        found.append(in_hand())
    assert found == [0, 0, 1, 1, 0]


# Tasks from elsewhere -------------------------------------------------------------------------------------


def test_a_task_without_an_extractor_is_read_plainly() -> None:
    assert toy.TOY.features == FeatureExtractor()
    encoder, rng = Encoder(toy.TOY), Random(1)
    for seed in range(5):
        episode: Episode[Any] = Episode(toy.TOY, "train", seed)
        earlier = None
        while not episode.done:
            earlier = encoder.encode(episode.observation(), earlier)
            cell = rng.choice(sorted(earlier.menu.cells))
            turn = episode.step(earlier.menu.cells[cell].call())
            assert not turn.result.startswith(("Not carried out", "There is no action"))
        assert np.isfinite(earlier.rows).all() if earlier else False
