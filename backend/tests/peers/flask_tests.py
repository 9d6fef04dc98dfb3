"""A running flask-jwt-extended application and Countersign accept each other's tokens."""

import datetime
import functools
import os
import sys
import threading
import time
import uuid

import jwt
from cryptography.hazmat.primitives import serialization
from flask_jwt_extended import create_access_token
from werkzeug.security import generate_password_hash
from werkzeug.serving import WSGIRequestHandler, make_server

from support import (
    ALGORITHMS, ASYMMETRIC, PASSWORD, ROOT, SECRET, SYMMETRIC, Countersign, as_secrets, ask, claims_of,
    countersign, forged, header_of, private_key, published, run, service, tampered, test, until,
)

# The example that people copy is what is tested.
sys.path.insert(0, os.path.join(ROOT, "examples/flask"))
from app import create_app

EMAIL = "ada@example.com"
ACCOUNT = str(uuid.uuid4())


class Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_request(self, *_):
        pass


def serve(app):
    """Runs an application on a free port, until the tests end; gives its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


# Tokens of Countersign, read by Flask.


@functools.cache
def reader(algorithm, audience=None):
    """The example, for the shared server of an algorithm."""
    server, _ = countersign(algorithm)
    secret = {"JWT_SECRET_KEY": server.secret} if server.secret else {}
    return serve(create_app(None, server.origin, audience, JWT_ALGORITHM=algorithm, **secret))


def notes(address, token, method="GET"):
    """What the guarded address answers: its status and what it says."""
    status, body = ask(f"{address}/notes", token, method=method)
    return status, next(iter(body.values())) if body else None


for algorithm in ALGORITHMS:

    @test(f"flask accepts {algorithm} of countersign")
    def _(algorithm=algorithm):
        server, token = countersign(algorithm)

        assert notes(reader(algorithm), token) == (200, f"the notes of {server.account(token)}")

    @test(f"flask refuses {algorithm} of countersign with other claims")
    def _(algorithm=algorithm):
        _, token = countersign(algorithm)

        assert notes(reader(algorithm), tampered(token)) == (422, "Signature verification failed")

    @test(f"flask refuses {algorithm} of countersign for another audience")
    def _(algorithm=algorithm):
        _, token = countersign(algorithm)

        assert notes(reader(algorithm, audience="https://audience.example.com"), token) == (
            422, "Audience doesn't match",
        )

    @test(f"flask refuses an unsigned token under {algorithm}")
    def _(algorithm=algorithm):
        _, token = countersign(algorithm)
        unsigned = forged(header_of(token) | {"alg": "none"}, claims_of(token))

        assert notes(reader(algorithm), unsigned)[0] == 422


for algorithm in ASYMMETRIC:

    @test(f"flask refuses HS256 by the public key of {algorithm}")
    def _(algorithm=algorithm):
        server, token = countersign(algorithm)
        _, jwks = ask(f"{server.origin}/.well-known/jwks.json")
        header = header_of(token) | {"alg": "HS256"}

        for secret in as_secrets(jwt.PyJWK(jwks["keys"][0]).key, jwks["keys"][0]):
            refused = notes(reader(algorithm), forged(header, claims_of(token), secret))
            assert refused == (422, "The specified alg value is not allowed")


@test("flask refuses an expired token of countersign")
def _():
    server = Countersign("ES256", TOKEN__ACCESS_TTL="2s")
    token = server.sign_up()
    address = serve(create_app(countersign=server.origin, JWT_ALGORITHM="ES256"))
    assert notes(address, token)[0] == 200

    until("the token is over", lambda: time.time() > claims_of(token)["exp"])

    assert notes(address, token) == (401, "Token has expired")


@test("flask refuses a refresh token of countersign")
def _():
    server, _ = countersign("ES256")

    assert notes(reader("ES256"), server.pair()["refresh_token"])[0] == 422


@test("flask takes no token of countersign for a fresh one")
def _():
    _, token = countersign("ES256")

    assert notes(reader("ES256"), token, "DELETE") == (401, "Fresh token required")


@test("flask refuses another kind of token of the same key")
def _():
    _, token = countersign("HS256")
    header = header_of(token) | {"typ": "JWT"}

    refused = notes(reader("HS256"), forged(header, claims_of(token), SECRET.encode()))
    assert refused == (400, "User claims verification failed")


@test("flask refuses a token whose key it does not know")
def _():
    _, token = countersign("ES384")

    assert notes(reader("ES256"), token) == (401, "Unknown key")


@test("flask says so when it has no keys")
def _():
    _, token = countersign("ES256")
    # Nobody listens on port 1.
    address = serve(create_app(countersign="http://127.0.0.1:1", JWT_ALGORITHM="ES256"))

    assert notes(address, token) == (503, "The keys cannot be had")


# Tokens of Flask, read by Countersign's verifier.


def key_settings(algorithm):
    """A key that Countersign did not make, for flask-jwt-extended."""
    if algorithm in SYMMETRIC:
        return {"JWT_SECRET_KEY": SECRET}
    private = private_key(algorithm).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private_key(algorithm).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {"JWT_PRIVATE_KEY": private.decode(), "JWT_PUBLIC_KEY": public.decode()}


@functools.cache
def issuer(algorithm):
    """The example that signs people in itself, and its address."""
    users = {EMAIL: (ACCOUNT, generate_password_hash(PASSWORD))}
    # As short-lived as an access token, so that its type alone tells a refresh token apart.
    life = {"JWT_REFRESH_TOKEN_EXPIRES": datetime.timedelta(minutes=15)}
    app = create_app(users, JWT_ALGORITHM=algorithm, **life, **key_settings(algorithm))
    return app, serve(app)


def login(address, **others):
    """What it answers to a sign-in."""
    return ask(f"{address}/login", body={"email": EMAIL, "password": PASSWORD} | others)


def signed_in_at(address):
    """The tokens of a sign-in."""
    status, body = login(address)
    assert status == 200, (status, body)
    return body


def signed_in(algorithm):
    """The same at the application of an algorithm."""
    _, address = issuer(algorithm)
    return signed_in_at(address)


def minted(algorithm, identity=ACCOUNT, **others):
    """A token of flask-jwt-extended that no address of the example gives."""
    app, _ = issuer(algorithm)
    return minted_by(app, identity, **others)


def minted_by(app, identity, **others):
    """The same of any application."""
    with app.app_context():
        return create_access_token(identity, **others)


@functools.cache
def service_of(algorithms):
    """The service that knows the keys of these algorithms. No token names one of them."""
    return service({"keys": [published(algorithm) | {"kid": algorithm} for algorithm in algorithms]})


def verdict(algorithm, token):
    """What it says to a token."""
    status, body = ask(service_of(SYMMETRIC if algorithm in SYMMETRIC else ASYMMETRIC), token)
    return (status, body) if status == 200 else (status, body["code"])


@test("flask signs in by the right password alone")
def _():
    _, address = issuer("HS256")
    assert login(address)[0] == 200
    for others in ({"password": "wrong"}, {"email": "eve@example.com"}, {"password": None}, {"email": 1}):
        assert login(address, **others)[0] == 401, others
    assert ask(f"{address}/login", body=["no object"])[0] == 400


for algorithm in ALGORITHMS:

    @test(f"countersign accepts {algorithm} of flask")
    def _(algorithm=algorithm):
        assert verdict(algorithm, signed_in(algorithm)["access_token"]) == (200, ACCOUNT)

    @test(f"countersign refuses {algorithm} of flask with other claims")
    def _(algorithm=algorithm):
        token = tampered(signed_in(algorithm)["access_token"])

        assert verdict(algorithm, token) == (401, "token_invalid")

    @test(f"countersign refuses {algorithm} of flask that has expired")
    def _(algorithm=algorithm):
        token = minted(algorithm, expires_delta=datetime.timedelta(seconds=-60))

        assert verdict(algorithm, token) == (401, "token_expired")

    @test(f"countersign refuses a refresh token of flask by {algorithm}")
    def _(algorithm=algorithm):
        assert verdict(algorithm, signed_in(algorithm)["refresh_token"]) == (401, "token_invalid")

    @test(f"countersign refuses an unsigned token of flask under {algorithm}")
    def _(algorithm=algorithm):
        token = minted(algorithm)
        unsigned = forged(header_of(token) | {"alg": "none"}, claims_of(token))

        assert verdict(algorithm, unsigned) == (401, "token_invalid")


for algorithm in ASYMMETRIC:

    @test(f"countersign refuses HS256 by the public {algorithm} key of flask")
    def _(algorithm=algorithm):
        token = minted(algorithm)
        header = header_of(token) | {"alg": "HS256"}

        for secret in as_secrets(private_key(algorithm).public_key(), published(algorithm)):
            confused = forged(header, claims_of(token), secret)
            assert verdict(algorithm, confused) == (401, "token_invalid")


@test("countersign refuses other kinds of tokens, names and lives of flask")
def _():
    for what, others in [
        ("typ at+jwt", {"additional_headers": {"typ": "at+jwt"}}),
        ("an unknown key's name", {"additional_headers": {"kid": "peer"}}),
        ("longer than ours", {"expires_delta": datetime.timedelta(days=1)}),
        ("for ever", {"expires_delta": False}),
        ("no account's id", {"identity": EMAIL}),
    ]:
        assert verdict("ES256", minted("ES256", **others)) == (401, "token_invalid"), what


# A running Countersign and a running Flask application with one key, so that routes can move over.


def sharing(algorithm, **settings):
    """Starts both. The account of the token that Countersign issued is the user of Flask."""
    held = key_settings(algorithm)
    if "JWT_PRIVATE_KEY" in held:
        settings["TOKEN__PRIVATE_KEY"] = held["JWT_PRIVATE_KEY"]
    server = Countersign(algorithm, TOKEN__PROFILE="flask-jwt-extended", **settings)
    token = server.sign_up()
    users = {EMAIL: (server.account(token), generate_password_hash(PASSWORD))}
    app = create_app(users, JWT_ALGORITHM=algorithm, **held)
    return server, token, app, serve(app)


shared = functools.cache(sharing)


for algorithm in ALGORITHMS:

    @test(f"with one {algorithm} key flask accepts what countersign issues")
    def _(algorithm=algorithm):
        server, token, _, address = shared(algorithm)

        assert notes(address, token) == (200, f"the notes of {server.account(token)}")
        assert notes(address, tampered(token)) == (422, "Signature verification failed")

    @test(f"with one {algorithm} key countersign accepts what flask issues")
    def _(algorithm=algorithm):
        server, ours, _, address = shared(algorithm)
        token = signed_in_at(address)["access_token"]

        # Flask's token names no address, so both greetings are the account's.
        assert ask(f"{server.origin}/protected", token) == ask(f"{server.origin}/protected", ours)
        assert ask(f"{server.origin}/protected", token)[0] == 200
        status, body = ask(f"{server.origin}/protected", tampered(token))
        assert (status, body["code"]) == (401, "token_invalid")

    @test(f"with one {algorithm} key countersign takes no refresh token of flask")
    def _(algorithm=algorithm):
        server, _, _, address = shared(algorithm)
        token = signed_in_at(address)["refresh_token"]

        status, body = ask(f"{server.origin}/protected", token)
        assert (status, body["code"]) == (401, "token_invalid")
        status, body = ask(f"{server.origin}/auth/refresh", body={"refresh_token": token})
        assert (status, body["code"]) == (401, "refresh_token_invalid")


@test("flask takes a token of countersign for a fresh one as long as countersign says")
def _():
    _, token, _, address = sharing("HS256", TOKEN__FRESH_FOR="2s")
    assert notes(address, token, "DELETE") == (204, None)

    until("the token is no longer fresh", lambda: notes(address, token, "DELETE")[0] != 204)

    assert notes(address, token, "DELETE") == (401, "Fresh token required")
    assert notes(address, token)[0] == 200


@test("a token of flask ends when its account is signed out everywhere")
def _():
    server, ours, app, _ = sharing("HS256")
    before = int(time.time()) - 5
    token = minted_by(app, server.account(ours), additional_claims={"iat": before, "nbf": before})
    assert ask(f"{server.origin}/protected", token)[0] == 200

    assert ask(f"{server.origin}/auth/logout-all", ours, method="POST")[0] == 204

    assert ask(f"{server.origin}/protected", token)[0] == 401


@test("countersign refuses a token of flask for an account that it does not have")
def _():
    server, _, app, _ = shared("HS256")

    assert ask(f"{server.origin}/protected", minted_by(app, str(uuid.uuid4())))[0] == 401


run()
