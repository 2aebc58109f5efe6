"""Small policies, with torch: skipped in the ordinary suite, run by `make integrations`."""

import gzip
import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from safeact_env.core.episode import Episode
from safeact_env.core.variant import Variant
from safeact_env.integrations.encoding import Encoder
from safeact_env.policies.calls import random_call
from safeact_env.tasks import OFFICIAL, get_task
from tests.documents import blocks

torch = pytest.importorskip("torch", reason="torch is not installed here; `make integrations` runs this test")

from safeact_env.evaluation import SUITES, read_report, verify  # noqa: E402
from safeact_env.evaluation.suite import V2  # noqa: E402
from scripts import play_trained, train_ppo, train_q  # noqa: E402
from scripts.training import ppo, q_learning  # noqa: E402
from scripts.training import runs as training  # noqa: E402
from scripts.training.learner import Ended  # noqa: E402
from scripts.training.network import Network, Seen, prior, seen_of  # noqa: E402
from tools.documents import training_table  # noqa: E402

# Several threads wait for each other more than they work on so small a network.
torch.set_num_threads(1)

PPO = ppo.Config(steps=512, envs=8, horizon=16)
Q = q_learning.Config(steps=512, envs=8, start=128, batch=32, memory=400)


def network(encoder: Encoder, hidden: int = 16) -> Network:
    torch.manual_seed(0)
    return Network(encoder, hidden)


def seen(encoder: Encoder, seed: int = 0) -> Seen:
    return seen_of(encoder, [encoder.encode(Episode(encoder.task, "train", seed).observation())])


def learners() -> list[tuple[Any, Any]]:
    return [(ppo.Learner, PPO), (q_learning.Learner, Q)]


# The network ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_prior_draws_names_as_the_random_policy_does(name: str) -> None:
    task, encoder = get_task(name), Encoder(get_task(name))
    obs = Episode(task, "train", 3).observation()
    encoded = encoder.encode(obs)
    columns = encoder.grid.columns
    mask = torch.from_numpy(encoded.mask.copy()).flatten()[None]
    chances = prior(mask, columns)[0].unflatten(0, (-1, len(columns)))
    found: dict[str, float] = defaultdict(float)
    for cell, move in encoded.menu.cells.items():
        found[move.name] += float(chances[cell])
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)
    rng = Random(1)
    draws = Counter(
        random_call(obs, task.schemas, task.escalation.name, rng.choice).name for _ in range(20_000)
    )
    # A look-alike that takes a table has a row for each, and so a larger share.
    fixed = [action for action in task.schemas if action in found]
    assert set(fixed) == {action for action in draws if action in task.schemas}
    assert len({round(found[action], 5) for action in fixed}) == 1
    assert all(draws[action] / 20_000 == pytest.approx(1 / len(draws), abs=0.01) for action in fixed)


def test_all_calls_can_be_chosen_but_the_one_that_hands_the_job_over() -> None:
    encoder = Encoder(get_task("easy"))
    obs = Episode(encoder.task, "train", 0).observation()
    encoded = encoder.encode(obs)
    left = seen_of(encoder, [encoded]).mask[0].numpy().reshape(encoded.mask.shape)
    gone = [cell for cell in encoded.menu.cells if left[cell] != encoded.mask[cell]]
    assert [encoded.menu.cells[cell].name for cell in gone] == ["finish"]
    assert int(encoded.mask.sum()) == int(left.sum()) + 1


def test_the_order_of_rows_does_not_matter() -> None:
    encoder = Encoder(get_task("medium"))
    rows, job, _mask = seen(encoder)
    net, columns = network(encoder), len(encoder.grid.columns)
    order = torch.randperm(rows.shape[1])
    there, whole = net(rows, job)
    again, whole2 = net(rows[:, order], job)
    assert torch.allclose(there.unflatten(1, (-1, columns))[:, order].flatten(1), again, atol=1e-5)
    assert torch.allclose(whole, whole2, atol=1e-5)


# Learners ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("learner", "config"), learners())
def test_a_run_is_the_same_every_time(learner: Any, config: Any) -> None:
    def weights() -> Any:
        one = learner("easy", "runbooks", config, 5)
        assert list(one.updates())[-1] == 512
        return torch.cat([part.flatten() for part in one.net.parameters()])

    assert torch.equal(weights(), weights())


@pytest.mark.parametrize(("learner", "config"), learners())
def test_only_calls_that_are_there_are_made(learner: Any, config: Any) -> None:
    one = learner("cloud_infra", "runbooks", config, 1)
    list(one.updates())
    assert bool(one.seen.mask.gather(1, one.best(one.seen)[:, None]).all())
    assert all(np.isfinite(part.detach().numpy()).all() for part in one.net.parameters())


def test_advantages_are_those_of_the_definition() -> None:
    learner = ppo.Learner("easy", "runbooks", PPO, 0)
    batch = learner._play()
    assert len(batch.action) == PPO.envs * PPO.horizon
    with torch.no_grad():
        policy, values = learner.policy(Seen(batch.rows, batch.job, batch.mask))
        assert torch.allclose(policy.log_prob(batch.action), batch.logp, atol=1e-4)
    assert torch.allclose(batch.target - batch.advantage, values, atol=1e-4)


def test_what_is_remembered_is_followed_by_what_came_next() -> None:
    encoder = Encoder(get_task("easy"))
    start = seen(encoder)
    memory = q_learning.Memory(4, start)
    rng = np.random.default_rng(0)
    for number in range(7):
        # The reward of a call is its number, and so is the first feature of the job before it.
        job = start.job.clone()
        job[:, 0] = number
        memory.put(
            Seen(start.rows, job, start.mask),
            torch.tensor([3]),
            torch.tensor([float(number)]),
            torch.tensor([0.0]),
        )
        if number:
            (time, episode), chances = memory.draw(50, 0.6, rng)
            reward = memory.reward[time, episode]
            # The last one is not drawn: what came after it is not known yet.
            assert set(reward.tolist()) == {float(n) for n in range(max(0, number - 2), number)}
            assert torch.equal(memory.seen(time, episode).job[:, 0], reward)
            assert torch.equal(memory.seen(time + 1, episode).job[:, 0], reward + 1)
            assert np.allclose(chances, 1 / min(number, 2))


def test_a_call_with_an_approval_in_hand_is_of_another_kind() -> None:
    encoder = Encoder(get_task("easy"))
    kinds, columns = q_learning.Kinds(encoder), encoder.grid.columns
    start = seen(encoder)
    last, file = start.rows.shape[1] - 1, columns.index("delete_file")

    def by_cell(now: Seen) -> Any:
        return kinds.of(now)[0][0].unflatten(0, (-1, len(columns)))

    approved = start.rows.clone()
    approved[0, last, encoder.row_features.index("approved: ask delete_file")] = 1
    after = start._replace(rows=approved)
    changed = (by_cell(start) != by_cell(after)).nonzero().tolist()
    assert {columns[column] for _row, column in changed} == {"delete_file", "ask delete_file"}
    cell = torch.tensor([last * len(columns) + file])
    for _ in range(99):
        kinds.note(kinds.of(start), cell)
    assert kinds.rarity(kinds.of(start))[0][0, cell].item() == pytest.approx(0.1)
    assert kinds.rarity(kinds.of(after))[0][0, cell].item() == 1


def test_a_kind_is_new_again_at_another_stage_of_the_job() -> None:
    encoder = Encoder(get_task("hard"))
    kinds, start = q_learning.Kinds(encoder), seen(encoder)
    cell = torch.tensor([5])
    kinds.note(kinds.of(start), cell)
    job = start.job.clone()
    job[:, encoder.job_features.index("left")] /= 2
    assert torch.equal(kinds.of(start._replace(job=job))[1], kinds.of(start)[1])
    job[:, encoder.job_features.index("copied")] = 1
    later = start._replace(job=job)
    seldom, new = (kinds.rarity(kinds.of(now))[1][0, cell].item() for now in (start, later))
    assert (seldom, new) == (pytest.approx(0.5**0.5), 1)


def test_what_is_not_best_falls_behind_and_the_best_does_not() -> None:
    config = replace(Q, gap=0.5)
    learner = q_learning.Learner("easy", "runbooks", config, 0)
    list(learner.updates())
    now, nothing = learner.seen, torch.zeros(config.envs)
    worth = learner.worth(learner.target, now)
    best, worst = worth.argmax(1, keepdim=True), worth.masked_fill(now.mask == 0, 1e9).argmin(1, keepdim=True)

    def aims(made: Any, gap: float) -> Any:
        learner.config = replace(config, gap=gap)
        return learner.aims(now, made, nothing, nothing, now)

    assert torch.equal(aims(best, 0.5), aims(best, 0.0))
    behind = (worth.gather(1, best) - worth.gather(1, worst)).squeeze(1)
    assert bool((behind > 0).all())
    assert torch.allclose(aims(worst, 0.0) - aims(worst, 0.5), behind / 2)


def test_a_late_episode_explores_from_its_step_on() -> None:
    config = replace(Q, envs=64, memory=640, explore=1.0, settled=1.0, ladder=0.0, late=1.0, tame=1e-6)
    learner = q_learning.Learner("easy", "runbooks", config, 0)
    limit = learner.encoder.max_steps
    begins = torch.stack([learner._drawn_begins() for _ in range(50)])
    assert (begins.min(), begins.max()) == (0, limit - 1)
    assert begins.mean().item() == pytest.approx((limit - 1) / 2, abs=1)
    learner.config = replace(config, late=0.0)
    assert not learner._drawn_begins().any()
    learner._begins[:] = 3
    kinds = learner.kinds.of(learner.seen)
    worth = learner.worth(learner.net, learner.seen)
    most = worth.amax(1)
    for step in (2, 3):
        learner._steps[:] = step
        drawn = learner._drawn(learner.seen, kinds)
        # Rows that say the same are worth the same.
        is_best = torch.isclose(worth.gather(1, drawn[:, None]).squeeze(1), most, atol=1e-4)
        assert bool(is_best.all()) == (step < 3)


def test_every_action_is_of_its_own_kind() -> None:
    encoder = Encoder(get_task("easy"))
    found = q_learning.Kinds(encoder).of(seen(encoder))[0][0].unflatten(0, (-1, len(encoder.grid.columns)))
    menu = encoder.encode(Episode(encoder.task, "train", 0).observation()).menu
    fixed = [n for n, row in enumerate(menu.rows) if row.action in encoder.task.schemas]
    assert len({int(found[n, 0]) for n in fixed}) == len(fixed)


def test_training_makes_fewer_mistakes_and_earns_more() -> None:
    config = replace(q_learning.Config(), steps=40_000, envs=32)
    learner = q_learning.Learner("easy", "runbooks", config, 0)
    choose = training.untrained(learner.encoder)
    untrained = training.measured(training.play_all(choose, learner.encoder, "test", range(40)))
    list(learner.updates())
    found = training.measured(training.play_all(learner.best, learner.encoder, "test", range(40)))
    assert untrained["mistakes"] > 0.8
    assert found["mistakes"] < 0.1
    assert found["grade"] > untrained["grade"] + 0.3


# Logs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [train_ppo.PPO, train_q.Q_LEARNING], ids=lambda one: one.name)
def test_runs_are_recorded_once_and_tabled(
    algorithm: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "easy", "--clues", "names", "--seeds", "0-1", "--steps", "4096"]
    arguments += ["--out", str(tmp_path), "--weights", str(tmp_path)]
    assert training.main(arguments, algorithm, None) == 0
    assert f"{algorithm.name} names easy level 3 0: {{'played': 0" in capsys.readouterr().out
    first, second = training_table.trained(tmp_path)["easy", algorithm.name, "names", "3"]
    assert first.run == {
        "algorithm": algorithm.name,
        "task": "easy",
        "seed": 0,
        "clues": "names",
        "level": 3,
        "curriculum": False,
    }
    assert second.versions["torch"] == torch.__version__
    assert (first.points[0]["played"], first.points[-1]["played"]) == (0, 4096)
    assert len(first.points[-1]["episodes"]) == 200
    assert first.points[-1]["grade"] == pytest.approx(
        np.mean([score for score, *_ in first.points[-1]["episodes"]]), abs=1e-6
    )
    # Return is grade less penalties, and less 1 for a mistake: nothing is above the grade.
    assert max(point["gap"] for point in first.points if "gap" in point) <= 0
    tabled = training_table.training_table(tmp_path)
    assert "| `easy` | 3 |" in tabled
    assert "look-alikes by name only | 2 | 4,096 |" in tabled
    cells = first.points[-1]["cells"]
    assert [Variant(cell["level"], cell["framing"]) for cell in cells] == list(V2.variants)
    assert "rules, 3 | goal, 3 |" in tabled
    assert training.main(arguments, algorithm, None) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.endswith("is there, whatever its settings; --again repeats it") for line in said] == [
        True
    ] * 2
    assert json.dumps(first.config)


def test_a_policy_is_trained_on_the_level_that_is_named(tmp_path: Path) -> None:
    arguments = ["--task", "easy", "--clues", "names", "--seeds", "0", "--steps", "2048", "--level", "1"]
    arguments += ["--weights", str(tmp_path)]
    assert training.main([*arguments, "--out", str(tmp_path)], train_q.Q_LEARNING, None) == 0
    (run,) = training_table.trained(tmp_path)["easy", "q", "names", "1"]
    # Evaluated on its own level, too: no episode is longer than its budget.
    assert 0 < run.points[-1]["steps"] <= get_task("easy").levels[1].max_steps
    small, large = (q_learning.Learner("easy", "names", Q, 0, [level]).encoder for level in (1, 5))
    assert (small.rows, small.max_steps) < (large.rows, large.max_steps)


def test_trained_networks_play_a_suite_as_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(V2, tasks=("easy", "medium"), seeds=(5, 3), variants=(Variant(3), Variant(1, "goal")))
    monkeypatch.setattr(play_trained, "V2", small)
    arguments = ["--seed", "4", "--clues", "names", "--weights", str(tmp_path)]
    arguments += ["--out", str(tmp_path / "run")]
    learners = {}
    for task in small.tasks:
        assert play_trained.main(arguments) == 2
        assert capsys.readouterr().err.startswith(f"{tmp_path} has no q-names-{task}-l3-4.pt; ")
        learner = q_learning.Learner(task, "names", Q, 4)
        list(learner.updates())
        run = training.Run("q", task, 4, "names")
        training.keep_weights(learner, run, run.weights(tmp_path))
        learners[task] = learner
    assert play_trained.main(arguments) == 0
    found = [json.loads(line) for line in (tmp_path / "run" / "trajectories.jsonl").read_text().splitlines()]
    assert [one["task"] for one in found] == ["easy"] * 8 + ["medium"] * 8
    for one in found:
        encoder = Encoder(get_task(one["task"]), "names", Variant(one["level"], one["framing"]))
        (played,) = training.play_all(learners[one["task"]].best, encoder, "test", [one["seed"]])
        assert [turn.call.action_name for turn in played.turns] == [
            call["action_name"] for call in one["calls"]
        ]
        assert one["return"] == played.grade().total
    # As `make play-trained` leaves it, and is asked again.
    packed = tmp_path / "run" / "trajectories.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "run" / "trajectories.jsonl").read_bytes()))
    (tmp_path / "run" / "trajectories.jsonl").unlink()
    assert play_trained.main(arguments) == 0
    report = read_report(tmp_path / "run" / "report.json")
    assert (report.agent.name, report.agent.kind) == ("q_learning_names_4", "program")
    monkeypatch.setitem(SUITES, "v2", small)
    assert [check for check in verify(tmp_path / "run") if check.mismatches] == []


def test_networks_that_are_not_the_runs_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--seed", "4", "--weights", str(tmp_path), "--out", str(tmp_path / "run")]
    run = training.Run("q", "easy", 4, "runbooks")
    path = run.weights(tmp_path)
    others = [replace(run, level=2), replace(run, clues="names"), replace(run, task="hard")]
    for other in others:
        learner = q_learning.Learner(other.task, other.clues, Q, 4, other.levels)
        training.keep_weights(learner, other, path)
        assert play_trained.main(arguments) == 2
        assert capsys.readouterr().err == f"{path} is the network of another run, {other.name}\n"
    torch.save({"weights": {}}, path)
    for content in (None, b"hello"):
        if content is not None:
            path.write_bytes(content)
        assert play_trained.main(arguments) == 2
        assert capsys.readouterr().err.startswith(f"{path} is not the network of a run: ")
    assert not (tmp_path / "run").exists()


def test_a_player_of_other_networks_has_another_name() -> None:
    run = training.Run("q", "easy", 4, "runbooks")
    assert [
        play_trained.name_of(one) for one in (run, replace(run, level=2), replace(run, clues="names"))
    ] == [
        "q_learning_4",
        "q_learning_l2_4",
        "q_learning_names_4",
    ]
    assert play_trained.name_of(replace(run, curriculum=True)) == "q_learning_l1-3_4"


@pytest.mark.parametrize("folder", ["--out", "--weights"])
def test_a_folder_that_cannot_be_written_is_found_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    (tmp_path / "file").touch()
    arguments = ["--task", "easy", "--seeds", "0", "--clues", "names", folder, str(tmp_path / "file" / "x")]
    other = {"--out": "--weights", "--weights": "--out"}[folder]
    with pytest.raises(SystemExit) as ended:
        training.main([*arguments, other, str(tmp_path / "other")], train_q.Q_LEARNING, None)
    assert ended.value.code == 2
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_a_curriculum_begins_on_the_first_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--task", "easy", "--clues", "names", "--seeds", "0", "--steps", "2048", "--level", "2"]
    arguments += ["--weights", str(tmp_path)]
    monkeypatch.setattr(training, "AT_END", range(2))
    monkeypatch.setattr(training, "CELL", range(1))
    assert training.main([*arguments, "--curriculum", "--out", str(tmp_path)], train_q.Q_LEARNING, None) == 0
    (run,) = training_table.trained(tmp_path)["easy", "q", "names", "1 to 2"]
    assert {point["level_in_training"] for point in run.points[1:]} == {1}
    learner = q_learning.Learner("easy", "names", Q, 0, [1, 2])
    assert learner.encoder.variant.level == 2
    # It goes up once half of the latest episodes were done in full.
    for _ in range(50):
        learner.env.curriculum.add(1, 1.0)
    assert learner.env.curriculum.level == 2


def test_on_every_level_an_episode_explores_from_within_its_budget_on() -> None:
    many = replace(Q, envs=512)
    learner = q_learning.Learner("easy", "names", many, 0, [1, 5])
    levels = get_task("easy").levels
    assert 0.9 * levels[1].max_steps < learner._begins.max() < levels[1].max_steps
    for _ in range(50):
        learner.env.curriculum.add(1, 1.0)
    assert 0.9 * levels[5].max_steps < learner._drawn_begins().max() < levels[5].max_steps


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--steps", "0"], "--steps must be at least 1"),
        (["--steps", "-5"], "--steps must be at least 1"),
        (["--curriculum", "--level", "1"], "--level, which must be at least 2"),
        (["--seeds", "x"], "seeds"),
        (["--mistake-reward", "nan"], "mistake"),
    ],
)
def test_a_run_that_is_none_is_refused(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        training.main([*arguments, "--out", str(tmp_path / "logs")], train_q.Q_LEARNING, None)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


def test_groups_that_are_paid_alike_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "GROUPS", range(2))
    encoder = Encoder(get_task("easy"), "names")
    torch.manual_seed(0)
    assert training.groups(training.untrained(encoder), encoder)["alike"] == 0

    def first(seen: Seen) -> torch.Tensor:
        return seen.mask.argmax(1)

    assert training.groups(first, encoder) == {"alike": 1.0, "deviation": 0.0, "harmful": None}


def test_a_return_above_a_grade_would_show() -> None:
    honest = Ended(0.5, "finished", 0.45)
    farmed = Ended(0.5, "finished", 0.6)
    assert training.of_training([honest])["gap"] == -0.05
    assert training.of_training([honest, farmed])["gap"] == 0.1


def test_the_examples_of_the_chapter_run(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("docs/train/small-policies.md"):
        exec(compile(block, "TECHNICAL", "exec"), {})
    assert capsys.readouterr().out.startswith("8 ")
