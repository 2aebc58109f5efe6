"""An episode as a conversation with tools, with the same words in training and in exported data.

Owns how messages are made from observations. Must not know how an episode is played, or which library reads
the messages. A message never holds rewards or grades.
"""

from collections.abc import Mapping
from typing import Any

from safeact_env.call import Call
from safeact_env.evaluation.record import Said
from safeact_env.integrations.toolset import UPKEEP, Toolset
from safeact_env.llm.prompts import Prompt, action_line

__all__ = ["OVER", "Chat", "Message", "Observation"]

Message = dict[str, Any]
Observation = Mapping[str, Any]

OVER = "The job is over. No further call does anything."
UPKEEP_ACTIONS = f"UPKEEP ACTIONS, called through {UPKEEP}"
LEFT_OUT = "TOOLS THAT THIS JOB DOES NOT HAVE"


class Chat:
    """Turns observations and calls of one task into messages.

    Args:
        tools: The task's toolset. It asks for predictions if the prompt does.
        prompt: The texts around the observations.
    """

    def __init__(self, tools: Toolset, prompt: Prompt) -> None:
        self.tools = tools
        self.prompt = prompt

    def system(self) -> Message:
        """The first message."""
        return {"role": "system", "content": self.prompt.opening("tools")}

    def start(self, observation: Observation) -> str:
        """The text of the first observation: job, state, and where the actions differ from the tools."""
        actions = map(action_line, self.tools.upkeep_actions(observation))
        shown = [self.prompt.start(observation, "tools", omitted=False)]
        if left_out := self.tools.left_out(observation):
            shown.append("\n".join([LEFT_OUT, *left_out]))
        return "\n\n".join([*shown, "\n".join([UPKEEP_ACTIONS, *actions])])

    def opening(self, observation: Observation) -> list[Message]:
        """The messages that come before the first call."""
        return [self.system(), {"role": "user", "content": self.start(observation)}]

    def said(self, call: Call, prediction: Said = None) -> Message:
        """The model's message that makes a call, with its prediction if it has one."""
        name, arguments = self.tools.use(call, prediction)
        function = {"name": name, "arguments": arguments}
        return {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": function}],
        }

    def answer(self, before: Observation, after: Observation) -> str:
        """The text of a tool's result: the sentence, the steps left, and what changed in the state."""
        text = self.prompt.turn(before, after)
        return f"{text}\n{OVER}" if after["done"] else text

    def result(self, call: Call, before: Observation, after: Observation) -> Message:
        """The message that answers a call."""
        return {"role": "tool", "name": self.tools.use(call)[0], "content": self.answer(before, after)}
