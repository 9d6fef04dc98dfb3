"""A Flask application that accepts the access tokens of a Countersign, by flask-jwt-extended, and a
Countersign those of the application.

Beside a `countersign serve` on port 3000, which signs by ES256 unless it was told otherwise:

    pip install flask-jwt-extended 'pyjwt[crypto]'
    JWT_ALGORITHM=ES256 COUNTERSIGN=http://127.0.0.1:3000 python app.py
    curl http://127.0.0.1:4003/notes -H "Authorization: Bearer $TOKEN"

With one secret for both sides each accepts what the other issues, so that an application can move
over route by route:

    export COUNTERSIGN_TOKEN__ALGORITHM=HS256 COUNTERSIGN_TOKEN__SECRET="$(openssl rand -base64 48)"
    COUNTERSIGN_TOKEN__PROFILE=flask-jwt-extended countersign serve
    JWT_SECRET_KEY="$COUNTERSIGN_TOKEN__SECRET" python app.py

With `users` the application goes on signing people in itself. A Rust service accepts what it issues
by `countersign::token::Verifier::flask`.
"""

import os
import sys

import jwt
from flask import Flask, jsonify, request
from flask_jwt_extended import (
    JWTManager, create_access_token, create_refresh_token, get_jwt_identity, jwt_required,
)
from werkzeug.security import check_password_hash, generate_password_hash

# An unknown address costs what a wrong password costs.
NOBODY = (None, generate_password_hash("nobody's"))


def create_app(users=None, countersign=None, audience=None, **config):
    """The application, with flask-jwt-extended's own options.

    `countersign` is the issuer whose tokens are accepted, for the audience that is ours where it is
    not the same. With `users`, which has for each address the account's id and the hash of its
    password, the application signs people in itself.
    """
    app = Flask(__name__)
    app.config.from_mapping(config)
    manager = JWTManager(app)
    if countersign is not None:
        accept(app, manager, countersign, audience or countersign)
    if users is not None:
        sign_in(app, users)

    @app.get("/notes")
    @jwt_required()
    def notes():
        return jsonify(message=f"the notes of {get_jwt_identity()}")

    @app.delete("/notes")
    @jwt_required(fresh=True)
    def delete_notes():
        return "", 204

    return app


def sign_in(app, users):
    """Issues tokens of our own."""

    @app.post("/login")
    def login():
        body = request.get_json()
        if not isinstance(body, dict):
            return jsonify(msg="An object is expected"), 400
        email, password = str(body.get("email")), str(body.get("password"))
        account, hashed = users.get(email, NOBODY)
        if not check_password_hash(hashed, password) or account is None:
            return jsonify(msg="Wrong address or password"), 401
        # The account's id, never the address, which may change hands.
        return jsonify(
            access_token=create_access_token(identity=account, fresh=True),
            refresh_token=create_refresh_token(identity=account),
        )

    @app.post("/refresh")
    @jwt_required(refresh=True)
    def refresh():
        return jsonify(access_token=create_access_token(identity=get_jwt_identity()))


def accept(app, manager, issuer, audience):
    """Accepts what a Countersign issued, by its public keys, or by the secret under HS256, HS384 and
    HS512."""
    app.config["JWT_DECODE_ISSUER"] = issuer
    app.config["JWT_DECODE_AUDIENCE"] = audience
    if app.config["JWT_SECRET_KEY"] is None:
        # Kept for five minutes. A key that is not among them is asked for at once, but at most every
        # 30 seconds: anybody can invent a `kid`.
        keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json", lifespan=300, timeout=5)

        @manager.decode_key_loader
        def key(header, _):
            return keys.get_signing_key(header.get("kid"))

    @manager.token_verification_loader
    def is_access_token(header, _):
        # flask-jwt-extended leaves `typ` to us. Without this any token of the same key would do.
        return str(header.get("typ")).lower().removeprefix("application/") == "at+jwt"

    # What it does not know of by itself: keys that are unknown, and keys that cannot be had.
    @app.errorhandler(jwt.PyJWKClientError)
    def unknown_key(_):
        return jsonify(msg="Unknown key"), 401

    @app.errorhandler(jwt.PyJWKClientConnectionError)
    def no_keys(_):
        return jsonify(msg="The keys cannot be had"), 503, {"Retry-After": "2"}


if __name__ == "__main__":
    names = ["JWT_ALGORITHM", "JWT_SECRET_KEY"]
    settings = {name: os.environ[name] for name in names if name in os.environ}
    issuer = os.environ.get("COUNTERSIGN")
    if issuer is None and "JWT_SECRET_KEY" not in settings:
        sys.exit("COUNTERSIGN must say whose tokens to accept, or JWT_SECRET_KEY be the secret of both")
    create_app(countersign=issuer, **settings).run("127.0.0.1", 4003)
