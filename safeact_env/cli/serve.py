"""`safeact serve`: every setting of the server as an option.

Owns how settings become options. Must not know any setting: the settings have names, defaults and texts.
"""

import os
from inspect import Parameter, Signature
from typing import Any

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from safeact_env.server.settings import Settings

SECRETS = frozenset(
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
)
PREFIX = Settings.model_config["env_prefix"]


def command() -> typer.Typer:
    """The command, with the settings of the server as its options."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    def serve(**options: str | None) -> None:
        """Start the server."""
        given = {name: value for name, value in options.items() if value is not None}
        from safeact_env.server.main import serve as run

        run(_settings(given))

    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=_option(name, field), annotation=str | None)
        for name, field in Settings.model_fields.items()
    ]
    # Typer reads options from the signature, and types from the annotations.
    serve.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # a function may have one
    serve.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command()(serve)
    return app


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variable(name: str) -> str:
    return f"{PREFIX}{name}".upper()


def _option(name: str, field: FieldInfo) -> Any:
    about = f"{field.description} (default: {field.default}; {_variable(name)})"
    # All options are text: the settings check their values, from options or the environment.
    return typer.Option(None, _flag(name), help=about, metavar="VALUE", show_default=False)


def _settings(given: dict[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = "; ".join(_explained(str(e["loc"][0]), e["msg"], given) for e in error.errors())
        raise typer.BadParameter(wrong, param_hint="the settings") from None


def _explained(name: str, message: str, given: dict[str, Any]) -> str:
    source = _flag(name) if name in given else _variable(name)
    value = given.get(name, os.environ.get(_variable(name)))
    # Never show a secret, not even a wrong one.
    shown = "not what it must be" if name in SECRETS else repr(value)
    return f"{source} is {shown}, but {message[:1].lower()}{message[1:]}"
