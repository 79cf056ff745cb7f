"""Gives the pipeline's steps an account of their own on MLflow, which administers nothing.

Run again it changes nothing but the password, which becomes the Secret's. Reads its environment: MLFLOW (the
server's address), CA (PEM, or empty), ADMIN_USERNAME, ADMIN_PASSWORD, USERNAME, PASSWORD, EXPERIMENTS (JSON,
names of experiments of other accounts that the steps may go on with) and PATIENCE (seconds to wait for it).
"""

import base64
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def call(verb, path, **body):
    """The status and the answer of one request as the administrator; what is no JSON is an empty answer."""
    told = {k: os.environ[f"ADMIN_{k}"] for k in ("USERNAME", "PASSWORD")}
    token = base64.b64encode(f"{told['USERNAME']}:{told['PASSWORD']}".encode()).decode()
    request = urllib.request.Request(
        os.environ["MLFLOW"].rstrip("/") + path,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        method=verb,
    )
    trust = ssl.create_default_context(cadata=os.environ.get("CA") or None)
    try:
        with urllib.request.urlopen(request, timeout=20, context=trust) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, {}


def done(answer, what):
    """What was answered. Ends the job in one line where it is a refusal."""
    status, said = answer
    if status != 200:
        sys.exit(f"{what}: MLflow answers {status} {said.get('message', '')}".strip())
    return said


def wait():
    """Until the server answers. Ends the job where it does not in time."""
    ends = time.monotonic() + float(os.environ.get("PATIENCE", "600"))
    while True:
        try:
            status, why = call("GET", "/health")[0], ""
        except OSError as error:
            status, why = 0, f" ({error})"
        if status == 200:
            return
        if time.monotonic() > ends:
            sys.exit(f"{os.environ['MLFLOW']} is not ready: {status or 'no answer'}{why}")
        time.sleep(2)


def account(name, password):
    """Make the account, or give it this password. Ends the job where it is an administrator's."""
    users = "/api/2.0/mlflow/users"
    status, said = call("GET", f"{users}/get?username={urllib.parse.quote(name, safe='')}")
    if status == 404:
        done(call("POST", f"{users}/create", username=name, password=password), f"account {name}")
        return "made"
    if done((status, said), f"account {name}")["user"]["is_admin"]:
        sys.exit(f"account {name} is an administrator's: put another username into the Secret of the steps")
    done(call("PATCH", f"{users}/update-password", username=name, password=password), f"account {name}")
    return "there already; its password is the Secret's"


def main():
    wait()
    name = os.environ["USERNAME"]
    print(f"account {name}: {account(name, os.environ['PASSWORD'])}")
    for title in json.loads(os.environ.get("EXPERIMENTS") or "[]"):
        path = f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={urllib.parse.quote(title, safe='')}"
        home = done(call("GET", path), f"experiment {title}")["experiment"]["experiment_id"]
        grant = {"username": name, "resource_type": "experiment", "resource_id": home, "permission": "EDIT"}
        done(call("POST", "/api/3.0/mlflow/users/permissions/grant", **grant), f"experiment {title}")
        print(f"experiment {title}: {name} may go on with it")


if __name__ == "__main__":
    main()
