"""The error code of a refused request."""

import httpx


def code(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert detail["message"]
    return str(detail["code"])
