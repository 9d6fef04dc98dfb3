"""What the tests stand on: a runner that names each, servers of their own, keys, forgeries."""

import atexit
import base64
import contextlib
import functools
import hmac
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ASYMMETRIC = ("ES256", "ES384", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
SYMMETRIC = ("HS256", "HS384", "HS512")
ALGORITHMS = ASYMMETRIC + SYMMETRIC
# Long enough for HS512.
SECRET = "one secret for both sides, of sixty-four bytes and a few more, for tests"
PASSWORD = "violet tractor sings 47 lullabies"
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
LIMIT = 30
try:
    BINARY, PEER_SERVICE = os.environ["COUNTERSIGN_BIN"], os.environ["PEER_SERVICE"]
except KeyError:
    sys.exit("`cargo xtask test peers` says where the programs are")

_tests = []
# What was started, for the end: a test that shares a server with others does not end it.
started = contextlib.ExitStack()
atexit.register(started.close)
# Ended as by Ctrl-C, so that what was started ends too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def test(name):
    """Names a test; a sentence."""

    def add(body):
        _tests.append((name, body))
        return body

    return add


def run():
    """Runs the tests. The last line is the count that xtask reads."""
    failed = 0
    for name, body in _tests:
        try:
            body()
            print(f"ok      {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{len(_tests) - failed} passed, {failed} failed")
    sys.exit(0 if _tests and not failed else 1)


def refused(error, body, *arguments):
    """Claims that a call raises this error."""
    try:
        accepted = body(*arguments)
    except error:
        return
    raise AssertionError(f"accepted: {accepted}")


def until(what, claim, limit=LIMIT):
    """Waits until something holds."""
    end = time.monotonic() + limit
    while not claim():
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.05)


def _start(command, stream, **options):
    """Starts a program; gives it and the lines that it writes to this stream."""
    process = subprocess.Popen(command, text=True, **{stream: subprocess.PIPE}, **options)
    lines = queue.Queue()

    def read():
        # To the end: a full pipe would hold the program up.
        for line in getattr(process, stream):
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()

    def stop():
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    started.callback(stop)
    return lines, stop


class Countersign:
    """A running `countersign serve` on a free port, its data in a folder that is empty at first."""

    def __init__(self, algorithm, folder=None, **settings):
        if folder is None:
            folder = started.enter_context(tempfile.TemporaryDirectory(prefix="countersign-peers-"))
        # What the suite was started with is its own business.
        environment = {n: v for n, v in os.environ.items() if not n.startswith("COUNTERSIGN_")}
        settings = {"LIMITS__SCALE": "1000", "LOG__FORMAT": "json", **settings}
        self.secret = SECRET if algorithm in SYMMETRIC else None
        if self.secret:
            settings["TOKEN__SECRET"] = self.secret
        environment |= {f"COUNTERSIGN_{name}": value for name, value in settings.items()}
        environment["COUNTERSIGN_TOKEN__ALGORITHM"] = algorithm
        lines, self.stop = _start(
            [BINARY, "serve", "--port", "0"],
            "stderr",
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.origin = None
        log = []
        while self.origin is None:
            line = lines.get(timeout=LIMIT)
            log.append(line)
            if line == "":
                raise RuntimeError("the server ended:\n" + "".join(log))
            with contextlib.suppress(ValueError):
                address = json.loads(line).get("fields", {}).get("address")
                self.origin = address and f"http://{address}"

    def sign_up(self):
        """The access token of a new account."""
        return self.pair()["access_token"]

    def pair(self):
        """What a new account is answered: access token and refresh token."""
        credentials = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
        status, body = ask(f"{self.origin}/auth/register", body=credentials)
        assert status == 201, (status, body)
        return body

    def account(self, token):
        """The id of the account of a token."""
        status, body = ask(f"{self.origin}/auth/me", token)
        assert status == 200, (status, body)
        return body["id"]


@functools.cache
def countersign(algorithm):
    """The server of an algorithm that the tests share, and a token of it."""
    server = Countersign(algorithm)
    return server, server.sign_up()


def service(jwks, *issuer_and_audience):
    """Starts the service that knows these keys alone (service.rs); gives its address."""
    folder = started.enter_context(tempfile.TemporaryDirectory(prefix="countersign-peers-"))
    file = os.path.join(folder, "jwks.json")
    with open(file, "w", encoding="utf-8") as writer:
        json.dump(jwks, writer)
    lines, _ = _start(
        [PEER_SERVICE, file, *issuer_and_audience], "stdout", stdin=subprocess.PIPE
    )
    address = lines.get(timeout=LIMIT).strip()
    assert address, "the service ended"
    return address


def ask(url, token=None, body=None, method=None):
    """What an address answers: its status, and the body where that is JSON."""
    request = urllib.request.Request(url, method=method)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(segment):
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def header_of(token):
    """What a token's header says."""
    return json.loads(_decode(token.split(".")[0]))


def claims_of(token):
    """What a token claims."""
    return json.loads(_decode(token.split(".")[1]))


def tampered(token):
    """The token of somebody else, with the signature as it was."""
    header, _, signature = token.split(".")
    claims = claims_of(token) | {"sub": str(uuid.uuid4())}
    return ".".join([header, _encode(json.dumps(claims).encode()), signature])


def forged(header, claims, secret=None):
    """A token by hand, since a good library refuses to make it: signed by HMAC with any bytes, or
    not at all."""
    parts = ".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
    digest = hmac.digest(secret, parts.encode(), "sha256") if secret is not None else b""
    return f"{parts}.{_encode(digest)}"


@functools.cache
def private_key(algorithm):
    """A key that Countersign did not make."""
    return {
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }.get(algorithm, lambda: rsa.generate_private_key(65537, 2048))()


@functools.cache
def published(algorithm):
    """The same as it is published, or the secret as a service is told it; without a name."""
    key = SECRET.encode() if algorithm in SYMMETRIC else private_key(algorithm).public_key()
    jwk = get_default_algorithms()[algorithm].to_jwk(key, as_dict=True)
    # It would say whether to sign or to verify.
    jwk.pop("key_ops", None)
    return jwk | {"alg": algorithm}


def as_secrets(public, jwk):
    """A public key in the forms that a confused verifier might take for a secret."""
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return [pem, pem.strip(), der, json.dumps(jwk, separators=(",", ":")).encode()]
