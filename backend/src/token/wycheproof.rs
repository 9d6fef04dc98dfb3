//! Project Wycheproof's vectors for JSON Web Signatures and Keys, through our own reader.
//!
//! They lie beside the clone or where `COUNTERSIGN_TESTDATA` says, and are in no commit.

use std::{collections::BTreeMap, env, fs, io::Write as _, path::PathBuf};

use serde_json::Value;

use super::{PublicKeys, VerifyingKey, jws::Jws};

/// The vectors, or nothing where they are not: said past the harness, which would swallow it, and
/// a failure where everything has to be there.
fn vectors(name: &str) -> Option<Value> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the suite's own settings, no product's"
    )]
    let (folder, is_ci) = (env::var("COUNTERSIGN_TESTDATA"), env::var("CI").is_ok());
    let folder = folder.map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata"),
        PathBuf::from,
    );
    let path = folder.join("wycheproof").join(name);
    let Ok(text) = fs::read_to_string(&path) else {
        assert!(
            !is_ci,
            "Wycheproof's vectors are missing: {}",
            path.display()
        );
        let text = format!("skipped Wycheproof's {name}: set COUNTERSIGN_TESTDATA\n");
        drop(std::io::stderr().write_all(text.as_bytes()));
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// Which vectors came out otherwise than they are marked, by number.
fn differences(vectors: &Value, accepts: impl Fn(&Value, &str) -> bool) -> (u64, Vec<u64>) {
    let (mut judged, mut differing) = (0, Vec::new());
    for group in vectors["testGroups"].as_array().unwrap() {
        let key = ["public", "private"]
            .iter()
            .find_map(|name| group.get(name))
            .unwrap();
        for test in group["tests"].as_array().unwrap() {
            // Another serialisation than the compact one is an object.
            let text = test["jws"]
                .as_str()
                .map_or_else(|| test["jws"].to_string(), str::to_owned);
            judged += 1;
            if accepts(key, &text) != (test["result"] == "valid") {
                differing.push(test["tcId"].as_u64().unwrap());
            }
        }
    }
    (judged, differing)
}

#[test]
fn every_signature_is_judged_as_wycheproof_does_but_for_those_named_here() {
    let Some(vectors) = vectors("json_web_signature_test.json") else {
        return;
    };
    let on_purpose = BTreeMap::from([
        (346, "the key says PS256, the token PS384: the key decides"),
        (350, "the same"),
        (347, "P-521, which we do not take"),
        (351, "the same"),
        (
            367,
            "byte for byte vector 357, which is valid: its padding was lost",
        ),
        (370, "the same"),
        (372, "a question mark inside base64url"),
        (373, "the same"),
    ]);

    let (judged, differing) = differences(&vectors, |key, text| {
        serde_json::from_value(key.clone())
            .ok()
            .and_then(|jwk| VerifyingKey::from_jwk(&jwk).ok())
            .is_some_and(|key| Jws::parse(text).and_then(|jws| jws.verify(&key)).is_ok())
    });

    assert_eq!(judged, 401);
    assert_eq!(differing, on_purpose.into_keys().collect::<Vec<_>>());
}

#[test]
fn every_key_is_judged_as_wycheproof_does() {
    let Some(vectors) = vectors("json_web_key_test.json") else {
        return;
    };

    let (judged, differing) = differences(&vectors, |set, text| {
        let Some(keys) = serde_json::from_value(set.clone())
            .ok()
            .and_then(|set| PublicKeys::from_jwks(&set).ok())
        else {
            return false;
        };
        Jws::parse(text).is_ok_and(|jws| {
            jws.header("kid")
                .and_then(|kid| keys.get(kid))
                .is_some_and(|key| jws.verify(key).is_ok())
        })
    });

    assert_eq!(judged, 26);
    assert_eq!(differing, [0; 0]);
}
