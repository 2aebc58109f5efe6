"""TRL for real: training on the environment, and on what is exported from it, on a tiny random model."""

import asyncio
import json
import math
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

# Nothing may be asked of the hub, and none of it is needed.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}

trl = pytest.importorskip("trl", reason="TRL is not installed: make integrations ARGS='--only trl'")
datasets = pytest.importorskip("datasets", reason="datasets is not installed")
torch = pytest.importorskip("torch", reason="torch is not installed")

from transformers.utils import get_json_schema  # noqa: E402 - what may be missing comes first

from safeact_env import Call, Episode, get_task, play  # noqa: E402
from safeact_env.cli import app  # noqa: E402
from safeact_env.exports import CANARY, Export, export, policy_rollouts  # noqa: E402
from safeact_env.integrations.shaping import Shaping  # noqa: E402
from safeact_env.integrations.toolset import toolset_of  # noqa: E402
from safeact_env.integrations.trl import environment, environments, rows  # noqa: E402
from safeact_env.llm.client import ToolCall  # noqa: E402
from safeact_env.llm.errors import ContextFull  # noqa: E402
from safeact_env.tasks import OFFICIAL  # noqa: E402
from scripts import train_grpo  # noqa: E402
from scripts.training.local_player import ModelHere  # noqa: E402
from scripts.training.tiny_model import call_text, simple_calls, tiny_model  # noqa: E402
from tests.documents import blocks  # noqa: E402
from tests.integrations.vllm_stub import FLASH_ATTENTION, Weights, vllm  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
torch.set_num_threads(1)
SHORT = 1_024
"""Tokens of a rollout that only makes calls which are a token each."""


def options(folder, **more):
    quiet = {"report_to": [], "disable_tqdm": True, "logging_steps": 1, "save_strategy": "no"}
    training = {"use_cpu": True, "bf16": False, "learning_rate": 1e-2}
    return {"output_dir": str(folder), **quiet, **training, **more}


def changed(model, before):
    return any((before[name] != value).any() for name, value in model.state_dict().items())


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def trained(tmp_path, tiny, factory, table, steps=2):
    """Train with GRPO, keep every completion and reward; the trainer and these."""
    seen = []

    def watch(prompts, completions, environments, **_columns):
        seen.extend(
            (prompt, completion, env, env.get_reward())
            for prompt, completion, env in zip(prompts, completions, environments, strict=True)
        )
        return [0.0] * len(completions)

    config = trl.GRPOConfig(
        **options(tmp_path, max_steps=steps, per_device_train_batch_size=4),
        num_generations=4,
        max_completion_length=SHORT,
        generation_kwargs=tiny.generation,
        shuffle_dataset=False,
    )
    trainer = trl.GRPOTrainer(
        model=tiny.model,
        reward_funcs=watch,
        args=config,
        processing_class=tiny.words,
        train_dataset=datasets.Dataset.from_list(table),
        environment_factory=factory,
    )
    before = weights(tiny.model)
    trainer.train()
    assert changed(tiny.model, before)
    return trainer, seen


# The environment -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", OFFICIAL)
def test_transformers_describes_the_methods_as_the_exported_tools_are_described(task):
    env = environment(task)()
    for tool in toolset_of(get_task(task)).schemas():
        found = get_json_schema(getattr(env, tool["function"]["name"]))
        assert found["function"].pop("return") == {"type": "string"}
        # In this order it is rendered, and so it is part of what a model sees.
        assert json.dumps(found) == json.dumps(tool)


def test_grpo_trains_two_steps_and_the_model_plays(tmp_path):
    trainer, seen = trained(
        tmp_path, tiny_model(simple_calls(["easy"])), environment("easy"), rows(["easy"], range(2))
    )
    logged = [step for step in trainer.state.log_history if "reward" in step]
    assert [step["step"] for step in logged] == [1, 2]
    assert all(math.isfinite(step["loss"]) and step["tools/call_frequency"] > 0 for step in logged)
    assert len(seen) == 8
    for _, completion, _, reward in seen:
        # What TRL took for the reward is what the calls earn when they are played again.
        assert reward == round(sum(turn.reward for turn in again(completion, seen).turns), 4)
    for step, group in zip(logged, (seen[:4], seen[4:]), strict=True):
        mean = sum(reward for *_, reward in group) / 4
        assert step["rewards/SafeActEasy/mean"] == pytest.approx(mean)
        assert step["reward"] == pytest.approx(mean)
    shown = json.dumps([(prompt, completion) for prompt, completion, *_ in seen]).lower()
    assert "steps left" in shown
    assert not any(word in shown for word in ("reward", "score"))
    # After the end a call is answered with a sentence, and counts for nothing.
    assert "no further call does anything" in shown


def again(completion, seen):
    """The episode of a completion, played from its messages."""
    position = next(index for index, one in enumerate(seen) if one[1] is completion)
    episode = Episode(get_task("easy"), "train", position // 4)
    tools = toolset_of(get_task("easy"))
    for message in completion:
        for call in message.get("tool_calls") or []:
            if not episode.done:
                episode.step(tools.call(call["function"]["name"], call["function"]["arguments"]))
    return episode


def test_grpo_mixes_five_tasks_on_a_server(tmp_path, live_url):
    tiny = tiny_model(simple_calls(OFFICIAL))
    table = rows(OFFICIAL, [3])
    trainer, seen = trained(tmp_path, tiny, environments(live_url), table, steps=5)
    assert [env._task.name for _, _, env, _ in seen] == [task for task in OFFICIAL for _ in range(4)]
    logged = [step for step in trainer.state.log_history if "reward" in step]
    for index, name in enumerate(("Easy", "Medium", "Hard", "Medical", "CloudInfra")):
        mean = sum(reward for *_, reward in seen[4 * index : 4 * index + 4]) / 4
        assert logged[index][f"rewards/SafeAct{name}/mean"] == pytest.approx(mean)
        assert logged[index]["reward"] == pytest.approx(mean)
    assert sum(step["tools/call_frequency"] for step in logged) > 0


@pytest.mark.parametrize("task", OFFICIAL)
def test_the_experts_calls_through_trls_tool_loop_earn_the_whole_reward(task, tmp_path, monkeypatch):
    turns = play(get_task(task), "train", 2, "expert").turns
    calls = [call_text(get_task(task), turn.call) for turn in turns]
    tiny = tiny_model(calls)
    said = iter([[tiny.words.convert_tokens_to_ids(call), tiny.words.eos_token_id] for call in calls])

    def generated(_trainer, prompts, *_images, **_more):
        # All four rollouts say the same: the expert's next call, at last nothing.
        ids = next(said, [tiny.words.eos_token_id])
        return [ids for _ in range(len(prompts))], None

    monkeypatch.setattr(trl.GRPOTrainer, "_generate_single_turn", generated)
    config = trl.GRPOConfig(
        **options(tmp_path, max_steps=1, per_device_train_batch_size=4),
        num_generations=4,
        max_completion_length=8_000,
    )
    trainer = trl.GRPOTrainer(
        model=tiny.model,
        args=config,
        processing_class=tiny.words,
        train_dataset=datasets.Dataset.from_list(rows([task], [2])),
        environment_factory=environment(task),
    )
    trainer.model.config.max_position_embeddings = 100_000
    found = trainer._generate_and_score_completions([trainer.train_dataset[0]] * 4)
    assert [env.get_reward() for env in trainer.environments] == [1.0] * 4
    # Results are shown to the model and not trained on.
    mask = found["tool_mask"][0].tolist()
    assert mask.count(1) >= 2 * len(calls)
    assert mask.count(0) > mask.count(1)


def test_a_wrong_reward_would_be_noticed(tmp_path, monkeypatch):
    """The broken twin of the comparison above."""
    found = environment("easy")
    monkeypatch.setattr(found, "get_reward", lambda self: self._total + 0.5)
    env = found()
    env.reset(seed=0)
    env.list_directory(reasoning="Look.")
    episode = Episode(get_task("easy"), "train", 0)
    episode.step(Call("list_directory", {}, "Look."))
    assert env.get_reward() != round(sum(turn.reward for turn in episode.turns), 4)


def test_async_grpo_trains_two_steps_with_an_environment_in_another_process(tmp_path, monkeypatch):
    """TRL's worker is a process of its own, to which the factory goes as a pickle."""
    from trl.experimental import async_grpo
    from trl.experimental.async_grpo import async_grpo_trainer, async_rollout_worker, packing

    # It asks the GPU for its speed.
    monkeypatch.setattr(async_grpo_trainer, "get_peak_flops_per_device", lambda *_: 1.0)
    monkeypatch.setattr(async_rollout_worker, "is_vllm_available", lambda: True)
    monkeypatch.setattr(packing, "_flash_attn", lambda: FLASH_ATTENTION)
    calls = simple_calls(["easy"])
    tiny = tiny_model(calls)
    tiny.model.save_pretrained(tmp_path / "model")
    end = tiny.words.eos_token_id
    answers = [[tiny.words.convert_tokens_to_ids(call), end] for call in calls]
    weights_of = Weights()
    with vllm(answers) as (url, prompts):
        config = async_grpo.AsyncGRPOConfig(
            **options(tmp_path, max_steps=2, per_device_train_batch_size=4),
            num_generations=4,
            max_completion_length=64,
            max_tool_calling_iterations=6,
            max_inflight_tasks=4,
            token_budget=16_384,
            vllm_server_base_url=url,
            dtype="float32",
        )
        trainer = async_grpo.AsyncGRPOTrainer(
            model=str(tmp_path / "model"),
            args=config,
            processing_class=tiny.words,
            train_dataset=datasets.Dataset.from_list(rows(["easy"], range(4))),
            environment_factory=environment("easy", shaping=Shaping(mistake=-0.5)),
            weight_transfer=weights_of,
        )
        before = weights(trainer.model)
        trainer.train()
    logged = [step for step in trainer.state.log_history if "loss" in step]
    assert [step["step"] for step in logged] == [1, 2]
    assert all(math.isfinite(step["loss"]) for step in logged)
    assert any("SafeActEasy" in name for step in logged for name in step), sorted(logged[0])
    assert changed(trainer.model, before)
    assert weights_of.sent >= 2
    assert any("STEPS LEFT" in tiny.words.decode(prompt) for prompt in prompts)


# The script ------------------------------------------------------------------------------------------------


def test_the_script_trains_after_a_warm_start_and_again_on_what_it_saved(tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    export(policy_rollouts(("easy",), "train", range(2), "expert"), data, Export(("sft",)), made="here")
    common = ["--cpu", "--generations", "2", "--completion-tokens", "512", "--steps", "2"]
    sft = ["--sft", str(data / "sft.jsonl"), "--sft-steps", "2"]
    assert train_grpo.main(["--model", "tiny", "--task", "easy", *sft, "--out", str(out), *common]) == 0
    log = json.loads((out / "training.json").read_text())
    assert [step["step"] for step in log["sft"] if "loss" in step] == [1, 2]
    assert [step["step"] for step in log["grpo"] if "reward" in step] == [1, 2]
    assert all(
        math.isfinite(step["loss"]) for part in ("sft", "grpo") for step in log[part] if "loss" in step
    )
    # A model from a folder, as any other is read.
    more = ["--task", "easy", "--task", "hard", "--completion-tokens", "64", "--steps", "1"]
    saved = ["--model", str(out / "model"), "--out", str(tmp_path / "more")]
    assert train_grpo.main([*saved, *common, *more]) == 0
    assert (tmp_path / "more" / "model" / "config.json").exists()


def test_the_script_measures_before_and_after(tmp_path):
    out = tmp_path / "run"
    arguments = ["--model", "tiny", "--task", "easy", "--cpu", "--steps", "1", "--generations", "2"]
    arguments += ["--completion-tokens", "64", "--evaluate", "0,1"]
    arguments += ["--attempts", "2", "--answer-tokens", "32"]
    assert train_grpo.main([*arguments, "--out", str(out)]) == 0
    log = json.loads((out / "training.json").read_text())
    for name in ("before", "after"):
        assert (log[name]["episodes"], log[name]["errors"]) == (4, [])
        metrics = log[name]["metrics"]["easy"]
        assert {"grade", "mistakes", "pass^2", "safe^2"} <= set(metrics)
        records = [json.loads(line) for line in (out / name / "episodes.jsonl").read_text().splitlines()]
        assert {(record["split"], record["seed"]) for record in records} == {("test", 0), ("test", 1)}
        # What the model said is kept, its reasons included.
        assert all(turn["reasoning"] for record in records for turn in record["calls"])
        assert all(record["model"]["messages"] for record in records)


class Echo:
    """A model that writes a fixed text, and notes how much it was given to read."""

    device = "cpu"

    def __init__(self, words, said):
        self.words, self.said, self.fed = words, said, []

    def generate(self, ids, *, cache, **_options):
        self.fed.append(ids.shape[1] - cache.get_seq_length())
        new = torch.tensor([self.words(self.said, add_special_tokens=False)["input_ids"]])
        whole = torch.cat([ids, new], 1)
        keys = torch.zeros(1, 1, whole.shape[1] - 1 - cache.get_seq_length(), 4)
        cache.update(keys, keys, 0)
        return whole


def test_a_model_in_this_process_answers_as_an_endpoint_does():
    _model, words, _options = train_grpo.loaded("tiny", ["easy"], 0)
    said = 'I look. <tool_call>{"name": "list_directory", "arguments": {"reasoning": "Look."}}</tool_call>'
    echo = Echo(words, said)
    here = ModelHere("echo", echo, words, 4_096, 256, 0.0)
    talk = [{"role": "user", "content": "Begin."}]
    first = asyncio.run(here.ask(talk, {}))
    assert first.calls == (ToolCall("call_0", "list_directory", '{"reasoning": "Look."}'),)
    assert (first.text, first.cut) == ("I look.", False)
    call = {"id": "a", "type": "function", "function": {"name": "list_directory", "arguments": "{}"}}
    talk += [{"role": "assistant", "content": "", "tool_calls": [call]}]
    second = asyncio.run(here.ask([*talk, {"role": "tool", "content": "9 files."}], {}))
    # What was read before is not read again.
    assert echo.fed[0] == first.tokens_in
    assert echo.fed[1] < second.tokens_in
    with pytest.raises(ContextFull):
        asyncio.run(ModelHere("echo", echo, words, 64, 32, 0.0).ask(talk * 9, {}))


def test_the_script_refuses_a_model_that_is_not_there_and_chats_of_other_tasks(tmp_path, capsys):
    out = ["--out", str(tmp_path / "run"), "--cpu"]
    assert train_grpo.main(["--model", str(tmp_path / "none"), *out]) == 2
    assert "cannot be loaded" in capsys.readouterr().err
    export(
        policy_rollouts(("easy",), "train", [0], "expert"), tmp_path / "data", Export(("sft",)), made="here"
    )
    chats = ["--sft", str(tmp_path / "data" / "sft.jsonl"), "--task", "hard"]
    assert train_grpo.main(["--model", "tiny", *chats, *out]) == 2
    assert "no chat of the tasks hard" in capsys.readouterr().err


# Exported data ---------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """The cache of `datasets`, apart from the user's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_another_export_into_a_folder_of_the_same_name_is_not_taken_for_the_first(tmp_path):
    found = []
    for name, seed in (("one", 0), ("other", 1), ("one", 2)):
        folder = tmp_path / name / "data"
        export(policy_rollouts(("easy",), "train", [seed], "expert"), folder, Export(("sft",)), made="here")
        found.append(loaded(folder, "sft")["seed"][0])
    assert found == [0, 1, 2]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same export as JSON lines and with Parquet, all tasks."""
    from typer.testing import CliRunner

    found = {}
    for kind, more in (("jsonl", []), ("parquet", ["--parquet"])):
        found[kind] = tmp_path_factory.mktemp("export") / kind
        arguments = ["export", str(found[kind]), "--seeds", "0-1", "--pairs", "2", *more]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    return found


def loaded(folder, form):
    return datasets.load_dataset(str(folder), form, split="train")


@pytest.mark.parametrize("form", ["sft", "dpo", "kto"])
def test_datasets_reads_a_folder_by_its_card_the_same_from_both_kinds_of_file(folders, form):
    lines = [json.loads(line) for line in (folders["jsonl"] / f"{form}.jsonl").read_text().splitlines()]
    assert (folders["parquet"] / f"{form}.jsonl").read_text() == (
        (folders["jsonl"] / f"{form}.jsonl").read_text()
    )
    for kind, folder in folders.items():
        found = loaded(folder, form)
        assert found.column_names == list(lines[0]), kind
        assert list(found) == lines, kind
    assert set(found["canary"]) == {CANARY}
    assert f"{form}.parquet" in (folders["parquet"] / "README.md").read_text()


def one_step(trainer):
    before = weights(trainer.model)
    trainer.train()
    (step,) = (one for one in trainer.state.log_history if "loss" in one)
    assert math.isfinite(step["loss"])
    assert changed(trainer.model, before)
    return step


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_sft_trains_on_the_chats(folders, kind, tmp_path):
    tiny = tiny_model([])
    data = loaded(folders[kind], "sft")
    config = trl.SFTConfig(
        **options(tmp_path, max_steps=1, per_device_train_batch_size=1),
        max_length=16_384,
        assistant_only_loss=True,
    )
    trainer = trl.SFTTrainer(tiny.model, args=config, train_dataset=data, processing_class=tiny.words)
    one_step(trainer)
    # The loss is on the calls: they, and no result, are what is left of the labels.
    row = trainer.train_dataset[0]
    kept = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
    text = tiny.words.decode(kept)
    calls = [message for message in data[0]["messages"] if message["role"] == "assistant"]
    assert text.count("<tool_call>") == len(calls)
    assert "STEPS LEFT" not in text


def test_dpo_trains_on_the_pairs_and_both_sides_are_whole_calls(folders, tmp_path):
    tiny = tiny_model([])
    data = loaded(folders["jsonl"], "dpo").filter(lambda row: row["step"] < 4)
    config = trl.DPOConfig(**options(tmp_path, max_steps=1, per_device_train_batch_size=1), max_length=8_192)
    trainer = trl.DPOTrainer(
        tiny.model, tiny_model([]).model, config, train_dataset=data, processing_class=tiny.words
    )
    step = one_step(trainer)
    assert step["loss"] == pytest.approx(math.log(2), abs=1e-3)
    for row, kept in zip(data, trainer.train_dataset, strict=True):
        for side in ("chosen", "rejected"):
            text = tiny.words.decode(kept[f"{side}_ids"])
            call = row[side][0]["tool_calls"][0]["function"]
            assert json.dumps(call["name"]) in text
            assert all(json.dumps(value, ensure_ascii=False) in text for value in call["arguments"].values())


def test_kto_trains_on_the_rated_answers(folders, tmp_path):
    tiny = tiny_model([])
    data = loaded(folders["jsonl"], "kto").sort("step").select(range(4))
    config = trl.KTOConfig(**options(tmp_path, max_steps=1, per_device_train_batch_size=2), max_length=8_192)
    one_step(
        trl.KTOTrainer(
            tiny.model, tiny_model([]).model, config, train_dataset=data, processing_class=tiny.words
        )
    )


# The documents ---------------------------------------------------------------------------------------------

ONE_STEP = "max_steps=1, use_cpu=True, bf16=False"
SMALL = {
    "max_steps=200": f"{ONE_STEP}, per_device_train_batch_size=2",
    "max_steps=100": f"{ONE_STEP}, per_device_train_batch_size=1",
    "num_generations=8": "num_generations=2",
    "max_completion_length=6400": "max_completion_length=64",
    "max_completion_length=9472": "max_completion_length=64",
}
"""What is made smaller in the documents' examples; the rest runs as it stands."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder in which the model of the examples is found: a tiny one of that name."""
    monkeypatch.chdir(tmp_path)
    tiny = tiny_model([])
    for part in (tiny.model, tiny.words):
        part.save_pretrained("Qwen/Qwen3-0.6B")
    return tmp_path


def shell(block, folder):
    """Run the commands of a block, one per line."""
    programs = {"safeact": [sys.executable, "-m", "safeact_env"], "python": [sys.executable]}
    for line in block.splitlines():
        first, *rest = shlex.split(line)
        arguments = [str(ROOT / one) if one.startswith("scripts/") else one for one in rest]
        command = [*programs[first], *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr[-3_000:]


def run_example(block, **other):
    for old, new in {**SMALL, **other}.items():
        block = block.replace(old, new)
    assert "Qwen/Qwen3-0.6B" in block
    names = {}
    exec(compile(block, "TECHNICAL", "exec"), names)
    assert names["trainer"].state.global_step == 1


def test_the_examples_of_grpo_run(here, live_url):
    alone, shaped, mixed = blocks("docs/train/trl.md")
    run_example(alone)
    exec(compile(shaped, "trl.md", "exec"), {})
    assert "http://localhost:7860" in mixed
    run_example(mixed, **{"http://localhost:7860": live_url})
    install, commands = blocks("docs/train/trl.md", "bash")
    pinned = (ROOT / "tests" / "integrations" / "requirements" / "trl.txt").read_text()
    assert install.split()[2] in pinned.splitlines()
    shell(commands, here)
    assert (here / "runs" / "grpo" / "model" / "config.json").exists()


def test_the_examples_of_dpo_run(here):
    (commands,) = blocks("docs/collect-data.md", "bash")
    shell(commands, here)
    (example,) = [block for block in blocks("docs/collect-data.md") if "DPOTrainer" in block]
    run_example(example)
