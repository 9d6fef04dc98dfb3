//! Verifying access tokens.

use std::time::Duration;

use super::{ACCESS_TOKEN_TYPE, Claims, PublicKeys, jws::Jws};

/// Accepts access tokens of one issuer for one audience, signed by one of some keys.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// The keys that may verify.
    pub keys: PublicKeys,
    /// The `iss` that is accepted.
    pub issuer: String,
    /// The `aud` that is accepted.
    pub audience: String,
    /// How far the clocks of issuer and verifier may be apart.
    pub leeway: Duration,
    /// The longest life of a token. A genuine one that lives longer was made under another
    /// configuration, or by somebody who got hold of a key.
    pub access_ttl: Duration,
}

/// Why a token is not accepted.
///
/// Nothing but [`Rejection::Expired`] is told apart on the wire, and that only after a good
/// signature: whoever cannot sign learns nothing from the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Longer than [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES).
    #[error("the token is too long")]
    TooLong,
    /// Not three segments of base64url with a JSON object each, or a header that we never write.
    #[error("the token is malformed")]
    Malformed,
    /// Not `at+jwt`: some other kind of token.
    #[error("the token is not an access token")]
    WrongType,
    /// Signed by nobody we know.
    #[error("the token names no key of ours")]
    UnknownKey,
    /// The signature does not fit, or its algorithm is not the key's.
    #[error("the signature does not fit")]
    BadSignature,
    /// A claim is missing or has the wrong type.
    #[error("a claim is missing or malformed")]
    MalformedClaims,
    /// Issued by somebody else.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// Issued for somebody else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// Holds only later, or was issued in the future.
    #[error("the token is not yet valid")]
    NotYetValid,
    /// Lives longer than any token that is issued here.
    #[error("the token lives longer than ours do")]
    LivesTooLong,
    /// Genuine, but its time is over.
    #[error("the token has expired")]
    Expired,
}

impl Verifier {
    /// The claims of a token that is genuine and holds `now` (seconds since 1970). Whether its
    /// session still lives is not asked here.
    ///
    /// # Errors
    ///
    /// [`Rejection`] says why not.
    pub fn verify(&self, token: &str, now: i64) -> Result<Claims, Rejection> {
        let jws = Jws::parse(token)?;
        if !jws.header("typ").is_some_and(is_access_token_type) {
            return Err(Rejection::WrongType);
        }
        let key = jws
            .header("kid")
            .and_then(|kid| self.keys.get(kid))
            .ok_or(Rejection::UnknownKey)?;
        // Nothing in the payload is looked at before the signature holds.
        let payload = jws.verify(key)?;
        let claims: Claims =
            serde_json::from_slice(&payload).map_err(|_| Rejection::MalformedClaims)?;
        self.check(&claims, now)?;
        Ok(claims)
    }

    fn check(&self, claims: &Claims, now: i64) -> Result<(), Rejection> {
        if claims.iss != self.issuer {
            return Err(Rejection::WrongIssuer);
        }
        if claims.aud != self.audience {
            return Err(Rejection::WrongAudience);
        }
        let leeway = seconds(self.leeway);
        let latest_start = now.saturating_add(leeway);
        if claims.nbf > latest_start || claims.iat > latest_start {
            return Err(Rejection::NotYetValid);
        }
        if claims.exp > claims.iat.saturating_add(seconds(self.access_ttl)) {
            return Err(Rejection::LivesTooLong);
        }
        if claims.exp <= now.saturating_sub(leeway) {
            return Err(Rejection::Expired);
        }
        Ok(())
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// `at+jwt`, also as the full media type, in any case (RFC 9068 §4).
pub(super) fn is_access_token_type(typ: &str) -> bool {
    let typ = typ
        .split_at_checked("application/".len())
        .filter(|(prefix, _)| prefix.eq_ignore_ascii_case("application/"))
        .map_or(typ, |(_, rest)| rest);
    typ.eq_ignore_ascii_case(ACCESS_TOKEN_TYPE)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer as _, PublicKeyX509Der},
        hmac,
        signature::{KeyPair as _, RsaKeyPair},
    };
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::token::{Algorithm, MAX_TOKEN_BYTES, PrivateKey, Signer, SigningKey};

    const NOW: i64 = 1_795_530_712;
    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    struct Pair {
        signer: Signer,
        verifier: Verifier,
    }

    fn pair(key: SigningKey) -> Pair {
        let keys = PublicKeys::new([key.verifying_key().unwrap()]).unwrap();
        let access_ttl = Duration::from_mins(15);
        let issuer = "https://auth.example.com".to_owned();
        let audience = "https://api.example.com".to_owned();
        Pair {
            verifier: Verifier {
                keys,
                issuer: issuer.clone(),
                audience: audience.clone(),
                leeway: Duration::from_secs(10),
                access_ttl,
            },
            signer: Signer {
                key,
                issuer,
                audience,
                access_ttl,
            },
        }
    }

    /// A key of an algorithm: the secret, or a new one.
    fn any_key(algorithm: Algorithm) -> SigningKey {
        match algorithm.secret_bytes() {
            Some(_) => SigningKey::from_secret(algorithm, &SECRET.repeat(2)).unwrap(),
            None => PrivateKey::generate(algorithm)
                .unwrap()
                .signing_key()
                .unwrap(),
        }
    }

    fn es256() -> Pair {
        pair(any_key(Algorithm::Es256))
    }

    fn hs256() -> Pair {
        pair(SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap())
    }

    fn claims(pair: &Pair) -> Claims {
        let now = NOW;
        Claims {
            iss: pair.signer.issuer.clone(),
            sub: Uuid::from_u128(1),
            aud: pair.signer.audience.clone(),
            exp: now + 900,
            nbf: now,
            iat: now,
            jti: Uuid::from_u128(2),
            sid: Uuid::from_u128(3),
            auth_time: now,
            amr: vec!["pwd".to_owned()],
            email: "ada@example.com".to_owned(),
            email_verified: false,
        }
    }

    fn signed(pair: &Pair, claims: &Claims) -> String {
        pair.signer.sign_claims(claims).unwrap().expose().to_owned()
    }

    /// A token with any header and claims, rightly signed with the secret of [`hs256`].
    fn forged(header: &str, claims: &str) -> String {
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    #[test]
    fn token_of_each_algorithm_verifies() {
        for key in Algorithm::ALL.iter().map(|algorithm| any_key(*algorithm)) {
            let pair = pair(key);
            let claims = claims(&pair);

            assert_eq!(
                pair.verifier.verify(&signed(&pair, &claims), NOW),
                Ok(claims)
            );
        }
    }

    #[test]
    fn claims_out_of_time_or_place_are_refused() {
        let pair = es256();
        let now = NOW;
        let good = claims(&pair);
        for (claims, why) in [
            (
                Claims {
                    exp: now - 10,
                    iat: now - 900,
                    nbf: now - 900,
                    ..good.clone()
                },
                Rejection::Expired,
            ),
            (
                Claims {
                    nbf: now + 11,
                    ..good.clone()
                },
                Rejection::NotYetValid,
            ),
            (
                Claims {
                    iat: now + 11,
                    ..good.clone()
                },
                Rejection::NotYetValid,
            ),
            (
                Claims {
                    exp: now + 901,
                    ..good.clone()
                },
                Rejection::LivesTooLong,
            ),
            (
                Claims {
                    exp: i64::MAX,
                    iat: i64::MIN,
                    ..good.clone()
                },
                Rejection::LivesTooLong,
            ),
            (
                Claims {
                    exp: i64::MIN,
                    ..good.clone()
                },
                Rejection::Expired,
            ),
            (
                Claims {
                    iss: "https://evil.example".to_owned(),
                    ..good.clone()
                },
                Rejection::WrongIssuer,
            ),
            (
                Claims {
                    aud: "https://evil.example".to_owned(),
                    ..good.clone()
                },
                Rejection::WrongAudience,
            ),
        ] {
            assert_eq!(
                pair.verifier.verify(&signed(&pair, &claims), NOW),
                Err(why),
                "{claims:?}"
            );
        }
    }

    #[test]
    fn leeway_is_granted_at_both_ends_and_no_further() {
        let pair = es256();
        let token = signed(&pair, &claims(&pair));
        let at = |secs| pair.verifier.verify(&token, NOW + secs);

        assert!(at(-10).is_ok());
        assert_eq!(at(-11), Err(Rejection::NotYetValid));
        assert!(at(909).is_ok());
        assert_eq!(at(910), Err(Rejection::Expired));
    }

    #[test]
    fn algorithm_is_the_keys_and_never_the_tokens() {
        let ec = es256();
        let hs = hs256();
        let body = serde_json::to_string(&claims(&hs)).unwrap();
        let kid = hs.signer.key.kid();

        for alg in [
            "none", "None", "NONE", "nOnE", "HS384", "HS512", "ES256", "RS256", "EdDSA", "",
        ] {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string();
            let token = forged(&header, &body);
            let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);

            assert!(hs.verifier.verify(&token, NOW).is_err(), "{alg}");
            assert!(
                hs.verifier.verify(&unsigned, NOW).is_err(),
                "{alg} without signature"
            );
        }
        // The classic: an HMAC with the public key, which everybody has, as its secret.
        let public = serde_json::to_string(&ec.verifier.keys.jwks().keys[0]).unwrap();
        let header =
            json!({"alg": "HS256", "typ": "at+jwt", "kid": ec.signer.key.kid()}).to_string();
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(&body)
        );
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()),
            input.as_bytes(),
        );
        let confused = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(
            ec.verifier.verify(&confused, NOW),
            Err(Rejection::BadSignature)
        );
    }

    #[test]
    fn public_key_is_no_secret_in_whatever_form_it_is_written() {
        let private = PrivateKey::generate(Algorithm::Rs256).unwrap();
        let rs = pair(private.signing_key().unwrap());
        let key = RsaKeyPair::from_pkcs8(private.pkcs8()).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let der = der.as_ref().to_vec();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
            STANDARD.encode(&der)
        );
        let jwk = serde_json::to_string(&rs.verifier.keys.jwks().keys[0]).unwrap();
        let modulus = key
            .public_key()
            .modulus()
            .big_endian_without_leading_zero()
            .to_vec();
        let body = serde_json::to_string(&claims(&rs)).unwrap();
        for secret in [
            der,
            format!("{pem}\n").into_bytes(),
            pem.into_bytes(),
            jwk.into_bytes(),
            modulus,
            Vec::new(),
        ] {
            for (alg, hash) in [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512)] {
                let header =
                    json!({"alg": alg, "typ": "at+jwt", "kid": rs.signer.key.kid()}).to_string();
                let input = format!(
                    "{}.{}",
                    URL_SAFE_NO_PAD.encode(header),
                    URL_SAFE_NO_PAD.encode(&body)
                );
                let tag = hmac::sign(&hmac::Key::new(hash, &secret), input.as_bytes());
                let confused = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
                assert_eq!(
                    rs.verifier.verify(&confused, NOW),
                    Err(Rejection::BadSignature)
                );
            }
        }
    }

    #[test]
    fn one_of_several_keys_verifies_by_its_name_and_its_own_algorithm() {
        let made = [
            Algorithm::Es256,
            Algorithm::Es384,
            Algorithm::EdDsa,
            Algorithm::Rs256,
            Algorithm::Ps256,
        ]
        .map(any_key);
        let keys = made.each_ref().map(|key| key.verifying_key().unwrap());
        let mut pairs = made.map(pair);
        for pair in &mut pairs {
            pair.verifier.keys = PublicKeys::new(keys.clone()).unwrap();
        }
        let tokens = pairs.each_ref().map(|pair| signed(pair, &claims(pair)));
        let verifier = &pairs[0].verifier;
        for (index, token) in tokens.iter().enumerate() {
            assert!(verifier.verify(token, NOW).is_ok());
            // The same under the name of another of our keys.
            let (header, rest) = token.split_once('.').unwrap();
            for (other, borrowed) in tokens.iter().enumerate() {
                let borrowed = borrowed.split_once('.').unwrap().0;
                let swapped = verifier.verify(&format!("{borrowed}.{rest}"), NOW);
                assert_eq!(swapped.is_ok(), other == index, "{header} {borrowed}");
            }
        }
    }

    #[test]
    fn header_that_we_never_write_is_refused_even_when_rightly_signed() {
        let pair = hs256();
        let kid = pair.signer.key.kid().to_owned();
        let body = serde_json::to_string(&claims(&pair)).unwrap();
        let header =
            |extra: &str| format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"{extra}}}"#);
        assert!(
            pair.verifier
                .verify(&forged(&header(""), &body), NOW)
                .is_ok()
        );

        for extra in [
            r#","crit":["exp"]"#,
            r#","b64":false"#,
            r#","jwk":{"kty":"oct","k":"AA"}"#,
            r#","jku":"https://evil.example/jwks.json""#,
            r#","x5u":"https://evil.example/cert""#,
            r#","x5c":["AA"]"#,
            r#","zip":"DEF""#,
            r#","alg":"HS256""#,
            r#","typ":"at+jwt""#,
        ] {
            let token = forged(&header(extra), &body);
            assert_eq!(
                pair.verifier.verify(&token, NOW),
                Err(Rejection::Malformed),
                "{extra}"
            );
        }
        for (header, why) in [
            (json!({"alg": "HS256", "kid": kid}), Rejection::WrongType),
            (
                json!({"alg": "HS256", "kid": kid, "typ": "JWT"}),
                Rejection::WrongType,
            ),
            (
                json!({"alg": "HS256", "kid": kid, "typ": "rt+jwt"}),
                Rejection::WrongType,
            ),
            (
                json!({"alg": "HS256", "kid": kid, "typ": 1}),
                Rejection::WrongType,
            ),
            (
                json!({"alg": "HS256", "typ": "at+jwt"}),
                Rejection::UnknownKey,
            ),
            (
                json!({"alg": "HS256", "typ": "at+jwt", "kid": "../../dev/null"}),
                Rejection::UnknownKey,
            ),
        ] {
            let token = forged(&header.to_string(), &body);
            assert_eq!(pair.verifier.verify(&token, NOW), Err(why), "{header}");
        }
        for typ in ["AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
            let header = json!({"alg": "HS256", "kid": kid, "typ": typ}).to_string();
            assert!(
                pair.verifier.verify(&forged(&header, &body), NOW).is_ok(),
                "{typ}"
            );
        }
    }

    #[test]
    fn missing_repeated_or_wrongly_typed_claim_is_refused() {
        let pair = hs256();
        let header = format!(
            r#"{{"alg":"HS256","typ":"at+jwt","kid":"{}"}}"#,
            pair.signer.key.kid()
        );
        let good = serde_json::to_value(claims(&pair)).unwrap();

        for name in good.as_object().unwrap().keys() {
            let mut missing = good.clone();
            missing.as_object_mut().unwrap().remove(name);
            let mut wrong = good.clone();
            wrong[name] = json!({"a": 1});
            let repeated =
                good.to_string()
                    .replacen('{', &format!("{{\"{name}\":{},", good[name]), 1);

            for body in [missing.to_string(), wrong.to_string(), repeated] {
                assert_eq!(
                    pair.verifier.verify(&forged(&header, &body), NOW),
                    Err(Rejection::MalformedClaims),
                    "{body}"
                );
            }
        }
        // CVE-2026-25537: a time as text must not read as «no time».
        let mut text = good.clone();
        text["exp"] = json!("0");
        assert_eq!(
            pair.verifier
                .verify(&forged(&header, &text.to_string()), NOW),
            Err(Rejection::MalformedClaims)
        );
    }

    #[test]
    fn what_is_not_compact_serialisation_is_refused() {
        let pair = es256();
        let token = signed(&pair, &claims(&pair));
        let parts: Vec<_> = token.split('.').collect();
        for text in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "...".to_owned(),
            format!("{}.{}", parts[0], parts[1]),
            format!("{token}."),
            format!("{token}.{}", parts[2]),
            format!(" {token}"),
            format!("{token}\n"),
            format!("{token}="),
            format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
            format!(
                "{}.{}.{}",
                parts[0],
                parts[1],
                parts[2].replace('_', "/").replace('-', "+") + "=="
            ),
            json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
        ] {
            assert!(pair.verifier.verify(&text, NOW).is_err(), "{text}");
        }
        let long = format!("{}.{}.{}", parts[0], "A".repeat(MAX_TOKEN_BYTES), parts[2]);
        assert_eq!(pair.verifier.verify(&long, NOW), Err(Rejection::TooLong));
    }

    #[test]
    fn last_character_has_one_spelling() {
        // 64 bytes end on a character with four spare bits; readers that ignore them accept
        // sixteen spellings of one signature.
        let pair = es256();
        let token = signed(&pair, &claims(&pair));
        let (rest, last) = token.split_at(token.len() - 1);

        let accepted: Vec<_> = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain(['-', '_'])
            .filter(|c| pair.verifier.verify(&format!("{rest}{c}"), NOW).is_ok())
            .map(String::from)
            .collect();

        assert_eq!(accepted, [last]);
    }

    #[test]
    fn key_of_somebody_else_is_refused() {
        let ours = es256();
        let theirs = es256();
        let token = signed(&theirs, &claims(&theirs));
        assert_eq!(
            ours.verifier.verify(&token, NOW),
            Err(Rejection::UnknownKey)
        );

        // The same with our `kid` pasted in.
        let header =
            json!({"alg": "ES256", "typ": "at+jwt", "kid": ours.signer.key.kid()}).to_string();
        let (_, rest) = token.split_once('.').unwrap();
        let pasted = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(
            ours.verifier.verify(&pasted, NOW),
            Err(Rejection::BadSignature)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn one_flipped_bit_anywhere_spoils_a_token(position in 0usize..2000, bit in 0u8..7) {
            let pair = hs256();
            let token = signed(&pair, &claims(&pair));
            let mut bytes = token.clone().into_bytes();
            let position = position % bytes.len();
            bytes[position] ^= 1 << bit;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(pair.verifier.verify(&text, NOW).is_err());
            }
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}") {
            prop_assert!(es256().verifier.verify(&text, NOW).is_err());
        }

        #[test]
        fn any_signed_header_is_refused_without_a_panic(text in "[ -~]{0,200}") {
            let token = forged(&text, "{}");
            prop_assert!(hs256().verifier.verify(&token, NOW).is_err());
        }
    }
}
