//! Verifying access tokens.

use std::time::Duration;

use super::{
    ACCESS_TOKEN_TYPE, KeySource, Profile,
    claims::{Registered, Verified},
    jws::{Jws, StrictObject},
    seconds,
};

/// How far the clocks of issuer and verifier may be apart, where nobody says otherwise.
const LEEWAY: Duration = Duration::from_secs(10);
/// The longest life of a token that is accepted, where nobody says otherwise.
const LONGEST: Duration = Duration::from_hours(24);

/// Accepts access tokens of one issuer for one audience, signed by one of some keys.
///
/// Knows no time: that is an argument. [`Auth::of`](crate::Auth::of) brings it, and guards routes.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::token::{Algorithm, PublicKeys, Verifier, VerifyingKey};
///
/// let secret = b"32 bytes at least, and not these";
/// let keys = PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, secret)?])?;
/// let verifier = Verifier::new(keys, "https://auth.example.com", "https://api.example.com")
///     .longest_life(Duration::from_mins(15));
///
/// assert!(verifier.verify("no token", 0).is_err());
/// # Ok::<(), countersign::token::KeyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    pub(super) keys: KeySource,
    pub(super) profile: Profile,
    pub(super) issuer: Option<String>,
    /// One of them is enough; none means that `aud` is not looked at.
    pub(super) audiences: Vec<String>,
    pub(super) leeway: Duration,
    pub(super) longest: Duration,
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
    /// No three parts with points between them.
    #[error("this is no token: three parts with points between them are expected")]
    NotThreeParts,
    /// Not three segments of base64url with a JSON object each, or a header that we never write.
    #[error("the token is malformed")]
    Malformed,
    /// Not `at+jwt`, or whatever the [`Profile`] asks for: some other kind of token.
    #[error("the token is not an access token")]
    WrongType,
    /// Signed by nobody we know.
    #[error("the token names no key of ours")]
    UnknownKey,
    /// Its algorithm is not the key's.
    #[error("the algorithm is not the one of the key")]
    WrongAlgorithm,
    /// The signature does not fit.
    #[error("the signature does not fit")]
    BadSignature,
    /// A claim is missing, or several are not there as they should be.
    #[error("a claim is missing or malformed")]
    MalformedClaims,
    /// This claim is missing.
    #[error("the claim `{0}` is missing")]
    MissingClaim(&'static str),
    /// `sub` is no text (RFC 7519 §4.1.2).
    #[error("the claim `sub` is no text")]
    SubjectNotText,
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
    /// The application's own check of the claims refused it.
    #[error("the claims are not what this application asks for")]
    Unfit,
    /// Genuine, but its time is over.
    #[error("the token has expired")]
    Expired,
}

impl Verifier {
    /// Accepts what a Countersign issued (RFC 9068).
    pub fn new(
        keys: impl Into<KeySource>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self::of_profile(Profile::Rfc9068, keys.into())
            .issuer(issuer)
            .audience(audience)
    }

    /// Accepts the JWTs of another issuer, such as an OpenID provider: `typ` is `at+jwt`, `JWT` or
    /// absent, and beside issuer, audience, subject and time nothing is asked for. Claims that have
    /// another form there than ours, `roles` as an object for instance, count as absent.
    ///
    /// # Security
    ///
    /// The audience has to be this application's own. ID tokens of such a provider are JWTs too, and
    /// the audience, which in them is a client, is what tells them apart.
    pub fn jwt(
        keys: impl Into<KeySource>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self::of_profile(Profile::Jwt, keys.into())
            .issuer(issuer)
            .audience(audience)
    }

    /// Accepts what flask-jwt-extended issues, with its rules: issuer and audience are looked at
    /// only where they are set here, and without a `kid` the first eight keys of the algorithm are
    /// tried.
    pub fn flask(keys: impl Into<KeySource>) -> Self {
        Self::of_profile(Profile::FlaskJwtExtended, keys.into())
    }

    pub(crate) const fn of_profile(profile: Profile, keys: KeySource) -> Self {
        Self {
            keys,
            profile,
            issuer: None,
            audiences: Vec::new(),
            leeway: LEEWAY,
            longest: LONGEST,
        }
    }

    /// Accepts this `iss` and no other; it replaces the one before.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Accepts tokens for this audience too: it is added to those before.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// How far the clocks of issuer and verifier may be apart: 10 seconds, unless set, and never
    /// more than a minute.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(Duration::from_mins(1));
        self
    }

    /// The longest life of a token: a day, unless set. A genuine one that lives longer was made under
    /// another configuration, or by somebody who got hold of a key.
    #[must_use]
    pub const fn longest_life(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Where it finds its keys.
    pub const fn keys(&self) -> &KeySource {
        &self.keys
    }

    /// A token that is genuine and holds `now` (seconds since 1970). Whether its session still lives
    /// is not asked here.
    ///
    /// # Errors
    ///
    /// [`Rejection`] says why not.
    pub fn verify(&self, token: &str, now: i64) -> Result<Verified, Rejection> {
        let jws = Jws::parse(token)?;
        let is_named = match self.profile {
            Profile::Rfc9068 => true,
            Profile::FlaskJwtExtended | Profile::Jwt => false,
        };
        if !self.takes_type(jws.header("typ"), jws.has_header("typ")) {
            return Err(Rejection::WrongType);
        }
        // Nothing in the payload is looked at before the signature holds.
        let payload = self.keys.verify(&jws, token, is_named)?;
        let StrictObject(all) =
            serde_json::from_slice(&payload).map_err(|_| Rejection::MalformedClaims)?;
        let claims = Registered::read(&all, self.profile)?;
        self.check(&claims, now)?;
        Ok(Verified::new(
            self.profile,
            jws.into_header(),
            all.into(),
            claims,
        ))
    }

    pub(super) fn takes_type(&self, typ: Option<&str>, is_there: bool) -> bool {
        let is_jwt = || match typ {
            Some(typ) => media_type(typ).eq_ignore_ascii_case("jwt"),
            None => !is_there,
        };
        let is_access_token =
            || typ.is_some_and(|typ| media_type(typ).eq_ignore_ascii_case(ACCESS_TOKEN_TYPE));
        match self.profile {
            Profile::Rfc9068 => is_access_token(),
            Profile::FlaskJwtExtended => is_jwt(),
            Profile::Jwt => is_access_token() || is_jwt(),
        }
    }

    fn check(&self, claims: &Registered, now: i64) -> Result<(), Rejection> {
        let missing = Rejection::MissingClaim;
        // An empty one is nobody's.
        if claims.sub.as_deref().unwrap_or_default().is_empty() {
            return Err(missing("sub"));
        }
        let exp = claims.exp.ok_or(missing("exp"))?;
        match self.profile {
            Profile::Rfc9068 | Profile::FlaskJwtExtended if claims.iat.is_none() => {
                return Err(missing("iat"));
            }
            Profile::Rfc9068 if claims.jti.is_none() => return Err(missing("jti")),
            Profile::FlaskJwtExtended if claims.kind.as_deref() == Some("refresh") => {
                return Err(Rejection::WrongType);
            }
            _ => {}
        }
        if let Some(issuer) = &self.issuer {
            match &claims.iss {
                None => return Err(missing("iss")),
                Some(iss) if iss != issuer => return Err(Rejection::WrongIssuer),
                Some(_) => {}
            }
        }
        if !self.audiences.is_empty() {
            if claims.aud.is_empty() {
                return Err(missing("aud"));
            }
            if !self.audiences.iter().any(|own| claims.aud.contains(own)) {
                return Err(Rejection::WrongAudience);
            }
        }
        let leeway = seconds(self.leeway);
        let latest_start = now.saturating_add(leeway);
        if [claims.nbf, claims.iat]
            .into_iter()
            .flatten()
            .any(|start| start > latest_start)
        {
            return Err(Rejection::NotYetValid);
        }
        // Without `iat`, which only other issuers leave out: what is left of its life.
        let begin = claims.iat.unwrap_or(now);
        if exp > begin.saturating_add(seconds(self.longest)) {
            return Err(Rejection::LivesTooLong);
        }
        if exp <= now.saturating_sub(leeway) {
            return Err(Rejection::Expired);
        }
        Ok(())
    }
}

/// What is behind `application/`, which may be left out (RFC 7515 §4.1.9).
fn media_type(typ: &str) -> &str {
    typ.split_at_checked("application/".len())
        .filter(|(prefix, _)| prefix.eq_ignore_ascii_case("application/"))
        .map_or(typ, |(_, rest)| rest)
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
    use crate::token::{
        Algorithm, Claims, Grant, MAX_TOKEN_BYTES, PrivateKey, PublicKeys, Rejection, Signer,
        SigningKey, Subject, TokenClaims as _,
    };

    const NOW: i64 = 1_795_530_712;
    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    struct Pair {
        key: SigningKey,
        signer: Signer,
        verifier: Verifier,
    }

    fn pair(key: SigningKey) -> Pair {
        let keys = PublicKeys::new([key.verifying_key().unwrap()]).unwrap();
        let (issuer, audience) = ("https://auth.example.com", "https://api.example.com");
        Pair {
            verifier: Verifier::new(keys, issuer, audience).longest_life(Duration::from_mins(15)),
            signer: Signer::new(key.clone(), issuer, audience),
            key,
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

    fn claims() -> serde_json::Value {
        json!({
            "iss": "https://auth.example.com",
            "sub": Uuid::from_u128(1),
            "aud": "https://api.example.com",
            "exp": NOW + 900,
            "nbf": NOW,
            "iat": NOW,
            "jti": Uuid::from_u128(2),
            "sid": Uuid::from_u128(3),
            "auth_time": NOW,
            "amr": ["pwd"],
            "email": "ada@example.com",
            "email_verified": false,
        })
    }

    fn with(mut changes: serde_json::Value) -> serde_json::Value {
        let mut claims = claims();
        let all = claims.as_object_mut().unwrap();
        all.append(changes.as_object_mut().unwrap());
        claims
    }

    fn signed(pair: &Pair, claims: &serde_json::Value) -> String {
        let token = pair.signer.compact(
            &Subject::default(),
            &serde_json::Map::new(),
            ACCESS_TOKEN_TYPE,
            claims,
        );
        token.unwrap().expose().to_owned()
    }

    fn verdict(pair: &Pair, token: &str) -> Result<(), Rejection> {
        pair.verifier.verify(token, NOW).map(drop)
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
            let subject = Subject {
                id: Uuid::from_u128(1).to_string(),
                email: Some(("ada@example.com".to_owned(), false)),
                session: Some(Uuid::from_u128(3)),
                auth_time: Some(NOW),
                amr: vec!["pwd".to_owned()],
            };
            let token = pair
                .signer
                .sign(&subject, &Grant::new(), Uuid::from_u128(2), NOW)
                .unwrap();

            let token = pair.verifier.verify(token.expose(), NOW).unwrap();
            assert_eq!(token.custom::<serde_json::Value>().unwrap(), claims());
            let claims: Claims = Claims::read(&token).unwrap();
            assert_eq!(claims.sub, Uuid::from_u128(1));
            assert_eq!(claims.email.as_deref(), Some("ada@example.com"));
        }
    }

    #[test]
    fn claims_out_of_time_or_place_are_refused() {
        let pair = es256();
        for (changes, why) in [
            (
                json!({ "exp": NOW - 10, "iat": NOW - 900, "nbf": NOW - 900 }),
                Rejection::Expired,
            ),
            (json!({ "nbf": NOW + 11 }), Rejection::NotYetValid),
            (json!({ "iat": NOW + 11 }), Rejection::NotYetValid),
            (json!({ "iat": f64::MAX }), Rejection::MalformedClaims),
            (json!({ "exp": NOW + 901 }), Rejection::LivesTooLong),
            (
                json!({ "exp": i64::MAX, "iat": i64::MIN }),
                Rejection::LivesTooLong,
            ),
            (json!({ "exp": i64::MIN }), Rejection::Expired),
            (
                json!({ "iss": "https://evil.example" }),
                Rejection::WrongIssuer,
            ),
            (
                json!({ "aud": "https://evil.example" }),
                Rejection::WrongAudience,
            ),
            (
                json!({ "aud": ["https://evil.example", "https://api.example.com.evil"] }),
                Rejection::WrongAudience,
            ),
            (json!({ "aud": [] }), Rejection::MissingClaim("aud")),
        ] {
            let token = signed(&pair, &with(changes.clone()));
            assert_eq!(verdict(&pair, &token), Err(why), "{changes}");
        }
    }

    #[test]
    fn one_of_several_audiences_is_enough() {
        let pair = es256();
        let both = json!({ "aud": ["https://other.example", "https://api.example.com"] });

        assert_eq!(verdict(&pair, &signed(&pair, &with(both))), Ok(()));
    }

    #[test]
    fn leeway_is_granted_at_both_ends_and_no_further() {
        let pair = es256();
        let token = signed(&pair, &claims());
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
        let body = claims().to_string();
        let kid = hs.key.kid();

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
        let public = serde_json::to_string(&ec.verifier.keys.known().jwks().keys[0]).unwrap();
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": ec.key.kid()}).to_string();
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
            Err(Rejection::WrongAlgorithm)
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
        let jwk = serde_json::to_string(&rs.verifier.keys.known().jwks().keys[0]).unwrap();
        let modulus = key
            .public_key()
            .modulus()
            .big_endian_without_leading_zero()
            .to_vec();
        let body = claims().to_string();
        for secret in [
            der,
            format!("{pem}\n").into_bytes(),
            pem.into_bytes(),
            jwk.into_bytes(),
            modulus,
            Vec::new(),
        ] {
            for (alg, hash) in [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512)] {
                let header = json!({"alg": alg, "typ": "at+jwt", "kid": rs.key.kid()}).to_string();
                let input = format!(
                    "{}.{}",
                    URL_SAFE_NO_PAD.encode(header),
                    URL_SAFE_NO_PAD.encode(&body)
                );
                let tag = hmac::sign(&hmac::Key::new(hash, &secret), input.as_bytes());
                let confused = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
                assert_eq!(
                    rs.verifier.verify(&confused, NOW),
                    Err(Rejection::WrongAlgorithm)
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
            pair.verifier.keys = PublicKeys::new(keys.clone()).unwrap().into();
        }
        let tokens = pairs.each_ref().map(|pair| signed(pair, &claims()));
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
        let kid = pair.key.kid().to_owned();
        let body = claims().to_string();
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
            assert_eq!(verdict(&pair, &token), Err(Rejection::Malformed), "{extra}");
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
            assert_eq!(verdict(&pair, &token), Err(why), "{header}");
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
            pair.key.kid()
        );
        let good = claims();

        let verify = |body: &str| verdict(&pair, &forged(&header, body));
        for name in good.as_object().unwrap().keys() {
            let mut missing = good.clone();
            missing.as_object_mut().unwrap().remove(name);
            // What RFC 9068 §2.2 requires; beyond it, nothing is skipped where something is absent.
            let expected = ["iss", "sub", "aud", "exp", "iat", "jti"]
                .into_iter()
                .find(|required| required == name)
                .map_or(Ok(()), |required| Err(Rejection::MissingClaim(required)));
            assert_eq!(verify(&missing.to_string()), expected, "without {name}");

            let wrong = with(json!({ name: { "a": 1 } })).to_string();
            let null = with(json!({ name: null })).to_string();
            let repeated =
                good.to_string()
                    .replacen('{', &format!("{{\"{name}\":{},", good[name]), 1);
            let mistyped = if name == "sub" {
                Rejection::SubjectNotText
            } else {
                Rejection::MalformedClaims
            };
            for (body, why) in [
                (wrong, mistyped),
                (null, mistyped),
                (repeated, Rejection::MalformedClaims),
            ] {
                assert_eq!(verify(&body), Err(why), "{body}");
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
        let token = signed(&pair, &claims());
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
        let token = signed(&pair, &claims());
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
        let token = signed(&theirs, &claims());
        assert_eq!(
            ours.verifier.verify(&token, NOW),
            Err(Rejection::UnknownKey)
        );

        // The same with our `kid` pasted in.
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": ours.key.kid()}).to_string();
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
            let token = signed(&pair, &claims());
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
