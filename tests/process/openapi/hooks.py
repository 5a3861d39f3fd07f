"""Bounds of what schemathesis asks of a gateway: no long waits, and no file outside of the folder of the test."""

import os

import schemathesis

FOLDER = os.environ["FERNPOST_TEST_FOLDER"]


@schemathesis.hook
def before_call(context, case, kwargs):
    path = case.operation.path
    wait = (case.query or {}).get("wait")
    if str(wait).isdigit() and int(wait) > 0:
        case.query["wait"] = 1
    if path == "/admin/v1/store/backup" and isinstance(case.body, dict):
        file = case.body.get("path")
        if isinstance(file, str) and file.startswith("/"):
            case.body = {**case.body, "path": os.path.join(FOLDER, "copy.backup")}
    # Any other name than that of the gateway is refused before the rest of the request is looked at.
    if case.headers:
        case.headers.pop("Fernpost-Server", None)
    if case.meta and case.meta.generation.mode.is_positive:
        case.body = whole(case.body)


def whole(value):
    """Writes 7.0 as 7: both are integers for a schema, and only the second is one for a gateway."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return value
