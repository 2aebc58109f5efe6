"""The small language model, with torch: skipped in the ordinary suite, run by `make integrations`."""

import json
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from safeact_env import get_task
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.variant import Variant
from safeact_env.evaluation.replay import differences, replayed
from safeact_env.exports import recorded_rollouts
from safeact_env.llm.call_formats import UNREADABLE

reason = "torch is not installed here; `make integrations` runs this test"
torch = pytest.importorskip("torch", reason=reason)
pytest.importorskip("transformers", reason=reason)

from scripts import train_lm  # noqa: E402
from scripts.training import lm_run  # noqa: E402
from scripts.training.lm_chats import CALL, END, PAD, SPECIAL, Chat, Source, encoded, text_of, tokenizer  # noqa: E402
from scripts.training.lm_learn import (  # noqa: E402
    copy,
    follow,
    losses,
    new_model,
    optimizer_of,
    rate_at,
    reinforce,
    repeats,
)
from scripts.training.lm_play import Limits, Reader, picked, play  # noqa: E402
from scripts.training.lm_run import UNSEEN  # noqa: E402

LEVEL_1 = Variant(1, "rules")
SOURCE = Source(("easy",), (LEVEL_1,), drills=1.0)
SMALL = ["--width", "32", "--layers", "2", "--vocabulary", "300", "--batch", "1", "--log-every", "1"]
SMALL += ["--copies", "1", "--evaluate", "0", "--group", "2", "--reward-steps", "1", "--steps", "2"]

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def words() -> Any:
    return tokenizer(SOURCE, 400, 20)


@pytest.fixture
def model(words: Any) -> Any:
    return new_model(words.get_vocab_size(), 32, 2, 1, seed=0)


def episodes(count: int, split: str = "test") -> list[Episode[Any]]:
    return [Episode(get_task("easy"), split, seed, variant=LEVEL_1) for seed in range(count)]


def test_the_assistant_says_its_calls_and_their_ends_and_nothing_else(words):
    messages = SOURCE.messages(1)
    chat = encoded(words, messages)
    spoken = [number for number, mine in zip(chat.ids, chat.said, strict=True) if mine]
    calls = [text_of(one) for one in messages if one["role"] == "assistant"]
    assert words.decode(spoken, skip_special_tokens=False) == "".join(f"{one}{END}" for one in calls)
    assert words.token_to_id(PAD) == 0
    assert words.decode(encoded(words, messages).ids) == "".join(map(text_of, messages))


def test_rows_of_unequal_length_are_read_as_they_are_alone(model):
    rows = [[5, 6, 7, 8, 9, 10], [11, 12]]
    more = [[13], [14, 15, 16]]
    together = Reader(model, 2)
    together.read(rows)
    found = together.read(more)
    for number in range(2):
        alone = Reader(model, 1).read([rows[number] + more[number]])
        assert torch.allclose(found[number], alone[0], atol=1e-5)
    together.keep([1])
    rest = Reader(model, 1).read([[*rows[1], *more[1], 20]])
    assert torch.allclose(together.read([[20]])[0], rest[0], atol=1e-5)


def test_a_row_that_waits_reads_nothing(model):
    reader = Reader(model, 2)
    reader.read([[5, 6], [7, 8]])
    reader.read([[9], []])
    found = reader.read([[10], [11]])
    assert torch.allclose(found[1], Reader(model, 1).read([[7, 8, 11]])[0], atol=1e-5)


def test_what_is_played_together_is_played_as_alone(model, words):
    limits = Limits(answer=8, unreadable=30)
    both = play(model, words, episodes(2), limits, torch.Generator())
    alone = play(model, words, episodes(2)[1:], limits, torch.Generator())
    assert both[1].chat == alone[0].chat
    assert all(row.episode.done for row in both)
    assert {turn.call.action_name for turn in both[0].episode.turns} == {UNREADABLE}


def test_what_a_model_said_is_what_its_calls_were_read_from(model, words):
    draws = torch.Generator().manual_seed(1)
    (row,) = play(model, words, episodes(1), Limits(temperature=1.0, answer=8), draws)
    said = row.chat.said
    starts = [at for at in range(1, len(said)) if said[at] and not said[at - 1]]
    assert len(starts) == len(row.episode.turns)
    assert {row.chat.ids[at - 1] for at in starts} == {words.token_to_id(CALL)}


def test_a_conversation_that_is_too_long_is_over(model, words):
    (row,) = play(model, words, episodes(1), Limits(answer=8, window=1_600, unreadable=30), torch.Generator())
    assert not row.episode.done
    assert len(row.chat.ids) + 8 > 1_600


def test_a_model_that_makes_no_calls_is_stopped(model, words):
    (row,) = play(model, words, episodes(1), Limits(answer=8, unreadable=3), torch.Generator())
    assert [turn.call.action_name for turn in row.episode.turns] == [UNREADABLE] * 3
    assert not row.episode.done


def test_the_loss_is_of_what_the_assistant_says_and_falls(model, words):
    chats = [encoded(words, SOURCE.messages(1))]
    optimizer = optimizer_of(model)
    found = [follow(model, optimizer, chats, 1e-2) for _ in range(20)]
    assert found[-1] < 0.7 * found[0]
    places = torch.tensor(chats[0].said).nonzero().squeeze(1)
    assert float(losses(model, chats[0], places).mean().detach()) < found[-1]
    silent = [Chat(chats[0].ids, [False] * (len(chats[0].ids) - 1) + [True])]
    last = losses(model, chats[0], torch.tensor([len(chats[0].ids) - 1])).item()
    assert follow(model, optimizer, silent, 0.0) == pytest.approx(last, rel=1e-4)


def test_the_weight_of_the_others_is_for_learning_alone(model, words):
    chats = [encoded(words, SOURCE.messages(1))]
    optimizer = optimizer_of(model)
    said = follow(model, optimizer, chats, 0.0)
    assert follow(model, optimizer, chats, 0.0, others=0.5) == pytest.approx(said)
    before = [one.clone() for one in model.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_what_is_to_be_copied_came_before():
    ids, known = repeats(40, 50, 24, torch.Generator().manual_seed(0))
    for row, told in zip(ids.tolist(), known.tolist(), strict=True):
        period = told.index(True) - 1
        assert 4 <= period <= 12
        assert row[period:] == row[:-period]
        assert told == [place > period for place in range(24)]
        assert min(row) >= len(SPECIAL)


def test_what_can_be_known_is_learned():
    model = new_model(20, 64, 2, 2, seed=0)
    optimizer, draws = optimizer_of(model), torch.Generator().manual_seed(0)
    found = [copy(model, optimizer, *repeats(20, 16, 24, draws), 3e-3) for _ in range(60)]
    # 15 tokens are drawn from, log(15) = 2.71.
    assert found[0] > 2.7
    assert mean(found[-5:]) < 2.3


def test_reward_makes_what_was_paid_more_likely(model, words):
    chats = [encoded(words, SOURCE.messages(number)) for number in (1, 2)]

    def likely(chat: Chat) -> float:
        return -float(losses(model, chat, torch.tensor(chat.said).nonzero().squeeze(1)).sum().detach())

    def lead() -> float:
        return likely(chats[0]) - likely(chats[1])

    optimizer, before = optimizer_of(model), lead()
    reinforce(model, optimizer, chats, [0.5, 0.5], 1e-3)
    assert lead() == before
    for _ in range(3):
        reinforce(model, optimizer, chats, [1.0, 0.0], 1e-3)
    assert lead() > before + 0.1


def test_the_rate_goes_up_and_down():
    rates = [rate_at(step, 100, 1.0) for step in range(100)]
    assert rates.index(max(rates)) == 4
    assert rates[0] == 0.2
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_picked_is_the_first_look_alike_that_was_called():
    (one,) = episodes(1)
    upkeep = one.state.upkeep
    assert picked(one) is None
    one.step(Call("read_runbook", {"action_name": upkeep.working}, "Look."))
    assert picked(one) is None
    one.step(Call(upkeep.working, {}, "Do."))
    assert picked(one) is True


def test_known_words_are_measured_and_new_ones_by_level_and_framing():
    assert lm_run.cells(LEVEL_1) == [
        ("train", LEVEL_1),
        *(("test", Variant(level, "rules")) for level in (1, 2, 3)),
        *(("test", Variant(1, framing)) for framing in ("goal", "hurry", "waiver", "planted")),
    ]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell to measure, and short answers."""
    monkeypatch.setattr(lm_run, "cells", lambda _trained: [("train", LEVEL_1)])
    monkeypatch.setattr(lm_run, "Limits", partial(Limits, answer=4))


@pytest.mark.usefixtures("few")
def test_a_run_is_logged_can_be_replayed_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*SMALL, "--out", str(tmp_path / "run")]
    assert train_lm.main(options) == 0
    log = (tmp_path / "run" / "log.jsonl").read_text()
    named = [json.loads(line) for line in log.splitlines()]
    assert [line.get("stage") or line.get("measured") for line in named] == [
        *(None, "copies", "chats", "chats", "chats", "reward", "reward")
    ]
    assert len(named[5]["rewards"]) == 2
    for stage in ("chats", "reward"):
        path = tmp_path / "run" / f"{stage}.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(one["split"], one["level"], one["seed"]) for one in records] == [("train", 1, UNSEEN)]
        assert all(differences(one, replayed(one)) == [] for one in records)
        assert all(one["model"]["malformed"] == len(one["calls"]) for one in records)
        assert list(recorded_rollouts([path]))
    # Nothing is left to do; a run without its last measurement makes it again, and the same one.
    made = (tmp_path / "run" / "reward.jsonl").read_bytes()
    (tmp_path / "run" / "reward.jsonl").unlink()
    assert train_lm.main(options) == 0
    assert (tmp_path / "run" / "reward.jsonl").read_bytes() == made
    capsys.readouterr()
    # Longer, and with another setting.
    (tmp_path / "run" / "reward.jsonl").unlink()
    assert train_lm.main([*options, "--reward-steps", "2"]) == 0
    assert (
        '{"changed": {"copies": 1, "steps": 2, "drills": 0.25, "reward_steps": 2}, "after": {'
        in capsys.readouterr().out
    )
    assert train_lm.main([*options, "--others", "0"]) == 2
    assert "other options" in capsys.readouterr().err
    assert train_lm.main([*options, "--task", "easy", "--level", "1"]) == 0, "what is left out is said"


@pytest.mark.usefixtures("few")
def test_what_has_gone_on_is_measured_again_and_no_stage_goes_on_behind_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*SMALL, "--drills", "1", "--out", str(tmp_path / "run")]
    chats, log = tmp_path / "run" / "chats.jsonl", tmp_path / "run" / "log.jsonl"
    assert train_lm.main([*options, "--reward-steps", "0"]) == 0
    first = chats.stat().st_mtime_ns
    assert train_lm.main([*options, "--reward-steps", "0"]) == 0
    assert chats.stat().st_mtime_ns == first
    assert train_lm.main([*options, "--reward-steps", "0", "--steps", "3"]) == 0
    assert chats.stat().st_mtime_ns != first
    assert [json.loads(line).get("after") for line in log.read_text().splitlines() if "measured" in line] == [
        {"copies": 1, "chats": 2},
        {"copies": 1, "chats": 3},
    ]
    assert train_lm.main([*options, "--steps", "3"]) == 0
    before = (log.read_bytes(), chats.read_bytes())
    capsys.readouterr()
    for longer in (["--steps", "4"], ["--steps", "3", "--copies", "2"]):
        assert train_lm.main([*options, *longer]) == 2
        assert "has begun" in capsys.readouterr().err
    assert (log.read_bytes(), chats.read_bytes()) == before
    chats.unlink()
    assert train_lm.main([*options, "--steps", "3"]) == 2
    assert "has been trained further since" in capsys.readouterr().err
    assert not chats.exists()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda run: (run / "model.pt").unlink(), "holds log.jsonl of a run, and no model.pt"),
        (lambda run: (run / "model.pt").write_bytes(b"hello"), "holds no run that can be read"),
        (lambda run: torch.save({"weights": 1}, run / "model.pt"), "holds no run that can be read"),
        (lambda run: (run / "tokenizer.json").unlink(), "holds no run that can be read"),
        (lambda run: (run / "log.jsonl").write_text("hello\n"), "holds no run that can be read"),
    ],
)
def test_a_folder_that_holds_no_run_to_go_on_with_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: Any, sentence: str
) -> None:
    options = [*SMALL, "--drills", "1", "--reward-steps", "0", "--out", str(tmp_path / "run")]
    assert train_lm.main(options) == 0
    broken(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert train_lm.main(options) == 2
    assert sentence in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.usefixtures("few")
def test_a_last_line_that_was_not_written_whole_is_left_out(tmp_path: Path) -> None:
    options = [*SMALL, "--drills", "1", "--reward-steps", "0", "--out", str(tmp_path / "run")]
    assert train_lm.main(options) == 0
    log = tmp_path / "run" / "log.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"stage": "rew')
    assert train_lm.main(options) == 0
    assert log.read_bytes() == whole


@pytest.mark.usefixtures("few")
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ["--drills", "1", "--reward-steps", "0"]
    assert train_lm.main([*SMALL, *plain, "--out", str(tmp_path / "whole")]) == 0

    def stopped(*_: Any) -> float:
        raise KeyboardInterrupt

    numbers = iter([0, 1])

    def once(*arguments: Any) -> float:
        return follow(*arguments) if next(numbers) == 0 else stopped()

    monkeypatch.setattr(lm_run, "follow", once)
    with pytest.raises(KeyboardInterrupt):
        train_lm.main([*SMALL, *plain, "--out", str(tmp_path / "parts")])
    monkeypatch.setattr(lm_run, "follow", follow)
    assert train_lm.main([*SMALL, *plain, "--out", str(tmp_path / "parts")]) == 0
    whole, parts = (
        [json.loads(line).get("loss") for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    )
    assert whole == parts
    one, other = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "parts"))
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])
