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
    if path != "/admin/v1/peers" and case.headers:
        case.headers.pop("Fernpost-Server", None)
