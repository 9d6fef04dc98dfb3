use super::*;

macro_rules! testdata {
    ($name:literal) => {
        include_str!(concat!("../testdata/", $name))
    };
}

fn refused(algorithm: Algorithm, text: &str) -> KeyError {
    PrivateKey::parse(algorithm, text).unwrap_err()
}

fn public_refused(algorithm: Algorithm, text: &str) -> KeyError {
    VerifyingKey::from_pem(algorithm, text).unwrap_err()
}

fn kid(algorithm: Algorithm, text: &str) -> String {
    let key = PrivateKey::parse(algorithm, text).unwrap();
    key.signing_key().unwrap().kid().to_owned()
}

#[test]
fn one_key_has_one_name_in_every_form() {
    for (algorithm, private, public) in [
        (
            Algorithm::Es256,
            &[
                testdata!("p256.pem"),
                testdata!("p256.sec1.pem"),
                testdata!("p256.jwk"),
            ] as &[_],
            &[testdata!("p256.pub.pem")] as &[_],
        ),
        (
            Algorithm::Es384,
            &[
                testdata!("p384.pem"),
                testdata!("p384.sec1.pem"),
                testdata!("p384.jwk"),
            ],
            &[testdata!("p384.pub.pem")],
        ),
        (
            Algorithm::EdDsa,
            &[testdata!("ed25519.pem")],
            &[testdata!("ed25519.pub.pem")],
        ),
        (
            Algorithm::Rs256,
            &[
                testdata!("rsa2048.pem"),
                testdata!("rsa2048.pkcs1.pem"),
                testdata!("rsa2048.jwk"),
            ],
            &[
                testdata!("rsa2048.pub.pem"),
                testdata!("rsa2048.pkcs1.pub.pem"),
            ],
        ),
    ] {
        let name = kid(algorithm, private[0]);
        for text in private {
            assert_eq!(kid(algorithm, text), name, "{algorithm}");
        }
        for text in public {
            let key = VerifyingKey::from_pem(algorithm, text).unwrap();
            assert_eq!(key.kid(), name, "{algorithm}");
        }
    }
}

#[test]
fn key_that_was_imported_signs_what_its_public_half_verifies() {
    for (algorithm, private, public) in [
        (
            Algorithm::Es256,
            testdata!("p256.jwk"),
            testdata!("p256.pub.pem"),
        ),
        (
            Algorithm::EdDsa,
            testdata!("ed25519.pem"),
            testdata!("ed25519.pub.pem"),
        ),
        (
            Algorithm::Ps512,
            testdata!("rsa2048.pkcs1.pem"),
            testdata!("rsa2048.pub.pem"),
        ),
    ] {
        let key = PrivateKey::parse(algorithm, private).unwrap();
        let signer = super::super::Signer::new(key.signing_key().unwrap(), "issuer", "audience");
        let subject = super::super::Subject::new(1).authenticated(1, ["pwd"]);
        let token = signer
            .sign(
                &subject,
                &super::super::Grant::new(),
                uuid::Uuid::from_u128(1),
                1,
            )
            .unwrap();

        let public = VerifyingKey::from_pem(algorithm, public).unwrap();

        let jws = super::super::jws::Jws::parse(token.expose()).unwrap();
        assert!(jws.verify(&public).is_ok(), "{algorithm}");
    }
}

#[test]
fn every_wrong_private_key_says_what_it_is() {
    let es256 = |text| refused(Algorithm::Es256, text);
    assert_eq!(es256(""), KeyError::Empty);
    assert_eq!(es256("hello"), KeyError::NotPem);
    assert_eq!(es256("{}"), KeyError::NotJwk);
    assert_eq!(es256("{"), KeyError::NotJwk);
    assert_eq!(es256(r#"{"keys":[]}"#), KeyError::SetGiven);
    assert_eq!(es256(testdata!("p256.pub.pem")), KeyError::PublicGiven);
    assert_eq!(es256(testdata!("certificate.pem")), KeyError::PublicGiven);
    assert_eq!(es256(testdata!("encrypted.pem")), KeyError::Encrypted);
    assert_eq!(es256(testdata!("encrypted.sec1.pem")), KeyError::Encrypted);
    let both = concat!(testdata!("p256.pem"), testdata!("certificate.pem"));
    assert_eq!(es256(both), KeyError::SeveralKeys);
    let ssh = testdata!("p256.pem").replace("PRIVATE", "OPENSSH PRIVATE");
    assert_eq!(es256(&ssh), KeyError::UnknownPem);
    let damaged = testdata!("p256.pem").replace("MIGHAgEAMBMG", "MIGHAgEAMBMH");
    assert_eq!(es256(&damaged), KeyError::Malformed);
    for short in [testdata!("rsa1024.pem"), testdata!("rsa1024.pkcs1.pem")] {
        assert_eq!(
            refused(Algorithm::Rs256, short),
            KeyError::RsaTooShort { bits: 1024 }
        );
    }
}

#[test]
fn key_of_the_wrong_kind_names_both() {
    let said = |algorithm, text: &str| refused(algorithm, text).to_string();
    for (algorithm, text, sentence) in [
        (
            Algorithm::Es256,
            testdata!("rsa2048.pem"),
            "ES256 needs an EC key on P-256, and this is an RSA key",
        ),
        (
            Algorithm::Es256,
            testdata!("p384.sec1.pem"),
            "ES256 needs an EC key on P-256, and this is an EC key on P-384",
        ),
        (
            Algorithm::Es384,
            testdata!("p521.pem"),
            "ES384 needs an EC key on P-384, and this is an EC key on P-521",
        ),
        (
            Algorithm::EdDsa,
            testdata!("p256.jwk"),
            "EdDSA needs an Ed25519 key, and this is an EC key on P-256",
        ),
        (
            Algorithm::Es256,
            testdata!("rsa2048.pkcs1.pem"),
            "ES256 needs an EC key on P-256, and this is an RSA key",
        ),
        (
            Algorithm::Hs256,
            testdata!("ed25519.pem"),
            "HS256 needs a secret, and this is an Ed25519 key",
        ),
        (
            Algorithm::Ps256,
            testdata!("rsa2048.jwk"),
            "the key is for RS256 by its `alg`, and PS256 is wanted",
        ),
    ] {
        assert_eq!(said(algorithm, text), sentence);
    }
    let public = public_refused(Algorithm::Rs256, testdata!("ed25519.pub.pem"));
    assert_eq!(
        public.to_string(),
        "RS256 needs an RSA key, and this is an Ed25519 key"
    );
}

#[test]
fn every_wrong_public_key_says_what_it_is() {
    let es256 = |text| public_refused(Algorithm::Es256, text);
    assert_eq!(es256(""), KeyError::Empty);
    assert_eq!(es256("hello"), KeyError::NotPem);
    assert_eq!(es256(testdata!("p256.pem")), KeyError::PrivateGiven);
    assert_eq!(es256(testdata!("p256.sec1.pem")), KeyError::PrivateGiven);
    assert_eq!(es256(testdata!("certificate.pem")), KeyError::Certificate);
    let short = public_refused(Algorithm::Rs256, testdata!("rsa1024.pub.pem"));
    assert_eq!(short, KeyError::RsaTooShort { bits: 1024 });
}

#[test]
fn point_that_is_not_on_the_curve_is_no_key() {
    let der = Pem::parse(testdata!("p256.pub.pem")).unwrap().der;
    let mut moved = der.to_vec();
    *moved.last_mut().unwrap() ^= 1;
    let text = base64::engine::general_purpose::STANDARD.encode(&moved);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----");

    assert_eq!(public_refused(Algorithm::Es256, &pem), KeyError::Malformed);
}

#[test]
fn private_jwk_whose_halves_do_not_fit_is_no_key() {
    let mut jwk: Value = serde_json::from_str(testdata!("p256.jwk")).unwrap();
    let other: Value = serde_json::from_str(testdata!("rsa2048.jwk")).unwrap();

    jwk["d"] = json!(URL_SAFE_NO_PAD.encode([7; 32]));
    assert_eq!(
        refused(Algorithm::Es256, &jwk.to_string()),
        KeyError::Malformed
    );
    jwk.as_object_mut().unwrap().remove("d");
    assert_eq!(
        refused(Algorithm::Es256, &jwk.to_string()),
        KeyError::PublicGiven
    );
    let mut without = other;
    without.as_object_mut().unwrap().remove("qi");
    assert_eq!(
        refused(Algorithm::Rs256, &without.to_string()),
        KeyError::NotJwk
    );
}

#[test]
fn imported_public_key_is_published_with_name_use_and_algorithm() {
    let key = VerifyingKey::from_pem(Algorithm::Ps256, testdata!("rsa2048.pub.pem")).unwrap();

    let published = serde_json::to_value(key.jwk()).unwrap();

    assert_eq!(published["kid"], key.kid());
    assert_eq!(
        (&published["use"], &published["alg"]),
        (&json!("sig"), &json!("PS256"))
    );
}

fn public_jwk() -> Value {
    let key = VerifyingKey::from_pem(Algorithm::Es256, testdata!("p256.pub.pem")).unwrap();
    serde_json::to_value(key.jwk()).unwrap()
}

fn set(keys: &[Value]) -> Result<PublicKeys, String> {
    PublicKeys::parse(&json!({ "keys": keys }).to_string()).map_err(|error| error.to_string())
}

#[test]
fn set_of_another_server_gives_the_keys_that_verify() {
    let keys = set(&[
        json!({ "kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
        public_jwk(),
    ])
    .unwrap();

    assert_eq!(keys.iter().count(), 1);
    assert!(keys.get(public_jwk()["kid"].as_str().unwrap()).is_some());
}

#[test]
fn set_is_refused_with_the_key_that_is_wrong() {
    let with = |member: &str, value: Value| {
        let mut jwk = public_jwk();
        jwk["kid"] = json!("theirs");
        jwk[member] = value;
        set(&[jwk]).unwrap_err()
    };
    assert!(with("d", json!("AA")).starts_with("the key `theirs`: this is a private key"));
    assert!(with("kty", json!("oct")).starts_with("the key `theirs`: secrets and public keys"));
    assert_eq!(
        with("x", json!(null)),
        "the key `theirs`: not a key as JWK (RFC 7517): its JSON is malformed, or a member is missing"
    );
    let bare = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
    assert!(
        set(&[bare])
            .unwrap_err()
            .contains("an RSA key needs an `alg`")
    );
    let short = json!({ "kty": "RSA", "alg": "RS256", "n": URL_SAFE_NO_PAD.encode([255; 128]), "e": "AQAB" });
    assert!(
        set(&[public_jwk(), short])
            .unwrap_err()
            .starts_with("the key at place 2: the RSA key has 1024 bits")
    );
    assert_eq!(
        set(&[public_jwk(), public_jwk()]).unwrap_err(),
        "two keys have the same `kid`"
    );
    assert_eq!(set(&[]).unwrap_err(), JwksError::Empty.to_string());
    for text in ["", "[]", "{}", testdata!("p256.pub.pem")] {
        assert_eq!(PublicKeys::parse(text).unwrap_err(), JwksError::Malformed);
    }
    let long = " ".repeat(MAX_JWKS_BYTES + 1);
    assert_eq!(PublicKeys::parse(&long).unwrap_err(), JwksError::TooLong);
}

#[test]
fn key_of_a_set_may_call_its_algorithm_by_the_full_name() {
    let set = |alg: &str| {
        format!(
            r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"old","alg":"{alg}",
                "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#
        )
    };

    let keys = PublicKeys::parse(&set("Ed25519")).unwrap();

    assert_eq!(keys.get("old").unwrap().algorithm(), Algorithm::EdDsa);
    assert_eq!(
        PublicKeys::parse(&set("Ed448")).unwrap_err(),
        JwksError::Empty
    );
}
