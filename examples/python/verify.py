"""A Python service that accepts the access tokens of a Countersign, by PyJWT.

Beside a `countersign serve` on port 3000, which signs by ES256 unless it was told otherwise:

    pip install 'pyjwt[crypto]'
    python verify.py http://127.0.0.1:3000
    curl http://127.0.0.1:4001/ -H "Authorization: Bearer $TOKEN"
"""

import json
import sys
from wsgiref.simple_server import make_server

import jwt

# A claim that may be absent would be a check that may be skipped.
REQUIRED = ["iss", "sub", "aud", "exp", "iat", "jti"]


def verifier(issuer, *, audience=None, algorithms=("ES256",), jwks_url=None, secret=None, leeway=10):
    """Returns a function from a token to its claims, which raises `jwt.PyJWTError` for a bad one.

    `secret` is for HS256, HS384 and HS512, where there are no public keys.
    """
    keys = None
    if secret is None:
        # The set is kept for five minutes, as its Cache-Control says. A key that is not in it is
        # asked for at once, but at most every 30 seconds: anybody can invent a `kid`.
        keys = jwt.PyJWKClient(jwks_url or f"{issuer}/.well-known/jwks.json", lifespan=300, timeout=5)

    def verify(token):
        key = secret if keys is None else keys.get_signing_key_from_jwt(token)
        decoded = jwt.decode_complete(
            token,
            key,
            # Never what the token says: it would choose how it is checked.
            algorithms=list(algorithms),
            issuer=issuer,
            audience=audience or issuer,
            leeway=leeway,
            options={"require": REQUIRED},
        )
        # PyJWT leaves `typ` to us. Without this any token of the same key would be an access token.
        if str(decoded["header"].get("typ")).lower().removeprefix("application/") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
        return decoded["payload"]

    return verify


def guarded(verify):
    """A WSGI application behind such a function; any WSGI server can run it."""

    def application(environ, start_response):
        def answer(status, body, *headers):
            start_response(status, [("Content-Type", "application/json"), *headers])
            return [json.dumps(body).encode()]

        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return answer("401 Unauthorized", {"error": "no token"}, ("WWW-Authenticate", "Bearer"))
        try:
            claims = verify(token.strip())
        except jwt.PyJWKClientConnectionError:
            # Nobody can say whether the token is good, so it is not; but it need not be bad either.
            return answer("503 Service Unavailable", {"error": "no keys"}, ("Retry-After", "2"))
        except jwt.PyJWTError:
            challenge = ("WWW-Authenticate", 'Bearer error="invalid_token"')
            return answer("401 Unauthorized", {"error": "bad token"}, challenge)
        # `sub` is the account's id, and stays when the address changes.
        return answer("200 OK", {"message": f"the notes of {claims['sub']}"})

    return application


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: verify.py ISSUER")
    with make_server("127.0.0.1", 4001, guarded(verifier(sys.argv[1]))) as server:
        print("listening on http://127.0.0.1:4001/")
        server.serve_forever()
