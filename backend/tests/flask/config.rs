//! `test_config.py`: what is configured, and what cannot be.

use std::time::Duration;

use countersign::{
    Issuer,
    guard::{AccessCookies, Location, LocationError, Locations},
    token::{Algorithm, KeyError, Signer, SigningKey, VerifyingKey},
};

use crate::support::{App, SECRET, get, plain, signing_key};

#[test]
fn defaults_are_a_header_fifteen_minutes_and_protected_cookies() {
    let issuer = Issuer::new(Signer::flask(signing_key()));
    let locations = Locations::default();

    assert_eq!(issuer.lifetime(), Duration::from_mins(15));
    assert_eq!(
        locations.to_string(),
        "the header «Authorization: Bearer …»"
    );
    assert_eq!(
        locations.access_cookies().name(),
        "__Host-access_token_cookie"
    );
    assert_eq!(AccessCookies::plain().name(), "access_token_cookie");
    let everywhere = Locations::new(Location::ALL.map(|(_, location)| location));
    assert_eq!(
        everywhere
            .unwrap()
            .cookies(AccessCookies::plain())
            .to_string(),
        "the header «Authorization: Bearer …», the cookie «access_token_cookie», the query \
         parameter «jwt» or the member «access_token» of a JSON body"
    );
}

#[test]
fn names_and_places_are_as_they_are_set() {
    let locations = Locations::new([Location::Cookies, Location::QueryString, Location::Json])
        .unwrap()
        .cookies(AccessCookies::secure().named("new_access_cookie", "access_csrf_cookie"))
        .query("banana")
        .and_then(|locations| locations.json("TestKey"))
        .unwrap();

    assert!(!locations.contains(Location::Headers));
    assert_eq!(
        locations.to_string(),
        "the cookie «new_access_cookie», the query parameter «banana» or the member «TestKey» of a \
         JSON body"
    );
}

#[test]
fn secret_is_needed_and_a_short_one_is_refused() {
    assert_eq!(
        SigningKey::from_secret(Algorithm::Hs256, b"foobarbaz").unwrap_err(),
        KeyError::SecretTooShort { has: 9, needs: 32 }
    );
    assert!(SigningKey::from_secret(Algorithm::Hs256, b"").is_err());
    assert!(SigningKey::from_secret(Algorithm::Hs256, SECRET).is_ok());
    assert!(VerifyingKey::from_secret(Algorithm::Hs256, SECRET).is_ok());
}

#[test]
fn secret_is_no_key_of_an_algorithm_with_two() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        assert!(SigningKey::from_secret(algorithm, SECRET).is_err());
        assert!(VerifyingKey::from_secret(algorithm, SECRET).is_err());
    }
}

#[test]
fn places_that_are_none_and_names_that_cannot_be_are_refused() {
    assert_eq!(Locations::new([]).unwrap_err(), LocationError::Empty);
    assert_eq!("banana".parse::<Location>(), Err(LocationError::Unknown));
    for name in ["", "a b", "ä"] {
        let refused = Locations::default().header(name, "Bearer");
        assert_eq!(refused.unwrap_err(), LocationError::Name, "{name}");
    }
    assert!(Locations::default().query("").is_err());
    assert!(Locations::default().json("").is_err());
}

#[test]
fn places_are_taken_from_any_sequence_in_its_order() {
    for (name, location) in Location::ALL {
        assert_eq!(name.parse(), Ok(location));
        assert!(Locations::new([location]).unwrap().contains(location));
        assert!(Locations::new(vec![location]).unwrap().contains(location));
    }
    let all = Location::ALL.map(|(_, location)| location);
    for count in 1..=all.len() {
        let locations = Locations::new(all[..count].iter().copied()).unwrap();
        for (index, location) in all.into_iter().enumerate() {
            assert_eq!(locations.contains(location), index < count);
        }
    }
}

#[tokio::test]
async fn places_and_cookies_are_asked_in_a_layer_as_configured() {
    let locations = Locations::new([Location::Cookies]).unwrap();
    let app = App::at(locations.cookies(AccessCookies::secure()));
    let router = plain().route_layer(app.auth().guard());

    assert_eq!(
        app.ask(&router, get()).await,
        "401 Missing cookie \"__Host-access_token_cookie\""
    );
}
