"""PyJWT and Countersign accept each other's tokens, and refuse the same ones."""

import functools
import io
import json
import os
import sys
import tempfile
import time
import uuid

import jwt

from support import (
    ALGORITHMS, ASYMMETRIC, ROOT, SECRET, SYMMETRIC, Countersign, as_secrets, ask, claims_of, countersign,
    forged, header_of, private_key, published, refused, run, service, started, tampered, test, until,
)

# The example that people copy is what is tested.
sys.path.insert(0, os.path.join(ROOT, "examples/python"))
from verify import guarded, verifier

ISSUER = "https://issuer.example.com"
AUDIENCE = "https://audience.example.com"


def reader(algorithm, **settings):
    """The example, for the shared server of an algorithm."""
    server, _ = countersign(algorithm)
    settings = {"algorithms": [algorithm], "secret": server.secret, **settings}
    return verifier(settings.pop("issuer", server.origin), **settings)


# Tokens of Countersign, read by PyJWT.

for algorithm in ALGORITHMS:

    @test(f"pyjwt accepts {algorithm} of countersign")
    def _(algorithm=algorithm):
        server, token = countersign(algorithm)

        claims = reader(algorithm)(token)

        assert header_of(token)["alg"] == algorithm
        assert claims["sub"] == server.account(token)

    @test(f"pyjwt refuses {algorithm} of countersign with other claims")
    def _(algorithm=algorithm):
        _, token = countersign(algorithm)

        refused(jwt.InvalidSignatureError, reader(algorithm), tampered(token))

    @test(f"pyjwt refuses {algorithm} of countersign for another audience")
    def _(algorithm=algorithm):
        _, token = countersign(algorithm)

        refused(jwt.InvalidAudienceError, reader(algorithm, audience=AUDIENCE), token)

    @test(f"pyjwt refuses {algorithm} of countersign from another issuer")
    def _(algorithm=algorithm):
        server, token = countersign(algorithm)
        elsewhere = reader(
            algorithm,
            issuer=ISSUER,
            audience=server.origin,
            jwks_url=f"{server.origin}/.well-known/jwks.json",
        )

        refused(jwt.InvalidIssuerError, elsewhere, token)


@test("pyjwt refuses an expired token of countersign")
def _():
    server = Countersign("ES256", TOKEN__ACCESS_TTL="2s")
    token = server.sign_up()
    verify = verifier(server.origin, leeway=0)
    assert verify(token)

    until("the token is over", lambda: time.time() > claims_of(token)["exp"])

    refused(jwt.ExpiredSignatureError, verify, token)


@test("pyjwt accepts tokens from before and after a change of the algorithm")
def _():
    folder = started.enter_context(tempfile.TemporaryDirectory(prefix="countersign-peers-"))
    settings = {"TOKEN__ISSUER": ISSUER, "TOKEN__AUDIENCE": AUDIENCE, "KEYS__PENDING_FOR": "1s", "LIMITS__SCALE": "1000"}
    server = Countersign("ES256", folder, **settings)
    before = server.sign_up()
    server.stop()
    # Published at once, and what signs a second later.
    server = Countersign("EdDSA", folder, **settings)
    until("the new key signs", lambda: header_of(server.sign_up())["alg"] == "EdDSA")
    after = server.sign_up()

    verify = verifier(
        ISSUER,
        audience=AUDIENCE,
        algorithms=["ES256", "EdDSA"],
        jwks_url=f"{server.origin}/.well-known/jwks.json",
    )

    assert [header_of(token)["alg"] for token in (before, after)] == ["ES256", "EdDSA"]
    assert verify(before) and verify(after)


for algorithm in ASYMMETRIC:

    @test(f"pyjwt refuses HS256 by the public key of {algorithm}")
    def _(algorithm=algorithm):
        server, token = countersign(algorithm)
        _, jwks = ask(f"{server.origin}/.well-known/jwks.json")
        header = header_of(token) | {"alg": "HS256"}
        public = jwt.PyJWK(jwks["keys"][0]).key

        for secret in as_secrets(public, jwks["keys"][0]):
            refused(jwt.InvalidAlgorithmError, reader(algorithm), forged(header, claims_of(token), secret))


for algorithm in ALGORITHMS:

    @test(f"pyjwt refuses an unsigned token under {algorithm}")
    def _(algorithm=algorithm):
        _, token = countersign(algorithm)
        unsigned = forged(header_of(token) | {"alg": "none"}, claims_of(token))

        refused(jwt.InvalidAlgorithmError, reader(algorithm), unsigned)


@test("pyjwt refuses another kind of token of the same key")
def _():
    _, token = countersign("HS256")
    header = header_of(token) | {"typ": "JWT"}

    refused(jwt.InvalidTokenError, reader("HS256"), forged(header, claims_of(token), SECRET.encode()))
    header["typ"] = "at+jwt"
    assert reader("HS256")(forged(header, claims_of(token), SECRET.encode()))


@test("pyjwt refuses a token without one of its claims")
def _():
    _, token = countersign("HS256")
    for missing in ("iss", "sub", "aud", "exp", "iat", "jti"):
        claims = claims_of(token)
        del claims[missing]

        refused(jwt.MissingRequiredClaimError, reader("HS256"), forged(header_of(token), claims, SECRET.encode()))


def answer_of(application, authorization=None):
    """What a WSGI application answers: its status and its challenge."""
    seen = {}

    def start_response(status, headers):
        seen["status"] = status
        seen["headers"] = dict(headers)

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    body = json.loads(b"".join(application(environ, start_response)))
    return int(seen["status"].split()[0]), seen["headers"].get("WWW-Authenticate"), body


@test("the guarded address in Python lets the bearer of a token in and nobody else")
def _():
    server, token = countersign("ES256")
    application = guarded(reader("ES256"))

    status, _, body = answer_of(application, f"bearer {token}")

    assert (status, body) == (200, {"message": f"the notes of {server.account(token)}"})
    assert answer_of(application)[:2] == (401, "Bearer")
    assert answer_of(application, "Basic YTpi")[:2] == (401, "Bearer")
    for bad in ("", "x", tampered(token), f"{token}.{token}"):
        assert answer_of(application, f"Bearer {bad}")[:2] == (401, 'Bearer error="invalid_token"'), bad


@test("the guarded address in Python says so when it has no keys")
def _():
    _, token = countersign("ES256")
    # Nobody listens on port 1.
    application = guarded(verifier("http://127.0.0.1:1"))

    assert answer_of(application, f"Bearer {token}")[0] == 503


# Tokens of PyJWT, read by Countersign's verifier.


def jwk(algorithm):
    """A key that Countersign did not make, as it is published."""
    return published(algorithm) | {"kid": f"peer-{algorithm}", "use": "sig"}


def key(algorithm):
    """What signs."""
    return SECRET.encode() if algorithm in SYMMETRIC else private_key(algorithm)


@functools.cache
def service_of(algorithms):
    """The service that knows the keys of these algorithms."""
    return service({"keys": [jwk(algorithm) for algorithm in algorithms]}, ISSUER, AUDIENCE)


def verdict(algorithm, token):
    """What it says to a token."""
    status, body = ask(service_of(SYMMETRIC if algorithm in SYMMETRIC else ASYMMETRIC), token)
    return (status, body) if status == 200 else (status, body["code"])


def claims(**others):
    """What a token of Countersign says; `None` leaves a claim out."""
    now = int(time.time())
    usual = {
        "iss": ISSUER,
        "sub": str(uuid.uuid4()),
        "aud": AUDIENCE,
        "exp": now + 300,
        "nbf": now,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "sid": str(uuid.uuid4()),
        "auth_time": now,
        "amr": ["pwd"],
        "email": "ada@example.com",
        "email_verified": False,
    }
    return {name: value for name, value in (usual | others).items() if value is not None}


def headers(algorithm):
    return {"typ": "at+jwt", "kid": f"peer-{algorithm}"}


def minted(algorithm, **others):
    """A token of PyJWT."""
    return jwt.encode(claims(**others), key(algorithm), algorithm, headers(algorithm))


for algorithm in ALGORITHMS:

    @test(f"countersign accepts {algorithm} of pyjwt")
    def _(algorithm=algorithm):
        subject = str(uuid.uuid4())

        assert verdict(algorithm, minted(algorithm, sub=subject)) == (200, subject)

    @test(f"countersign refuses {algorithm} of pyjwt with other claims")
    def _(algorithm=algorithm):
        assert verdict(algorithm, tampered(minted(algorithm))) == (401, "token_invalid")

    @test(f"countersign refuses {algorithm} of pyjwt for another audience")
    def _(algorithm=algorithm):
        assert verdict(algorithm, minted(algorithm, aud=ISSUER)) == (401, "token_invalid")

    @test(f"countersign refuses {algorithm} of pyjwt that has expired")
    def _(algorithm=algorithm):
        past = int(time.time()) - 600
        expired = minted(algorithm, iat=past, nbf=past, exp=past + 300)

        assert verdict(algorithm, expired) == (401, "token_expired")


for algorithm in ASYMMETRIC:

    @test(f"countersign refuses HS256 by the public {algorithm} key of pyjwt")
    def _(algorithm=algorithm):
        header = headers(algorithm) | {"alg": "HS256"}

        for secret in as_secrets(private_key(algorithm).public_key(), jwk(algorithm)):
            assert verdict(algorithm, forged(header, claims(), secret)) == (401, "token_invalid")


for algorithm in ALGORITHMS:

    @test(f"countersign refuses an unsigned token of pyjwt under {algorithm}")
    def _(algorithm=algorithm):
        unsigned = jwt.encode(claims(), None, "none", headers(algorithm))

        assert verdict(algorithm, unsigned) == (401, "token_invalid")


@test("countersign refuses other kinds of tokens, keys and lives of pyjwt")
def _():
    now = int(time.time())
    for what, header, body in [
        ("typ JWT", {"typ": "JWT"}, {}),
        ("no typ", {"typ": None}, {}),
        ("another key's name", {"kid": "peer-ES384"}, {}),
        ("an unknown key's name", {"kid": "peer"}, {}),
        ("a key in the header", {"jwk": jwk("ES256")}, {}),
        ("longer than ours", {}, {"exp": now + 86_400}),
        ("only later", {}, {"nbf": now + 600}),
        ("issued later", {}, {"iat": now + 600}),
        ("another issuer", {}, {"iss": AUDIENCE}),
        ("no name of its own", {}, {"jti": None}),
        ("no account's id", {}, {"sub": "ada@example.com"}),
    ]:
        token = jwt.encode(claims(**body), key("ES256"), "ES256", headers("ES256") | header)

        assert verdict("ES256", token) == (401, "token_invalid"), what


for algorithm in SYMMETRIC:

    @test(f"a countersign with the same {algorithm} secret accepts pyjwt for a session that lives and no other")
    def _(algorithm=algorithm):
        server, token = countersign(algorithm)
        theirs = claims_of(token) | {"jti": str(uuid.uuid4())}
        elsewhere = theirs | {"sid": str(uuid.uuid4())}

        def status(body):
            token_of_pyjwt = jwt.encode(body, SECRET.encode(), algorithm, header_of(token))
            return ask(f"{server.origin}/protected", token_of_pyjwt)[0]

        assert status(theirs) == 200
        assert status(elsewhere) == 401


run()
