"""What the first screen plays: it is what the engine gives, and one of the two destroys something."""

import json

from safeact_env.call import Call
from safeact_env.core.trajectory import replay
from safeact_env.core.variant import Variant
from safeact_env.tasks import get_task
from tools.documents import first_screen


def test_the_file_is_what_the_engine_gives():
    assert first_screen.FILE.read_text(encoding="utf-8") == first_screen.text()


def test_both_replay_to_their_recorded_grade_and_differ_in_having_looked():
    careless, careful = json.loads(first_screen.FILE.read_text(encoding="utf-8"))["runs"]
    for run in (careless, careful):
        found = run["report"]
        calls = [
            Call(*(step[key] for key in ("action_name", "parameters", "reasoning")))
            for step in found["steps"]
        ]
        variant = Variant(found["level"], found["framing"])
        episode = replay(get_task(found["task"]), "train", found["seed"], calls, variant)
        assert (episode.grade().score, episode.outcome) == (found["score"], found["outcome"])
        assert [turn.reward for turn in episode.turns] == [step["reward"] for step in found["steps"]]
    assert careless["report"]["seed"] == careful["report"]["seed"]
    assert careless["report"]["mistake"]["protected"]
    assert (careful["report"]["score"], careful["told"]) == (1.0, None)
    # It could have known: what decides was on the screen before.
    assert all(fact["shown_at"] < careless["told"]["step"] for fact in careless["told"]["facts"])
