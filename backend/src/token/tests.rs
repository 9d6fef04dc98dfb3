//! The layer as a whole: what is issued is what is read, in every profile, and the examples of the
//! standards.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{jws::Jws, *};

const NOW: i64 = 1_795_530_712;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://auth.example.com";
const AUDIENCE: &str = "https://api.example.com";

fn signing() -> SigningKey {
    SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap()
}

fn verifying() -> PublicKeys {
    PublicKeys::new([signing().verifying_key().unwrap()]).unwrap()
}

fn ours() -> (Signer, Verifier) {
    (
        Signer::new(signing(), ISSUER, AUDIENCE),
        Verifier::new(verifying(), ISSUER, AUDIENCE),
    )
}

fn issued(signer: &Signer, subject: &Subject, grant: &Grant) -> String {
    let token = signer.sign(subject, grant, Uuid::from_u128(2), NOW);
    token.unwrap().expose().to_owned()
}

/// A token with any header and claims, rightly signed.
fn written(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = signing().sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn verdict(verifier: &Verifier, token: &str) -> Result<(), Rejection> {
    verifier.verify(token, NOW).map(drop)
}

#[test]
fn grant_says_what_the_token_says() {
    let (signer, verifier) = ours();
    let grant = Grant::new()
        .lifetime(Duration::from_mins(1))
        .scopes(["notes:read", "notes:write"])
        .roles(["owner"])
        .claim("tenant", 7)
        .unwrap()
        .header("region", "eu")
        .unwrap();

    let token = issued(&signer, &Subject::new(Uuid::from_u128(1)), &grant);

    let token = verifier.verify(&token, NOW).unwrap();
    assert_eq!(token.exp(), NOW + 60);
    assert_eq!(token.header()["region"], "eu");
    assert!(token.scope().contains("notes:write") && !token.scope().contains("notes"));
    assert_eq!(token.roles(), ["owner"]);
    let all: Map<String, Value> = token.custom().unwrap();
    assert_eq!(all["scope"], "notes:read notes:write");
    assert_eq!(all["tenant"], 7);
}

#[test]
fn grant_may_name_another_audience_which_is_then_the_only_one() {
    let (signer, verifier) = ours();
    let elsewhere = Verifier::new(verifying(), ISSUER, "https://other.example");
    let grant = Grant::new().audience("https://other.example");

    let token = issued(&signer, &Subject::new(7), &grant);

    assert_eq!(verdict(&verifier, &token), Err(Rejection::WrongAudience));
    assert_eq!(verdict(&elsewhere, &token), Ok(()));
}

#[test]
fn claims_and_header_members_of_ours_cannot_be_granted() {
    for name in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "sid",
        "auth_time",
        "amr",
        "email",
        "email_verified",
        "roles",
        "scope",
        "csrf",
        "type",
        "fresh",
    ] {
        assert!(
            matches!(Grant::new().claim(name, "x"), Err(SignError::Reserved(_))),
            "{name}"
        );
        let object = json!({ name: "x" });
        assert!(matches!(
            Grant::new().claims(object),
            Err(SignError::Reserved(_))
        ));
    }
    for name in [
        "alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t#S256", "zip",
    ] {
        assert!(
            matches!(Grant::new().header(name, "x"), Err(SignError::Reserved(_))),
            "{name}"
        );
    }
    assert!(matches!(
        Grant::new().claims("no object"),
        Err(SignError::NoObject)
    ));
}

#[test]
fn later_grant_wins_and_lists_add_up() {
    let (signer, verifier) = ours();
    let usual = Grant::new()
        .lifetime(Duration::from_mins(10))
        .scopes(["a"])
        .claim("plan", "usual")
        .unwrap();
    let call = Grant::new()
        .scopes(["b"])
        .claim("plan", "of the call")
        .unwrap();

    let token = issued(&signer, &Subject::new(7), &usual.and(call));

    let token = verifier.verify(&token, NOW).unwrap();
    assert_eq!(token.exp(), NOW + 600);
    assert_eq!(token.scope().0, ["a", "b"]);
    assert_eq!(token.custom::<Value>().unwrap()["plan"], "of the call");
}

#[test]
fn secret_from_a_manual_is_no_key() {
    for secret in [
        "super-secret-key-super-secret-key",
        "your-256-bit-secret-your-256-bit-secret",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let refused = SigningKey::from_secret(Algorithm::Hs256, secret.as_bytes()).unwrap_err();
        assert_eq!(refused, KeyError::SecretKnown, "{secret}");
        let refused = VerifyingKey::from_secret(Algorithm::Hs256, secret.as_bytes()).unwrap_err();
        assert_eq!(refused, KeyError::SecretKnown, "{secret}");
    }
}

#[test]
fn scope_that_would_be_read_as_two_is_not_issued() {
    let (signer, _) = ours();
    for scope in ["notes admin", "", "a\"b", "a\\b", "ä", "a\n"] {
        let grant = Grant::new().scopes(["notes", scope]);
        let refused = signer.sign(&Subject::new(7), &grant, Uuid::from_u128(2), NOW);
        assert!(matches!(refused, Err(SignError::Scope(_))), "{scope}");
    }
}

#[test]
fn token_that_nobody_would_read_is_not_issued() {
    let (signer, _) = ours();
    let grant = Grant::new()
        .claim("all", "a".repeat(MAX_TOKEN_BYTES))
        .unwrap();

    let refused = signer.sign(&Subject::new(7), &grant, Uuid::from_u128(2), NOW);
    assert!(matches!(refused, Err(SignError::TooLong(_))));
}

#[test]
fn key_may_depend_on_whom_a_token_is_for_and_on_what_it_says() {
    let other = PrivateKey::generate(Algorithm::EdDsa)
        .unwrap()
        .signing_key()
        .unwrap();
    let (signs, public) = (other.clone(), other.verifying_key().unwrap());
    let signing_keys = SigningKeys::ask(move |subject| match &*subject.id {
        "ada" => Some(signing()),
        "eve" => Some(signs.clone()),
        _ => None,
    });
    let keys = KeySource::ask(move |token| match token.claims["sub"].as_str() {
        Some("ada") => verifying().iter().next().cloned(),
        Some("eve") => Some(public.clone()),
        _ => None,
    });
    let signer = Signer::new(signing_keys, ISSUER, AUDIENCE);
    let verifier = Verifier::new(keys, ISSUER, AUDIENCE);
    let token = |name: &str| issued(&signer, &Subject::new(name), &Grant::new());

    for name in ["ada", "eve"] {
        assert_eq!(verdict(&verifier, &token(name)), Ok(()), "{name}");
    }
    let nobody = signer.sign(&Subject::new("bob"), &Grant::new(), Uuid::from_u128(2), NOW);
    assert!(matches!(nobody, Err(SignError::NoKey)));
    // What is asked for is still one algorithm's: eve's claims under ada's key are nobody's.
    let (_, forged) = (
        token("eve"),
        written(
            &json!({ "alg": "HS256", "typ": "at+jwt", "kid": other.kid() }),
            &json!({ "sub": "eve" }),
        ),
    );
    assert_eq!(verdict(&verifier, &forged), Err(Rejection::WrongAlgorithm));
}

#[test]
fn replaced_keys_hold_from_the_next_token_on() {
    let (old, new) = (signing(), PrivateKey::generate(Algorithm::Es256).unwrap());
    let new = new.signing_key().unwrap();
    let signing_keys = SigningKeys::from(old.clone());
    let keys = SharedKeys::new(verifying());
    let signer = Signer::new(signing_keys.clone(), ISSUER, AUDIENCE);
    let verifier = Verifier::new(keys.clone(), ISSUER, AUDIENCE);
    let subject = Subject::new(7);
    let before = issued(&signer, &subject, &Grant::new());

    signing_keys.replace(new.clone());
    keys.replace(PublicKeys::new([new.verifying_key().unwrap()]).unwrap());

    let after = issued(&signer, &subject, &Grant::new());
    assert_eq!(verdict(&verifier, &before), Err(Rejection::UnknownKey));
    assert_eq!(verdict(&verifier, &after), Ok(()));
}

/// Claims as flask-jwt-extended writes them.
fn flask_claims() -> Value {
    json!({
        "fresh": false, "iat": NOW, "jti": "8e2b6a8c-9d0f-4b6f-8c58-4b1f0a5b9c11", "type": "access",
        "sub": "7", "nbf": NOW, "csrf": "4c5f", "exp": NOW + 900,
    })
}

fn flask_token(changes: &Value) -> String {
    let mut claims = flask_claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    written(&json!({ "alg": "HS256", "typ": "JWT" }), &claims)
}

#[test]
fn flask_token_needs_no_name_of_its_key_and_no_audience() {
    let verifier = Verifier::flask(verifying());

    assert_eq!(verdict(&verifier, &flask_token(&json!({}))), Ok(()));
    for (changes, why) in [
        (json!({ "type": "refresh" }), Rejection::WrongType),
        (
            json!({ "exp": NOW - 11, "iat": NOW - 900 }),
            Rejection::Expired,
        ),
        (json!({ "nbf": NOW + 11 }), Rejection::NotYetValid),
        (json!({ "sub": 7 }), Rejection::SubjectNotText),
        (json!({ "fresh": "yes" }), Rejection::MalformedClaims),
        (json!({ "exp": NOW + 86_401 }), Rejection::LivesTooLong),
    ] {
        assert_eq!(
            verdict(&verifier, &flask_token(&changes)),
            Err(why),
            "{changes}"
        );
    }
    // Its own profile asks for more, and neither takes the other's tokens.
    let (signer, ours) = ours();
    assert_eq!(
        verdict(&ours, &flask_token(&json!({}))),
        Err(Rejection::WrongType)
    );
    let at_jwt = issued(&signer, &Subject::new(7), &Grant::new());
    assert_eq!(verdict(&verifier, &at_jwt), Err(Rejection::WrongType));
}

#[test]
fn flask_token_is_fresh_as_it_says() {
    let verifier = Verifier::flask(verifying());
    let is_fresh = |fresh: Value, later: i64| {
        let token = flask_token(&json!({ "fresh": fresh }));
        let token = verifier.verify(&token, NOW).unwrap();
        token.is_fresh(NOW + later, Duration::ZERO)
    };

    assert!(is_fresh(json!(true), 800) && !is_fresh(json!(false), 0));
    assert!(is_fresh(json!(NOW + 60), 59) && !is_fresh(json!(NOW + 60), 60));
    assert!(is_fresh(json!(60.5 + 1_795_530_712_f64), 59));
}

#[test]
fn token_for_flask_says_what_flask_reads() {
    let signer = Signer::flask(signing()).fresh_for(Duration::from_mins(5));
    let subject = Subject::new("7").authenticated(NOW - 60, ["pwd"]);

    let token = issued(&signer, &subject, &Grant::new());

    let token = Unverified::read(&token).unwrap();
    assert_eq!(token.header["typ"], "JWT");
    let mut claims = Value::Object(token.claims);
    assert_eq!(claims["fresh"], NOW - 60 + 300);
    claims
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name != "jti");
    assert_eq!(
        claims,
        json!({
            "amr": ["pwd"], "auth_time": NOW - 60, "exp": NOW + 900, "fresh": NOW + 240,
            "iat": NOW, "nbf": NOW, "sub": "7", "type": "access",
        })
    );
}

#[test]
fn token_of_another_issuer_needs_issuer_audience_and_time_and_no_more() {
    let verifier = Verifier::jwt(verifying(), "https://idp.example", AUDIENCE);
    let claims = json!({
        "iss": "https://idp.example", "sub": "auth0|123", "aud": [AUDIENCE, "other"],
        "exp": NOW + 3600, "scope": ["read", "write"],
    });
    let with = |typ: Option<&str>, changes: Value| {
        let mut header = json!({ "alg": "HS256" });
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        let mut claims = claims.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        written(&header, &claims)
    };

    for typ in [
        None,
        Some("JWT"),
        Some("jwt"),
        Some("at+jwt"),
        Some("application/at+jwt"),
    ] {
        assert_eq!(verdict(&verifier, &with(typ, json!({}))), Ok(()), "{typ:?}");
    }
    for typ in ["dpop+jwt", "logout+jwt", "secevent+jwt", ""] {
        let token = with(Some(typ), json!({}));
        assert_eq!(
            verdict(&verifier, &token),
            Err(Rejection::WrongType),
            "{typ}"
        );
    }
    for (changes, why) in [
        (json!({ "aud": "other" }), Rejection::WrongAudience),
        (
            json!({ "iss": "https://idp.example/" }),
            Rejection::WrongIssuer,
        ),
        (json!({ "exp": NOW - 10 }), Rejection::Expired),
        (json!({ "exp": NOW + 86_401 }), Rejection::LivesTooLong),
    ] {
        assert_eq!(verdict(&verifier, &with(None, changes)), Err(why));
    }
    let token = verifier.verify(&with(None, json!({})), NOW).unwrap();
    let claims: AnyClaims = AnyClaims::read(&token).unwrap();
    assert_eq!(claims.sub, "auth0|123");
    assert_eq!(claims.scope.0, ["read", "write"]);
    // It is no account of ours.
    assert_eq!(
        <Claims>::read(&token).unwrap_err(),
        Rejection::MalformedClaims
    );
}

/// Whether a JWS of a standard's example is good under its key, and stops being so with any other
/// last character but one.
fn example(jwk: Value, token: &str) {
    let key = VerifyingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();
    let verify = |text: &str| Jws::parse(text).and_then(|jws| jws.verify(&key));

    assert!(verify(token).is_ok());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let swapped = if signature.starts_with('A') { 'B' } else { 'A' };
    assert!(verify(&format!("{head}.{swapped}{}", &signature[1..])).is_err());
}

#[test]
fn example_a_1_of_rfc_7515_verifies() {
    example(
        json!({
            "kty": "oct", "alg": "HS256",
            "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        }),
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
         .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
         .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
}

#[test]
fn example_a_2_of_rfc_7515_verifies() {
    example(
        json!({
            "kty": "RSA", "alg": "RS256", "e": "AQAB",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        }),
        "eyJhbGciOiJSUzI1NiJ9\
         .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
         .cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
}

#[test]
fn example_a_3_of_rfc_7515_verifies() {
    example(
        json!({
            "kty": "EC", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }),
        "eyJhbGciOiJFUzI1NiJ9\
         .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
         .DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
}

#[test]
fn example_a_4_of_rfc_8037_verifies() {
    example(
        json!({
            "kty": "OKP", "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }),
        "eyJhbGciOiJFZERTQSJ9\
         .RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc\
         .hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
}

#[test]
fn thumbprint_of_rfc_8037_is_the_name_of_the_key() {
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let key = VerifyingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();

    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn unsecured_example_of_rfc_7515_is_refused() {
    // A.5: `alg` is `none`.
    let token = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.";
    for verifier in [
        Verifier::jwt(verifying(), "joe", AUDIENCE),
        Verifier::flask(verifying()),
        Verifier::new(verifying(), "joe", AUDIENCE),
    ] {
        assert!(verifier.verify(token, NOW).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_issued_is_read_as_it_was_meant(
        sub in "\\PC{1,40}",
        scopes in prop::collection::vec("[!#-\\[\\]-~]{1,10}", 0..5),
        roles in prop::collection::vec("\\PC{1,10}", 0..5),
        value in "\\PC{0,40}",
        life in 1_u64..86_400,
        is_flask in any::<bool>(),
    ) {
        let (signer, verifier) = if is_flask {
            (Signer::flask(signing()), Verifier::flask(verifying()))
        } else {
            ours()
        };
        let grant = Grant::new()
            .lifetime(Duration::from_secs(life))
            .scopes(scopes.clone())
            .roles(roles.clone())
            .claim("own", &value)
            .unwrap();

        let token = issued(&signer, &Subject::new(&sub), &grant);

        let token = verifier.verify(&token, NOW).unwrap();
        prop_assert_eq!(token.sub(), sub);
        prop_assert_eq!(&token.scope().0, &scopes);
        prop_assert_eq!(token.roles(), roles);
        prop_assert_eq!(&token.custom::<Value>().unwrap()["own"], &json!(value));
        prop_assert_eq!(token.exp(), NOW + i64::try_from(life).unwrap());
    }

    #[test]
    fn whatever_is_altered_by_one_bit_is_refused_in_every_profile(
        position in 0_usize..4000, bit in 0_u8..7, is_flask in any::<bool>(),
    ) {
        let (signer, verifier) = if is_flask {
            (Signer::flask(signing()), Verifier::flask(verifying()))
        } else {
            ours()
        };
        let token = issued(&signer, &Subject::new(7), &Grant::new());
        let mut bytes = token.into_bytes();
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(verifier.verify(&text, NOW).is_err());
        }
    }
}
