//! Which keys of somebody else's JWK set are used.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::FetchError;
use crate::token::{Algorithm, KeyError, PRIVATE_MEMBERS, PublicKeys, VerifyingKey};

/// How many keys a set may have: a token without a `kid` is tried with several.
const MAX_KEYS: usize = 100;
/// The longest name that a key may have.
const MAX_NAME_BYTES: usize = 256;

/// A set that was looked through.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// What may verify.
    pub(super) keys: PublicKeys,
    /// What may not.
    pub(super) left_out: Vec<LeftOut>,
}

/// A key that is not used: its place in the set, counted from 1, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) place: usize,
    pub(super) why: Why,
}

/// Why a key is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("it is a secret, which is none once it is published")]
    Secret,
    #[error("its private part is published, so anybody could sign with it")]
    Private,
    #[error("it is of a kind that is not known here")]
    Unknown,
    #[error("its algorithm is {0}, which is not in the list")]
    NotInList(Algorithm),
    #[error("another key has the same name")]
    RepeatedName,
    #[error("its name is too long")]
    LongName,
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Why {
    /// Whether somebody has to mend something: a set may well have keys that are not for us.
    pub(super) const fn is_fault(self) -> bool {
        match self {
            Self::Unknown | Self::NotInList(_) => false,
            Self::Key(error) => !matches!(error, KeyError::UnknownAlgorithm | KeyError::WrongUse),
            Self::Secret | Self::Private | Self::RepeatedName | Self::LongName => true,
        }
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// The keys of a set (RFC 7517 §5) that are of one of these algorithms. Of the others none spoils
/// the set: its owner may serve other readers too.
pub(super) fn judge(body: &[u8], algorithms: &[Algorithm]) -> Result<Judged, FetchError> {
    let KeySet { keys } = serde_json::from_slice(body).map_err(|_| FetchError::NoKeySet)?;
    if keys.len() > MAX_KEYS {
        return Err(FetchError::TooManyKeys);
    }
    let mut left_out = Vec::new();
    let mut named: HashMap<String, Vec<(usize, VerifyingKey)>> = HashMap::new();
    for (place, jwk) in (1..).zip(keys) {
        match key(jwk, algorithms) {
            Ok(key) => {
                let same_name = named.entry(key.kid().to_owned()).or_default();
                // A key that is listed twice is still one key.
                if !same_name.iter().any(|(_, other)| other.jwk() == key.jwk()) {
                    same_name.push((place, key));
                }
            }
            Err(why) => left_out.push(LeftOut { place, why }),
        }
    }
    let mut used = Vec::new();
    for mut same_name in named.into_values() {
        if same_name.len() == 1 {
            used.extend(same_name.pop());
        } else {
            // Which of them a token means, nobody knows.
            left_out.extend(same_name.into_iter().map(|(place, _)| LeftOut {
                place,
                why: Why::RepeatedName,
            }));
        }
    }
    left_out.sort_unstable_by_key(|key| key.place);
    // As published: of many keys, a token without a name is tried with the first.
    used.sort_unstable_by_key(|(place, _)| *place);
    let keys =
        PublicKeys::new(used.into_iter().map(|(_, key)| key)).map_err(|_| FetchError::NoKeySet)?;
    Ok(Judged { keys, left_out })
}

fn key(mut jwk: Value, algorithms: &[Algorithm]) -> Result<VerifyingKey, Why> {
    let members = jwk.as_object_mut().ok_or(Why::Unknown)?;
    let kind = members.get("kty").and_then(Value::as_str);
    let is_rsa = kind == Some("RSA");
    if kind == Some("oct") || members.contains_key("k") {
        return Err(Why::Secret);
    }
    if PRIVATE_MEMBERS
        .iter()
        .any(|member| members.contains_key(*member))
    {
        return Err(Why::Private);
    }
    if is_rsa && !members.contains_key("alg") {
        // It could be meant for six; which one is for this service to say, and no token's choice.
        let mut fitting = algorithms.iter().filter(|algorithm| is_of_rsa(**algorithm));
        if let (Some(only), None) = (fitting.next(), fitting.next()) {
            members.insert("alg".to_owned(), only.as_str().into());
        }
    }
    let key = VerifyingKey::from_value(jwk).map_err(|_| Why::Unknown)??;
    if !algorithms.contains(&key.algorithm()) {
        return Err(Why::NotInList(key.algorithm()));
    }
    if key.kid().len() > MAX_NAME_BYTES {
        return Err(Why::LongName);
    }
    Ok(key)
}

const fn is_of_rsa(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
    )
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::token::PrivateKey;

    fn jwk(algorithm: Algorithm) -> Value {
        let key = PrivateKey::generate(algorithm)
            .unwrap()
            .signing_key()
            .unwrap();
        serde_json::to_value(key.verifying_key().unwrap().jwk()).unwrap()
    }

    fn with(mut jwk: Value, member: &str, value: Value) -> Value {
        jwk[member] = value;
        jwk
    }

    fn without(mut jwk: Value, member: &str) -> Value {
        jwk.as_object_mut().unwrap().remove(member);
        jwk
    }

    /// How many keys are used, and why the others are not.
    fn judged(keys: &[Value], algorithms: &[Algorithm]) -> (usize, Vec<(usize, Why)>) {
        let set = json!({ "keys": keys }).to_string();
        let judged = judge(set.as_bytes(), algorithms).unwrap();
        let left_out = judged.left_out.iter().map(|key| (key.place, key.why));
        (judged.keys.iter().count(), left_out.collect())
    }

    const ALL: &[Algorithm] = Algorithm::ALL;

    #[test]
    fn key_of_no_use_to_us_spoils_no_set() {
        let good = jwk(Algorithm::Es256);

        let (used, left_out) = judged(
            &[
                json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
                json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
                with(jwk(Algorithm::Es256), "use", json!("enc")),
                with(jwk(Algorithm::Es256), "alg", json!("ECDH-ES")),
                json!("no object"),
                good,
            ],
            ALL,
        );

        assert_eq!(used, 1);
        assert_eq!(left_out.len(), 5);
        assert!(left_out.iter().all(|(_, why)| !why.is_fault()));
    }

    #[test]
    fn secret_and_private_keys_are_never_used() {
        let secret = json!({ "kty": "oct", "k": "A".repeat(86), "alg": "HS256", "kid": "1" });
        // What verifies by kind is no secret under another name either.
        let disguised = with(jwk(Algorithm::Es256), "k", json!("A".repeat(86)));

        assert_eq!(
            judged(&[secret, disguised], ALL),
            (0, vec![(1, Why::Secret), (2, Why::Secret)])
        );
        // From a prime of an RSA key follows the rest of it.
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            let private = with(jwk(Algorithm::Rs256), member, json!("AQAB"));
            assert_eq!(
                judged(&[private], ALL),
                (0, vec![(1, Why::Private)]),
                "{member}"
            );
        }
        assert!(Why::Secret.is_fault() && Why::Private.is_fault());
    }

    #[test]
    fn key_of_an_algorithm_outside_the_list_is_not_used() {
        let keys = [jwk(Algorithm::Es256), jwk(Algorithm::EdDsa)];

        assert_eq!(
            judged(&keys, &[Algorithm::EdDsa]),
            (1, vec![(1, Why::NotInList(Algorithm::Es256))])
        );
    }

    #[test]
    fn rsa_key_without_alg_takes_the_one_rsa_algorithm_of_the_list() {
        let rsa = without(jwk(Algorithm::Rs256), "alg");
        let set = json!({ "keys": [rsa.clone()] }).to_string();

        let list = [Algorithm::Es256, Algorithm::Ps384];
        let keys = judge(set.as_bytes(), &list).unwrap().keys;
        assert_eq!(keys.iter().next().unwrap().algorithm(), Algorithm::Ps384);

        let unknown = vec![(1, Why::Key(KeyError::UnknownAlgorithm))];
        assert_eq!(
            judged(from_ref(&rsa), &[Algorithm::Rs256, Algorithm::Ps256]),
            (0, unknown.clone())
        );
        assert_eq!(judged(&[rsa], &[Algorithm::Es256]), (0, unknown));
    }

    #[test]
    fn weak_key_is_left_out_and_said_to_be() {
        let weak = with(jwk(Algorithm::Rs256), "n", json!("A".repeat(100)));

        let (used, left_out) = judged(&[weak, jwk(Algorithm::Es256)], ALL);

        assert_eq!((used, left_out.len()), (1, 1));
        assert_eq!(
            left_out[0],
            (1, Why::Key(KeyError::RsaTooShort { bits: 0 }))
        );
        assert!(left_out[0].1.is_fault());
    }

    #[test]
    fn of_two_keys_with_one_name_neither_is_used() {
        let [one, two] = [jwk(Algorithm::Es256), jwk(Algorithm::Es256)];
        let [one, two] = [one, two].map(|jwk| with(jwk, "kid", json!("same")));
        let third = jwk(Algorithm::EdDsa);

        assert_eq!(
            judged(&[one.clone(), two, third], ALL),
            (1, vec![(1, Why::RepeatedName), (2, Why::RepeatedName)])
        );
        assert_eq!(judged(&[one.clone(), one], ALL), (1, vec![]));
    }

    #[test]
    fn keys_stay_in_the_order_in_which_they_are_published() {
        let keys: Vec<_> = (0..20)
            .map(|place| with(jwk(Algorithm::EdDsa), "kid", json!(place.to_string())))
            .collect();
        let set = json!({ "keys": keys }).to_string();

        let keys = judge(set.as_bytes(), ALL).unwrap().keys;

        let names: Vec<_> = keys.iter().map(|key| key.kid().to_owned()).collect();
        let published: Vec<_> = (0..20).map(|place| place.to_string()).collect();
        assert_eq!(names, published);
    }

    #[test]
    fn key_without_name_is_known_by_its_thumbprint() {
        let jwk = jwk(Algorithm::Es256);
        let thumbprint = jwk["kid"].as_str().unwrap().to_owned();
        let set = json!({ "keys": [without(jwk, "kid")] }).to_string();

        let keys = judge(set.as_bytes(), ALL).unwrap().keys;

        assert!(keys.get(&thumbprint).is_some());
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        for body in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"keys":{}}"#,
            r#"{"keys":[],"keys":[]}"#,
        ] {
            assert!(
                matches!(judge(body.as_bytes(), ALL), Err(FetchError::NoKeySet)),
                "{body}"
            );
        }
        let many = json!({ "keys": vec![json!({}); MAX_KEYS + 1] }).to_string();
        assert!(matches!(
            judge(many.as_bytes(), ALL),
            Err(FetchError::TooManyKeys)
        ));
    }

    proptest! {
        #[test]
        fn any_body_is_judged_without_a_panic(body in "[ -~]{0,100}") {
            drop(judge(body.as_bytes(), ALL));
            drop(judge(format!(r#"{{"keys":[{{"kty":"RSA",{body}}}]}}"#).as_bytes(), ALL));
        }
    }
}
