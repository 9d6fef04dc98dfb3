//! `test_asymmetric_crypto.py`: pairs of keys, and no confusion of them with secrets.

use countersign::token::{Algorithm, PrivateKey, PublicKeys, Signer, Verifier};
use serde_json::json;

use crate::support::{App, encode, plain};

#[tokio::test]
async fn public_keys_verify_what_their_private_key_signed_and_nothing_with_a_secret() {
    for algorithm in [
        Algorithm::Rs256,
        Algorithm::Ps256,
        Algorithm::Es256,
        Algorithm::EdDsa,
    ] {
        let key = PrivateKey::generate(algorithm).unwrap();
        let key = key.signing_key().unwrap();
        let public = PublicKeys::new([key.verifying_key().unwrap()]).unwrap();
        let app = App::of(Signer::flask(key), Verifier::flask(public));
        let router = plain().route_layer(app.auth().guard());

        assert_eq!(app.bear(&router, &app.token()).await, "200 let in");
        assert_eq!(
            app.bear(&router, &encode(&json!({}))).await,
            "422 The specified alg value is not allowed"
        );
    }
}
