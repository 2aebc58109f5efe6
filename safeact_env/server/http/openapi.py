"""The OpenAPI document, with what no single route knows: refusals before any route, names, limits of a call.

Owns the additions to the document that FastAPI makes. Must not know how anything is checked.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from safeact_env.call import MAX_DEPTH, MAX_INT, MAX_PARAMETERS, MAX_STRING
from safeact_env.core.task import SPLITS
from safeact_env.models import ErrorBody
from safeact_env.policies.reference import POLICIES
from safeact_env.server.http.baseline import MODEL_AGENT
from safeact_env.server.http.errors import STATUS
from safeact_env.server.middleware.access import OPEN
from safeact_env.tasks import task_names

Document = dict[str, Any]

ERROR = {"$ref": "#/components/schemas/ErrorBody"}
BEARER = "token"
BEFORE = ("rate_limited", "overloaded")
"""Error codes with which any request can be refused before it reaches a route."""
READING = ("get", "head")

BLANK = r"\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Whitespace, as Python defines it."""
TEXT = {"type": "string", "maxLength": MAX_STRING, "pattern": r"^[^\x00]*$"}
WORDS = {**TEXT, "pattern": rf"^[^\x00]*[^\x00{BLANK}][^\x00]*$", "minLength": 1}


def completed(app: FastAPI, closed: bool) -> Callable[[], Document]:
    """A function that makes the document of an app on the first call, and keeps it.

    Args:
        app: The app.
        closed: Whether the app needs a token.
    """
    make = app.openapi

    def openapi() -> Document:
        if app.openapi_schema is None:
            document = make()
            _limit(document["components"]["schemas"])
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    _complete(operation, method, is_open=path in OPEN, closed=closed)
            if closed:
                schemes = {BEARER: {"type": "http", "scheme": "bearer"}}
                document["components"]["securitySchemes"] = schemes
        found: Document = app.openapi_schema  # type: ignore[assignment]  # made above
        return found

    return openapi


def _complete(operation: Document, method: str, *, is_open: bool, closed: bool) -> None:
    """Add the refusals that come before the route."""
    responses = operation["responses"]
    if "422" in responses:
        responses["422"]["content"]["application/json"]["schema"] = {
            "anyOf": [{"$ref": "#/components/schemas/HTTPValidationError"}, ERROR]
        }
    codes: list[str] = [] if is_open else [*BEFORE]
    if method not in READING:
        codes.append("foreign_page")
    if closed and not is_open:
        codes.append("unauthorized")
        operation["security"] = [{BEARER: []}]
    for code in codes:
        status = str(STATUS[code])
        there = responses.setdefault(status, {"content": {"application/json": {"schema": ERROR}}})
        there["description"] = f"{there.get('description', '')}, `{code}`".lstrip(", ")


def _limit(schemas: Document) -> None:
    """Add the known names, and the limits that code checks."""
    schemas.setdefault("ErrorBody", ErrorBody.model_json_schema(ref_template="#/components/schemas/{model}"))
    names: dict[str, list[str]] = {
        "task_name": list(task_names()),
        "policy": list(POLICIES),
        "agent": [*POLICIES, MODEL_AGENT],
        "split": [*SPLITS],
    }
    for name, own in schemas.items():
        if not name.endswith("Request"):
            continue
        for field, values in names.items():
            if field in own["properties"]:
                _name(own["properties"][field], values)
    action = schemas["SafeActAction"]["properties"]
    for field in ("action_name", "reasoning"):
        action[field] |= WORDS
    inner: Document = {}
    for depth in range(1, MAX_DEPTH):
        inner = {"$ref": f"#/components/schemas/{_json(schemas, depth)}"}
    action["parameters"] |= _object(inner)


def _name(field: Document, values: list[str]) -> None:
    """List the values that a field may have, besides null."""
    texts = [one for one in field.get("anyOf", [field]) if one.get("type") == "string"]
    for one in texts:
        one.pop("maxLength", None)
        one["enum"] = values


def _json(schemas: Document, depth: int) -> str:
    """Add the schema of a JSON value that is nested at most `depth` deep; return its name."""
    name = f"Json{depth}"
    plain: list[Document] = [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "integer", "minimum": -MAX_INT, "maximum": MAX_INT},
        {"type": "number"},
        TEXT,
    ]
    if depth > 1:
        below = {"$ref": f"#/components/schemas/Json{depth - 1}"}
        plain += [_object(below), {"type": "array", "items": below, "maxItems": MAX_PARAMETERS}]
    schemas[name] = {"anyOf": plain, "title": name}
    return name


def _object(values: Document) -> Document:
    """The schema of an object with these values."""
    return {
        "type": "object",
        "additionalProperties": values,
        "propertyNames": TEXT,
        "maxProperties": MAX_PARAMETERS,
    }
