//! The compact serialisation of a signature (RFC 7515 §7.1), read strictly: what two readers could
//! understand differently is refused.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{MAX_TOKEN_BYTES, Rejection, VerifyingKey};

/// Header members that would change where the key comes from or what is signed, none of which we
/// ever write (RFC 8725 §3.10, RFC 7515 §4.1.11, RFC 7797).
const REFUSED_MEMBERS: [&str; 10] = [
    "crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "zip", "enc",
];

/// A signed text whose signature is not checked yet.
pub(super) struct Jws<'t> {
    header: Map<String, Value>,
    /// Header and payload, as they are signed.
    message: &'t str,
    payload: &'t str,
    signature: &'t str,
}

impl<'t> Jws<'t> {
    /// Takes a text apart: three segments, of which the first is a JSON object that says nothing
    /// strange.
    pub(super) fn parse(text: &'t str) -> Result<Self, Rejection> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Rejection::NotThreeParts)?;
        let (header, payload) = message.split_once('.').ok_or(Rejection::NotThreeParts)?;
        if payload.contains('.') {
            return Err(Rejection::NotThreeParts);
        }
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| Rejection::Malformed)?;
        let StrictObject(header) =
            serde_json::from_slice(&header).map_err(|_| Rejection::Malformed)?;
        if REFUSED_MEMBERS
            .iter()
            .any(|member| header.contains_key(*member))
        {
            return Err(Rejection::Malformed);
        }
        Ok(Self {
            header,
            message,
            payload,
            signature,
        })
    }

    /// A member of the header, where it is text.
    pub(super) fn header(&self, member: &str) -> Option<&str> {
        self.header.get(member).and_then(Value::as_str)
    }

    /// Whether the header has a member, of whatever type.
    pub(super) fn has_header(&self, member: &str) -> bool {
        self.header.contains_key(member)
    }

    /// The payload, as it is written.
    pub(super) const fn payload(&self) -> &'t str {
        self.payload
    }

    /// The whole header.
    pub(super) fn into_header(self) -> Map<String, Value> {
        self.header
    }

    /// The payload, if this key signed it. The algorithm is the key's; the header's `alg` can only
    /// agree with it (RFC 8725 §3.1).
    pub(super) fn verify(&self, key: &VerifyingKey) -> Result<Vec<u8>, Rejection> {
        if !key.is_named_by(self.header("alg")) {
            return Err(Rejection::WrongAlgorithm);
        }
        let algorithm = key.algorithm().to_jwt();
        let message = self.message.as_bytes();
        match jsonwebtoken::crypto::verify(self.signature, message, key.decoding_key(), algorithm) {
            Ok(true) => URL_SAFE_NO_PAD
                .decode(self.payload)
                .map_err(|_| Rejection::Malformed),
            Ok(false) | Err(_) => Err(Rejection::BadSignature),
        }
    }
}

/// A JSON object without repeated members: of two, one reader may take the first and another the
/// last (RFC 8725 §2.4).
pub(super) struct StrictObject(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = StrictObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without repeated members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StrictObject, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(de::Error::custom("repeated member"));
                    }
                }
                Ok(StrictObject(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
