"""Plays given episodes through a client library and records what the library shows.

Runs in an environment with that library; it imports nothing of this project except, for this project's own
clients, the installed package. It knows the calls and not their expected results.

    python client.py PLAN.json SHOWN.json
"""

import asyncio
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

JSON = dict[str, Any]
Plan = JSON
"""`url` of the server, `project` (a copy of it), `clients` to play with, `episodes` to play, `manifest`."""


def line(result: Any) -> JSON:
    """A result as JSON: observation, reward, done."""
    shown = result.observation
    if hasattr(shown, "model_dump"):
        if (shown.reward, shown.done) != (result.reward, result.done):
            raise AssertionError("the observation's reward and done are not those of the result")
        shown = shown.model_dump(mode="json", exclude={"reward", "done"})
    return {"observation": shown, "reward": result.reward, "done": result.done}


def state_line(state: Any) -> JSON:
    """A state as JSON, without the episode's id, which is random."""
    shown = dict(state) if isinstance(state, dict) else state.model_dump(mode="json")
    del shown["episode_id"]
    return shown


def moves(plan: Plan, act: Callable[..., Any]) -> Iterator[tuple[str, JSON]]:
    """The client's calls in order, `reset`, `step` and `state`, with their arguments."""
    yield "reset", {}
    yield "state", {}
    for episode in plan["episodes"]:
        yield "reset", episode["start"]
        for call in episode["calls"]:
            yield "step", {"action": act(**call)}
        yield "state", {}


def play(env: Any, plan: Plan, act: Callable[..., Any] = dict) -> list[JSON]:
    """Play the plan."""
    shown = []
    for name, arguments in moves(plan, act):
        answer = getattr(env, name)(**arguments)
        shown.append(state_line(answer) if name == "state" else line(answer))
    return shown


async def play_async(env: Any, plan: Plan, act: Callable[..., Any] = dict) -> list[JSON]:
    """Play the plan through an asynchronous client."""
    shown = []
    for name, arguments in moves(plan, act):
        answer = await getattr(env, name)(**arguments)
        shown.append(state_line(answer) if name == "state" else line(answer))
    return shown


# OpenEnv's clients ---------------------------------------------------------------------------------


@dataclass
class MyAction:
    """A user's own action class."""

    action_name: str
    parameters: JSON
    reasoning: str


def http_client() -> Any:
    """The subclass that openenv-core 0.1 asks for. Its `reset` takes nothing, so this one's takes a task."""
    from openenv_core.client_types import StepResult
    from openenv_core.http_env_client import HTTPEnvClient

    class MyHTTPEnv(HTTPEnvClient):  # type: ignore[misc]  # Any to the type checker
        def reset(self, **start: Any) -> Any:
            if not start:
                return super().reset()
            answer = self._http.post(f"{self._base}/reset", json=start, timeout=self._timeout)
            answer.raise_for_status()
            return self._parse_result(answer.json())

        def _step_payload(self, action: MyAction) -> JSON:
            return asdict(action)

        def _parse_result(self, payload: JSON) -> Any:
            return StepResult(payload["observation"], payload["reward"], payload["done"])

        def _parse_state(self, payload: JSON) -> JSON:
            return payload

    return MyHTTPEnv


def ws_client() -> Any:
    """The subclass that OpenEnv since 0.2 asks for."""
    from openenv.core.client_types import StepResult
    from openenv.core.env_client import EnvClient

    class MyEnv(EnvClient[MyAction, JSON, JSON]):
        def _step_payload(self, action: MyAction) -> JSON:
            return asdict(action)

        def _parse_result(self, payload: JSON) -> Any:
            return StepResult(payload["observation"], payload["reward"], payload["done"])

        def _parse_state(self, payload: JSON) -> JSON:
            return payload

    return MyEnv


def old_http(plan: Plan) -> list[JSON]:
    """`HTTPEnvClient`, which names its episode by the cookie alone."""
    env = http_client()(base_url=plan["url"])
    shown = play(env, plan, MyAction)
    env.close()
    return shown


def old_docker(plan: Plan) -> list[JSON]:
    """`HTTPEnvClient.from_docker_image` with a stand-in for Docker."""
    env = http_client().from_docker_image("safeact-env:latest", provider=Running(plan["url"]))
    shown = play(env, plan, MyAction)
    env.close()
    return shown


def subclass(plan: Plan) -> list[JSON]:
    """A subclass of `EnvClient`, through `.sync()`."""
    with ws_client()(base_url=plan["url"]).sync() as env:
        return play(env, plan, MyAction)


def subclass_async(plan: Plan) -> list[JSON]:
    """The same, awaited."""

    async def run() -> list[JSON]:
        async with ws_client()(base_url=plan["url"]) as env:
            return await play_async(env, plan, MyAction)

    return asyncio.run(run())


def generic(plan: Plan) -> list[JSON]:
    """`GenericEnvClient`, through `.sync()`."""
    from openenv.core import GenericEnvClient

    with GenericEnvClient(base_url=plan["url"]).sync() as env:
        return play(env, plan)


def generic_async(plan: Plan) -> list[JSON]:
    """The same, awaited, with the WebSocket's own address."""
    from openenv.core import GenericAction, GenericEnvClient

    async def run() -> list[JSON]:
        async with GenericEnvClient(base_url=plan["url"].replace("http:", "ws:")) as env:
            return await play_async(env, plan, GenericAction)

    return asyncio.run(run())


def generic_with(plan: Plan) -> list[JSON]:
    """`with GenericEnvClient(...)`, without `.sync()`, which OpenEnv has since 0.4."""
    from openenv.core import GenericEnvClient

    with GenericEnvClient(base_url=plan["url"]) as env:
        return play(env, plan)


def auto_generic(plan: Plan) -> list[JSON]:
    """`AutoEnv` and `AutoAction` with `skip_install=True`, without this project's package."""
    from openenv import AutoAction, AutoEnv

    env = AutoEnv.from_env("safeact", base_url=plan["url"], skip_install=True)
    with env.sync() as sync:
        return play(sync, plan, AutoAction.from_env("safeact", skip_install=True))


def uv(plan: Plan) -> list[JSON]:
    """`from_env(use_docker=False)`: OpenEnv starts the server of a checkout with `uv run`."""
    from openenv.core import GenericEnvClient

    async def run() -> list[JSON]:
        env = await GenericEnvClient.from_env(
            "someone/safeact", use_docker=False, project_path=plan["project"]
        )
        try:
            return await play_async(env, plan)
        finally:
            await env.close()

    return asyncio.run(run())


# This project's clients ----------------------------------------------------------------------------


class Running:
    """Stands in for Docker: the container asked for is the server that runs already."""

    def __init__(self, url: str) -> None:
        self.url = url

    def start_container(self, image: str, port: int | None = None, **_more: Any) -> str:
        """The address, for this project's image only."""
        if not image.startswith("safeact-env:"):
            raise AssertionError(f"another image was asked for: {image}")
        return self.url

    def wait_for_ready(self, base_url: str, timeout_s: float = 30.0) -> None:
        """Nothing to wait for."""

    def stop_container(self) -> None:
        """Nothing to stop."""


def typed(plan: Plan) -> list[JSON]:
    """`SafeActEnv`, through `.sync()`."""
    from safeact_env.client import SafeActAction, SafeActEnv

    with SafeActEnv(base_url=plan["url"]).sync() as env:
        return play(env, plan, SafeActAction)


def typed_async(plan: Plan) -> list[JSON]:
    """The same, awaited."""
    from safeact_env.client import SafeActAction, SafeActEnv

    async def run() -> list[JSON]:
        async with SafeActEnv(base_url=plan["url"]) as env:
            return await play_async(env, plan, SafeActAction)

    return asyncio.run(run())


def typed_http(plan: Plan) -> list[JSON]:
    """`SafeActHTTPClient`."""
    from safeact_env.client import SafeActAction, SafeActHTTPClient

    with SafeActHTTPClient(plan["url"]) as env:
        return play(env, plan, SafeActAction)


def typed_docker(plan: Plan) -> list[JSON]:
    """`SafeActEnv.from_docker_image` with a stand-in for Docker."""
    from safeact_env.client import SafeActAction, SafeActEnv

    async def run() -> list[JSON]:
        env = await SafeActEnv.from_docker_image("safeact-env:latest", provider=Running(plan["url"]))
        try:
            return await play_async(env, plan, SafeActAction)
        finally:
            await env.close()

    return asyncio.run(run())


def auto(plan: Plan) -> list[JSON]:
    """`AutoEnv` and `AutoAction`, which find the installed package by name."""
    from openenv import AutoAction, AutoEnv

    known = {name: AutoEnv.get_env_info("safeact")[name] for name in ("description", "default_image")}
    if known != plan["manifest"]:
        raise AssertionError(f"AutoEnv did not read the manifest of the package: {known}")
    with AutoEnv.from_env("safeact", base_url=plan["url"]).sync() as env:
        return play(env, plan, AutoAction.from_env("safeact"))


CLIENTS: dict[str, Callable[[Plan], list[JSON]]] = {
    one.__name__: one
    for one in (
        *(old_http, old_docker),
        *(subclass, subclass_async, generic, generic_async, generic_with, auto_generic, uv),
        *(typed, typed_async, typed_http, typed_docker, auto),
    )
}


def main(plan_file: str, shown_file: str) -> None:
    """Play with each client of the plan, also after one has failed."""
    plan = json.loads(Path(plan_file).read_text(encoding="utf-8"))
    shown: dict[str, JSON] = {}
    for name in plan["clients"]:
        try:
            shown[name] = {"shown": CLIENTS[name](plan)}
        except Exception:
            shown[name] = {"error": traceback.format_exc()}
    Path(shown_file).write_text(json.dumps(shown, ensure_ascii=True), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
