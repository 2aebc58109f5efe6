"""What is thought and what is answer, in the marks of many models."""

import json
import time

import pytest

from safeact_env import Episode, get_task
from safeact_env.call import Call
from safeact_env.integrations.text import TextEpisode
from safeact_env.llm.answers import Answer
from safeact_env.llm.call_formats import UNREADABLE, Unreadable, read
from safeact_env.llm.conversation import Conversation
from safeact_env.llm.prompts import get_prompt
from safeact_env.llm.thoughts import without_thoughts

BAD = '{"reasoning": "weighed", "action_name": "delete_file", "parameters": {"path": "/a"}}'
GOOD = '{"reasoning": "meant", "action_name": "list_directory", "parameters": {}}'

MARKED = [
    f"<think>{BAD}</think>{GOOD}",
    f"<thinking>{BAD}</thinking>\n\n{GOOD}",
    f"<THINK>{BAD}</THINK>{GOOD}",
    f"<thought>{BAD}</thought>{GOOD}",
    f"<Reasoning>{BAD}</Reasoning>{GOOD}",
    f"<analysis>{BAD}</analysis>{GOOD}",
    f"<scratchpad>{BAD}</scratchpad>{GOOD}",
    f"<chain_of_thought>{BAD}</chain_of_thought>{GOOD}",
    f"<thinking_process>{BAD}</thinking_process>{GOOD}",
    # Mistral: https://docs.mistral.ai/studio-api/conversations/reasoning
    f"[THINK]{BAD}[/THINK]{GOOD}",
    # Seed-OSS, Kimi-VL, OpenThinker, Cohere's Command A: their chat templates
    f"<seed:think>{BAD}</seed:think>{GOOD}",
    f"◁think▷{BAD}◁/think▷{GOOD}",
    f"<|begin_of_thought|>{BAD}<|end_of_thought|>{GOOD}",
    f"<|START_THINKING|>{BAD}<|END_THINKING|>{GOOD}",
    # with attributes, and thoughts in them
    f'<think effort="high" budget=3>{BAD}</think>{GOOD}',
    f"<think text='{BAD} > {BAD}'/>{GOOD}",
    f"< think >{BAD}</ think >{GOOD}",
    # the closing mark only: the template wrote the opening one
    f"I could {BAD} but no</think>{GOOD}",
    f"I could {BAD} but no[/THINK]\n{GOOD}",
    f"I could {BAD} but no</thought>{GOOD}",
    f"I could {BAD} but no</THINKING>{GOOD}",
    f"{BAD}</think>{BAD}</think>{GOOD}",
    f"{'hm ' * 50_000}{BAD}</think>{GOOD}",
    # nested and repeated
    f"<think>{BAD}<think>{BAD}</think>{BAD}</think>{GOOD}",
    f"<think>{BAD}[THINK]hm[/THINK]{BAD}</think>{GOOD}",
    f"<think>hm</think>\n<think>{BAD}</think>{GOOD}",
    f"{BAD}</think><think>{BAD}</think>{GOOD}",
    f"{GOOD}<think>{BAD}</think>",
    f"{GOOD}\n<think>{BAD}",
    # gpt-oss: https://cookbook.openai.com/articles/openai-harmony
    f"<|channel|>analysis<|message|>{BAD}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>",
    f"{BAD}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{GOOD}",
    f"<|channel|>analysis<|message|>{BAD}<|end|>{GOOD}",
    f"<|channel|>commentary<|message|>{BAD}<|end|><|channel|>final<|message|>{GOOD}",
    f"analysisI could {BAD}assistantfinal{GOOD}",
    # Gemma: its chat template
    f"<|channel>thought\n{BAD}<channel|>{GOOD}",
    # Granite 3.2: https://docs.vllm.ai/api/vllm/reasoning/granite_reasoning_parser.html
    f"Here is my thought process: I could {BAD} Here is my response: {GOOD}",
    f"I could {BAD}\nHere's my response:\n{GOOD}",
    f"<unused94>thought\n{BAD}<unused95>{GOOD}",
    # a fence that is named so, a comment, marks that a page has escaped
    f"```thinking\n{BAD}\n```\n{GOOD}",
    f"<!-- {BAD} -->{GOOD}",
    f"&lt;think&gt;{BAD}&lt;/think&gt;{GOOD}",
    f"I could {BAD}&lt;/think&gt;{GOOD}",
    f"<!-- not yet --> {GOOD} <!-- {BAD}",
    # no thoughts at all, though a mark is in it
    f"{GOOD}<|end|>",
    f"<think/>{GOOD}",
    f"<think></think>{GOOD}",
    GOOD.replace("meant", "meant, as <think> says"),
    GOOD.replace("meant", "meant </think> so"),
]

NO_CALL = [
    f"I could {BAD} but no</think>",
    f"I could {BAD} but no</think> I finish now.",
    f"<think>{BAD}",
    f"<think>{BAD}</think>",
    f"<think>{BAD}<think>hm</think>{BAD}",
    f"<think text='{BAD}",
    f"[THINK]{BAD}",
    f"<|channel|>analysis<|message|>{BAD}",
    f"<|channel|>commentary to=functions.delete_file <|constrain|>json<|message|>{BAD}<|call|>",
    f"<|START_THINKING|>{BAD}",
    f"```json\n{BAD}\n```</think>",
    f"{BAD}\n</reasoning>\n",
    f"<!-- {BAD} -->",
    f"<!-- {BAD}",
    f"```Thoughts\n{BAD}\n```",
    f"Here is my thought process: {BAD}",
    f"{BAD} Here is my response: I finish.",
    f"&lt;thinking&gt;{BAD}",
    # within an object that is broken, or cut off
    f'{{"weighed": {BAD}, "action_name": "list_dir',
    f'[{{"weighed": [{BAD}], "action_name": ',
    f'{{"reasoning": "not "{BAD}"", "action_name": "list_directory"}}',
    f"{{weighed: {BAD}}}",
    f"{{'weighed': {BAD}, 'action_name': 'list_directory'}}",
]


def answer(text, **more):
    return Answer(text, (), False, 1, 1, 0.1, **more)


@pytest.mark.parametrize("text", MARKED)
def test_the_call_that_is_meant_is_read_and_the_one_that_was_weighed_is_not(text):
    assert read(answer(text)).call.action_name == "list_directory"


@pytest.mark.parametrize("text", NO_CALL)
def test_no_call_is_taken_from_thoughts(text):
    with pytest.raises(Unreadable):
        read(answer(text))


@pytest.mark.parametrize("text", NO_CALL)
def test_a_text_episode_takes_none_either(text):
    episode = TextEpisode("easy", "train", 0)
    reply = episode.say(text)
    assert [call.action_name for call in episode.calls] == [UNREADABLE]
    assert reply.reward == -0.2


def test_without_the_marks_the_weighed_call_would_be_made():
    """The broken twin."""
    text = MARKED[0].replace("<think>", "").replace("</think>", "").replace(GOOD, "")
    assert read(answer(text)).call.action_name == "delete_file"


def test_what_looks_like_a_mark_and_is_none_stays():
    for text in (
        "<thinker> [a thought] thinking, <b>reasoning</b>",
        '["think"]',
        "<tool_call>x</tool_call>",
        "a --> b <!- c",
        "```json\n{}\n```",
    ):
        assert without_thoughts(text) == text


def test_a_reason_is_not_taken_from_thoughts():
    from safeact_env.llm.answers import ToolCall

    given = Answer("<think>secretly</think>Openly.", (ToolCall("1", "look", "{}"),), False, 1, 1, 0.1)
    assert read(given).call.reasoning == "Openly."


def test_thoughts_are_not_sent_again():
    talk = Conversation(get_prompt("neutral"), "text", 10**6, 0)
    talk.begin(Episode(get_task("easy"), "test", 0).observation())
    text = f"I could {BAD}</think>{GOOD}"
    talk.said(read(answer(text)), text)
    assert talk.messages()[-1]["content"] == GOOD
    assert isinstance(read(answer(text)).call, Call)


def test_an_answer_of_thoughts_says_so():
    for text in ("<think>hm</think>", "hm</think>"):
        with pytest.raises(Unreadable, match="empty besides its thoughts"):
            read(answer(text))
    with pytest.raises(Unreadable, match="content filter"):
        read(answer("", filtered=True))


@pytest.mark.parametrize("text", ["<think '" * 20_000, "<" + "a_" * 100_000, "<|channel|>a " * 30_000])
def test_hostile_marks_do_not_take_long(text):
    started = time.perf_counter()
    without_thoughts(text)
    assert time.perf_counter() - started < 2


def test_the_weighed_and_the_meant_call_differ():
    assert json.loads(BAD)["action_name"] != json.loads(GOOD)["action_name"]
