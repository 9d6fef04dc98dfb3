//! Guards around routes, from outside: what is answered to whom.

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::FromRef,
    http::{Request, header},
    middleware::map_request,
    response::IntoResponse as _,
    routing::{MethodRouter, any, get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::*;
use crate::{
    Issuer,
    clock::ManualClock,
    timestamp::Timestamp,
    token::{Algorithm, Grant, PublicKeys, Signer, SigningKey, Subject, VerifyingKey},
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NAME: &str = "https://app.example.com";

#[derive(Clone, FromRef)]
struct State {
    auth: Auth,
    users: UserLookup<String>,
}

/// A program with guards, and what issues its tokens.
struct Program {
    clock: Arc<ManualClock>,
    issuer: Issuer,
    auth: Auth,
}

/// What was answered: status, code or text, challenge.
type Answered = (u16, String, String);

impl Program {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_767_268_800)));
        let key = SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap();
        let verifying = VerifyingKey::from_secret(Algorithm::Hs256, SECRET).unwrap();
        let keys = PublicKeys::new([verifying]).unwrap();
        Self {
            issuer: Issuer::new(Signer::new(key, NAME, NAME)).clock(clock.clone()),
            auth: Auth::with_clock(Verifier::new(keys, NAME, NAME), clock.clone()),
            clock,
        }
    }

    fn configured(mut self, change: impl FnOnce(Auth) -> Auth) -> Self {
        self.auth = change(self.auth);
        self
    }

    fn subject() -> Subject {
        Subject::new(Uuid::from_u128(1))
    }

    fn token(&self, grant: Grant) -> String {
        self.issued(&Self::subject(), grant)
    }

    fn issued(&self, subject: &Subject, grant: Grant) -> String {
        let token = self.issuer.issue(subject, grant).unwrap();
        token.expose().to_owned()
    }

    fn fresh_token(&self) -> String {
        let token = self
            .issuer
            .issue_fresh(&Self::subject(), &["pwd"], Grant::new());
        token.unwrap().expose().to_owned()
    }

    async fn answer(&self, router: Router<State>, request: Request<Body>) -> Answered {
        let users = UserLookup::new(async |token: Arc<Verified>| match token.scope().0.first() {
            Some(scope) if scope == "broken" => Err("the users are away"),
            Some(_) => Ok(Some(format!("user {}", token.sub()))),
            None => Ok(None),
        });
        let state = State {
            auth: self.auth.clone(),
            users,
        };
        let response = router.with_state(state).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let challenge = response
            .headers()
            .get(header::WWW_AUTHENTICATE)
            .map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body(), 100_000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let code = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|json| json["code"].as_str().map(str::to_owned));
        (status, code.unwrap_or(text), challenge)
    }

    async fn ask(&self, router: Router<State>, token: &str) -> (u16, String) {
        let request = bearing(token).body(Body::empty()).unwrap();
        let (status, text, _) = self.answer(router, request).await;
        (status, text)
    }
}

fn bearing(token: &str) -> http::request::Builder {
    Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"))
}

fn page(handler: MethodRouter<State>) -> Router<State> {
    Router::new().route("/", handler)
}

/// A route without any extractor.
fn plain() -> Router<State> {
    page(any(async || "let in"))
}

fn said(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

#[tokio::test]
async fn keys_alone_guard_a_route() {
    let program = Program::new();
    let router = page(get(async |claims: Claims| claims.sub.to_string()));
    let token = program.token(Grant::new());

    let expected = Uuid::from_u128(1).to_string();
    assert_eq!(program.ask(router.clone(), &token).await, (200, expected));
    let bad = program.ask(router, &format!("{token}x")).await;
    assert_eq!(bad, said(401, "token_invalid"));
}

#[tokio::test]
async fn optional_claims_are_none_without_a_token_and_an_error_with_a_bad_one() {
    let program = Program::new();
    let router = page(get(async |claims: Option<Claims>| {
        claims.is_some().to_string()
    }));
    let without = Request::get("/").body(Body::empty()).unwrap();

    assert_eq!(program.answer(router.clone(), without).await.1, "false");
    let token = program.token(Grant::new());
    assert_eq!(program.ask(router.clone(), &token).await.1, "true");
    let bad = program.ask(router, "a.b.c").await;
    assert_eq!(bad, said(401, "token_invalid"));
}

#[tokio::test]
async fn custom_claims_are_read_by_their_type_and_must_have_it() {
    #[derive(Debug, Clone, Deserialize)]
    struct Tenant {
        tenant: u32,
    }
    let program = Program::new();
    let router = page(get(async |claims: Claims<Tenant>| {
        claims.custom.tenant.to_string()
    }));

    let good = program.token(Grant::new().claim("tenant", 7).unwrap());
    assert_eq!(program.ask(router.clone(), &good).await, said(200, "7"));
    for grant in [
        Grant::new(),
        Grant::new().claim("tenant", "seven").unwrap(),
        Grant::new().claim("tenant", None::<u32>).unwrap(),
    ] {
        let refused = program.ask(router.clone(), &program.token(grant)).await;
        assert_eq!(refused, said(401, "token_invalid"));
    }
}

#[tokio::test]
async fn fresh_route_takes_a_recent_proof_of_presence_only() {
    let program = Program::new();
    let router = page(get(async |Fresh(claims): Fresh<Claims>| {
        claims.sub.to_string()
    }));
    let (fresh, stale) = (program.fresh_token(), program.token(Grant::new()));

    assert_eq!(program.ask(router.clone(), &fresh).await.0, 200);
    let refused = program.ask(router.clone(), &stale).await;
    assert_eq!(refused, said(403, "fresh_token_required"));
    program.clock.advance(Duration::from_mins(10));
    assert_eq!(program.ask(router.clone(), &fresh).await.0, 200);
    program.clock.advance(Duration::from_secs(1));
    let refused = program.ask(router, &fresh).await;
    assert_eq!(refused, said(403, "fresh_token_required"));
}

#[tokio::test]
async fn route_may_have_a_window_of_its_own() {
    let program = Program::new();
    let minute = program.auth.guard().fresh_within(Duration::from_mins(1));
    let by_layer = plain().route_layer(minute.clone());
    let by_extractor = page(get(async |_: Fresh<Claims>| "let in")).route_layer(minute);
    let token = program.fresh_token();

    program.clock.advance(Duration::from_mins(1));
    assert_eq!(program.ask(by_layer.clone(), &token).await.0, 200);
    program.clock.advance(Duration::from_secs(1));
    for router in [by_layer, by_extractor] {
        let refused = program.ask(router, &token).await;
        assert_eq!(refused, said(403, "fresh_token_required"));
    }
}

#[tokio::test]
async fn longer_window_outside_does_not_lengthen_the_one_inside() {
    let program = Program::new();
    let minutes = |number| {
        program
            .auth
            .guard()
            .fresh_within(Duration::from_mins(number))
    };
    let token = program.fresh_token();
    program.clock.advance(Duration::from_mins(12));

    for (inner, outer) in [
        (program.auth.guard().fresh(), minutes(14)),
        (minutes(14), program.auth.guard().fresh()),
        (minutes(11), minutes(14)),
    ] {
        let router = plain().route_layer(inner).route_layer(outer);
        let refused = program.ask(router, &token).await;
        assert_eq!(refused, said(403, "fresh_token_required"));
    }
    let both = program
        .auth
        .guard()
        .fresh()
        .fresh_within(Duration::from_mins(14));
    let refused = program.ask(plain().route_layer(both), &token).await;
    assert_eq!(refused, said(403, "fresh_token_required"));
}

#[tokio::test]
async fn guard_lets_nobody_through_without_a_token() {
    let program = Program::new();
    let router = plain().route_layer(program.auth.guard());

    for method in ["GET", "POST", "OPTIONS", "HEAD"] {
        let request = Request::builder().method(method).uri("/");
        let request = request.body(Body::empty()).unwrap();
        let (status, _, challenge) = program.answer(router.clone(), request).await;
        assert_eq!((status, &*challenge), (401, "Bearer realm=\"countersign\""));
    }
    let token = program.token(Grant::new());
    assert_eq!(program.ask(router, &token).await, said(200, "let in"));
}

#[tokio::test]
async fn missing_scope_is_403_with_the_scope_in_its_challenge() {
    let program = Program::new();
    let guard = program
        .auth
        .guard()
        .scope("notes:write")
        .any_scope(["a", "b"]);
    let router = plain().route_layer(guard);
    let with = |scopes: &[&str]| program.token(Grant::new().scopes(scopes.iter().copied()));
    let challenge = async |token: &str| {
        let request = bearing(token).body(Body::empty()).unwrap();
        program.answer(router.clone(), request).await
    };

    assert_eq!(challenge(&with(&["b", "notes:write"])).await.0, 200);
    for (scopes, missing) in [
        (&[] as &[&str], "notes:write"),
        (&["notes:writer", "a"], "notes:write"),
        (&["notes:write", "c"], ""),
    ] {
        assert_eq!(
            challenge(&with(scopes)).await,
            (
                403,
                "insufficient_scope".to_owned(),
                match missing {
                    "" => "Bearer realm=\"countersign\", error=\"insufficient_scope\"".to_owned(),
                    scope => format!(
                        "Bearer realm=\"countersign\", error=\"insufficient_scope\", scope=\"{scope}\""
                    ),
                }
            )
        );
    }
}

#[tokio::test]
async fn role_is_a_claim_and_no_scope() {
    let program = Program::new();
    let router = plain().route_layer(program.auth.guard().any_role(["admin", "owner"]));

    let owner = program.token(Grant::new().roles(["owner"]));
    assert_eq!(program.ask(router.clone(), &owner).await.0, 200);
    for grant in [Grant::new(), Grant::new().scopes(["admin"])] {
        let refused = program.ask(router.clone(), &program.token(grant)).await;
        assert_eq!(refused, said(403, "insufficient_scope"));
    }
}

#[tokio::test]
async fn guard_within_a_guard_needs_what_both_need() {
    let program = Program::new();
    let router = plain()
        .route_layer(program.auth.guard().scope("inner"))
        .route_layer(program.auth.guard().scope("outer"));
    let with = |scopes: &[&str]| program.token(Grant::new().scopes(scopes.iter().copied()));

    let both = with(&["inner", "outer"]);
    assert_eq!(program.ask(router.clone(), &both).await.0, 200);
    for one in ["inner", "outer"] {
        assert_eq!(program.ask(router.clone(), &with(&[one])).await.0, 403);
    }
}

#[tokio::test]
async fn unconfirmed_address_is_refused_where_one_is_needed() {
    let program = Program::new();
    let by_layer = plain().route_layer(program.auth.guard().verified_email());
    let by_extractor = page(get(async |_: VerifiedEmail<Claims>| "let in"));
    let with = |is_verified| {
        let email = Some(("ada@example.com".to_owned(), is_verified));
        let subject = Subject {
            email,
            ..Program::subject()
        };
        program.issued(&subject, Grant::new())
    };

    for router in [by_layer, by_extractor] {
        assert_eq!(program.ask(router.clone(), &with(true)).await.0, 200);
        let refused = program.ask(router.clone(), &with(false)).await;
        assert_eq!(refused, said(403, "email_unverified"));
        let refused = program.ask(router, &program.token(Grant::new())).await;
        assert_eq!(refused, said(403, "email_unverified"));
    }
}

#[tokio::test]
async fn current_user_is_looked_up_and_must_be_there() {
    let program = Program::new();
    let router = page(get(async |CurrentUser(user): CurrentUser<String>| user));
    let with = |scope: Option<&str>| program.token(Grant::new().scopes(scope));

    let expected = format!("user {}", Uuid::from_u128(1));
    let there = program.ask(router.clone(), &with(Some("a"))).await;
    assert_eq!(there, (200, expected));
    let gone = program.ask(router.clone(), &with(None)).await;
    assert_eq!(gone, said(401, "token_revoked"));
    let broken = program.ask(router, &with(Some("broken"))).await;
    assert_eq!(broken, said(503, "unavailable"));
}

#[tokio::test]
async fn revoked_token_is_refused_but_where_that_is_not_asked() {
    let revoked = RevokedTokens::default();
    let program = Program::new().configured({
        let revoked = revoked.clone();
        |auth| auth.revocation(revoked)
    });
    let router = page(get(async |_: Claims| "let in"));
    let skipping = router
        .clone()
        .route_layer(program.auth.guard().skip_revocation());
    let (token, other) = (program.token(Grant::new()), program.token(Grant::new()));
    let now = program.clock.now().as_secs();
    let keys = PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, SECRET).unwrap()]);
    let verifier = Verifier::new(keys.unwrap(), NAME, NAME);

    assert!(revoked.revoke(&verifier.verify(&token, now).unwrap()));

    let refused = program.ask(router.clone(), &token).await;
    assert_eq!(refused, said(401, "token_revoked"));
    assert_eq!(program.ask(router, &other).await.0, 200);
    assert_eq!(program.ask(skipping, &token).await.0, 200);
}

#[tokio::test]
async fn guard_that_skips_revocation_does_not_skip_it_for_a_guard_outside() {
    let revoked = RevokedTokens::default();
    let program = Program::new().configured({
        let revoked = revoked.clone();
        |auth| auth.revocation(revoked)
    });
    let router = plain()
        .route_layer(program.auth.guard().skip_revocation())
        .route_layer(program.auth.guard());
    let token = program.token(Grant::new());
    let keys = PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, SECRET).unwrap()]);
    let verifier = Verifier::new(keys.unwrap(), NAME, NAME);

    revoked.revoke(
        &verifier
            .verify(&token, program.clock.now().as_secs())
            .unwrap(),
    );

    let refused = program.ask(router, &token).await;
    assert_eq!(refused, said(401, "token_revoked"));
}

#[tokio::test]
async fn guard_inside_one_that_skips_revocation_asks_for_it_all_the_same() {
    let revoked = RevokedTokens::default();
    let program = Program::new();
    let other = program.auth.clone();
    let program = program.configured({
        let revoked = revoked.clone();
        |auth| auth.revocation(revoked)
    });
    let token = program.token(Grant::new());
    let keys = PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, SECRET).unwrap()]);
    let verifier = Verifier::new(keys.unwrap(), NAME, NAME);
    revoked.revoke(
        &verifier
            .verify(&token, program.clock.now().as_secs())
            .unwrap(),
    );

    for outer in [&program.auth, &other] {
        let router = plain()
            .route_layer(program.auth.guard())
            .route_layer(outer.guard().skip_revocation());
        let refused = program.ask(router, &token).await;
        assert_eq!(refused, said(401, "token_revoked"));
        // An extractor of another `Auth` than the layer's follows its own.
        let router =
            page(get(async |_: Claims| "let in")).route_layer(other.guard().skip_revocation());
        let refused = program.ask(router, &token).await;
        assert_eq!(refused, said(401, "token_revoked"));
    }
}

#[tokio::test]
async fn token_judged_without_revocation_is_judged_again_by_who_asks_for_it() {
    // The handler's own guard is the usual one, by another `Auth` than that of the layer.
    let revoked = RevokedTokens::default();
    let program = Program::new();
    let lax = program.auth.clone();
    let program = program.configured({
        let revoked = revoked.clone();
        |auth| auth.revocation(revoked)
    });
    let router = page(get(async |_: Claims| "let in")).route_layer(lax.guard());
    let token = program.token(Grant::new());
    let keys = PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, SECRET).unwrap()]);
    let verifier = Verifier::new(keys.unwrap(), NAME, NAME);

    revoked.revoke(
        &verifier
            .verify(&token, program.clock.now().as_secs())
            .unwrap(),
    );

    let refused = program.ask(router, &token).await;
    assert_eq!(refused, said(401, "token_revoked"));
}

#[tokio::test]
async fn where_revocation_cannot_be_told_the_answer_is_503() {
    struct Away;
    impl Revocation for Away {
        fn is_revoked<'a>(
            &'a self,
            _: &'a Verified,
        ) -> Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send + 'a>> {
            Box::pin(std::future::ready(Err("the list is away".into())))
        }
    }
    let program = Program::new().configured(|auth| auth.revocation(Away));

    let answer = program
        .ask(
            page(get(async |_: Claims| "let in")),
            &program.token(Grant::new()),
        )
        .await;
    assert_eq!(answer, said(503, "unavailable"));
}

#[tokio::test]
async fn program_may_refuse_claims() {
    let program =
        Program::new().configured(|auth| auth.check_claims(|token| token.scope().contains("ours")));
    let router = page(get(async |_: Claims| "let in"));

    let ours = program.token(Grant::new().scopes(["ours"]));
    assert_eq!(program.ask(router.clone(), &ours).await.0, 200);
    let refused = program.ask(router, &program.token(Grant::new())).await;
    assert_eq!(refused, said(401, "token_invalid"));
}

#[tokio::test]
async fn program_may_answer_refusals_in_its_own_way() {
    let program = Program::new().configured(|auth| {
        auth.answer_refusals(|error| match error.error() {
            GuardError::Missing(_) => Some("who are you?".into_response()),
            _ => None,
        })
    });
    let request = || Request::get("/").body(Body::empty()).unwrap();

    for router in [
        page(get(async |_: Claims| "let in")),
        plain().route_layer(program.auth.guard()),
    ] {
        let (_, own, _) = program.answer(router.clone(), request()).await;
        assert_eq!(own, "who are you?");
        let usual = program.ask(router, "bad").await;
        assert_eq!(usual, said(401, "token_invalid"));
    }
}

#[tokio::test]
async fn answer_of_the_programs_own_sees_the_token_only_where_it_is_genuine() {
    let program = Program::new().configured(|auth| {
        auth.answer_refusals(|refused| {
            let claims = refused.token().map(|token| token.claims["sub"].to_string());
            Some(
                claims
                    .unwrap_or_else(|| "nobody".to_owned())
                    .into_response(),
            )
        })
    });
    let subject = format!("\"{}\"", Program::subject().id);
    let old = program.token(Grant::new());
    let (message, _) = old.rsplit_once('.').unwrap();
    let forged = format!("{message}.{}", "A".repeat(43));

    for router in [
        page(get(async |_: Fresh<Claims>| "let in")),
        plain().route_layer(program.auth.guard().fresh()),
    ] {
        assert_eq!(program.ask(router.clone(), &old).await.1, subject);
        assert_eq!(program.ask(router, &forged).await.1, "nobody");
    }
    program.clock.advance(Duration::from_hours(1));
    let router = page(get(async |_: Claims| "let in"));
    assert_eq!(program.ask(router.clone(), &old).await.1, subject);
    assert_eq!(program.ask(router, &forged).await.1, "nobody");
}

fn everywhere() -> Locations {
    Locations::new(Location::ALL.map(|(_, location)| location))
        .unwrap()
        .cookies(AccessCookies::plain())
}

#[tokio::test]
async fn one_of_four_places_suffices_and_is_told() {
    let program = Program::new().configured(|auth| auth.locations(everywhere()));
    let router =
        page(any(async |location: Location| location.as_str())).route_layer(program.auth.guard());
    let token = program.token(Grant::new());

    for (request, place) in [
        (bearing(&token).body(Body::empty()), "headers"),
        (
            Request::get("/")
                .header(header::COOKIE, format!("access_token_cookie={token}"))
                .body(Body::empty()),
            "cookies",
        ),
        (
            Request::get(format!("/?jwt={token}")).body(Body::empty()),
            "query_string",
        ),
        (
            Request::post("/")
                .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
                .body(Body::from(format!(r#"{{"access_token":"{token}"}}"#))),
            "json",
        ),
    ] {
        let (status, text, _) = program.answer(router.clone(), request.unwrap()).await;
        assert_eq!((status, &*text), (200, place));
    }
}

#[tokio::test]
async fn body_with_a_token_in_it_reaches_the_handler_whole() {
    let program = Program::new().configured(|auth| auth.locations(everywhere()));
    let router = page(post(
        async |_: Claims, Json(body): Json<serde_json::Value>| {
            body["note"].as_str().unwrap().to_owned()
        },
    ))
    .layer(program.auth.json_tokens());
    let token = program.token(Grant::new());
    let body = format!(r#"{{"access_token":"{token}","note":"water the plants"}}"#);

    let request = Request::post("/")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body));
    let (status, text, _) = program.answer(router, request.unwrap()).await;
    assert_eq!((status, &*text), (200, "water the plants"));
}

#[tokio::test]
async fn body_that_nobody_reads_is_a_fault_of_the_program_and_lets_nobody_in() {
    let json = Locations::new([Location::Json]).unwrap();
    let program = Program::new().configured(|auth| auth.locations(json));
    let request = Request::get("/").body(Body::empty()).unwrap();

    let answer = program
        .answer(page(get(async |_: Claims| "let in")), request)
        .await;
    assert_eq!((answer.0, &*answer.1), (500, "internal_error"));
}

#[tokio::test]
async fn large_body_is_refused_before_a_token_is_looked_for() {
    let json = Locations::new([Location::Json]).unwrap();
    let program = Program::new().configured(|auth| auth.locations(json));
    let router = plain().route_layer(program.auth.guard());
    let request = Request::post("/")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("x".repeat(16 * 1024 + 1)));

    let answer = program.answer(router, request.unwrap()).await;
    assert_eq!((answer.0, &*answer.1), (413, "body_too_large"));
}

#[tokio::test]
async fn body_is_not_read_where_a_place_before_it_has_the_token() {
    let places = Locations::new([Location::Headers, Location::Json]).unwrap();
    let program = Program::new().configured(|auth| auth.locations(places));
    let router = plain().route_layer(program.auth.guard());
    let request = bearing(&program.token(Grant::new()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("x".repeat(17 * 1024)));

    let answer = program.answer(router, request.unwrap()).await;
    assert_eq!((answer.0, &*answer.1), (200, "let in"));
}

#[tokio::test]
async fn member_of_the_body_has_the_name_that_the_route_gives_it() {
    let json = || Locations::new([Location::Json]).unwrap();
    let program = Program::new().configured(|auth| auth.locations(json()));
    let own = json().json("token").unwrap();
    let router = plain()
        .route_layer(program.auth.guard().locations(own))
        .layer(program.auth.json_tokens());
    let ask = async |name: &str| {
        let token = program.token(Grant::new());
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(format!(r#"{{"{name}":"{token}"}}"#)));
        program.answer(router.clone(), request.unwrap()).await.0
    };

    assert_eq!(ask("token").await, 200);
    assert_eq!(ask("access_token").await, 401);
}

#[tokio::test]
async fn route_may_look_elsewhere_than_the_rest() {
    let program = Program::new();
    let query = Locations::new([Location::QueryString]).unwrap();
    let router =
        page(get(async |_: Claims| "let in")).route_layer(program.auth.guard().locations(query));
    let token = program.token(Grant::new());
    let by_query = || Request::get(format!("/?jwt={token}")).body(Body::empty());

    let (status, _, _) = program.answer(router.clone(), by_query().unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(
        program.ask(router, &token).await,
        said(401, "token_missing")
    );
    let rest = page(get(async |_: Claims| "let in"));
    let (status, _, _) = program.answer(rest, by_query().unwrap()).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn token_in_a_cookie_changes_nothing_unless_the_request_repeats_its_secret() {
    let cookies = Locations::new([Location::Cookies]).unwrap();
    let cookies = cookies.cookies(AccessCookies::plain());
    let program = Program::new().configured(|auth| auth.locations(cookies));
    let router = page(any(async |_: Claims| "let in"));
    let issued = program
        .issuer
        .issue_for_cookies(&Program::subject(), Grant::new())
        .unwrap();
    let ask = async |method: &str, token: &str, repeated: &[&str]| {
        let mut request = Request::builder().method(method).uri("/");
        request = request.header(header::COOKIE, format!("access_token_cookie={token}"));
        for value in repeated {
            request = request.header("X-CSRF-TOKEN", *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (status, text, _) = program.answer(router.clone(), request).await;
        (status, text)
    };
    let (token, csrf) = (issued.token.expose(), issued.csrf.expose());

    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(ask(method, token, &[]).await.0, 200, "{method}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        assert_eq!(ask(method, token, &[csrf]).await.0, 200, "{method}");
        for repeated in [&[] as &[&str], &[""], &["x"], &[&csrf[1..]], &[csrf, csrf]] {
            let refused = ask(method, token, repeated).await;
            assert_eq!(refused, said(403, "csrf_failed"), "{method} {repeated:?}");
        }
    }
    // One that was not issued for a cookie has nothing to repeat.
    let plain = program.token(Grant::new());
    for repeated in [&[] as &[&str], &[""], &["undefined"]] {
        assert_eq!(
            ask("POST", &plain, repeated).await,
            said(403, "csrf_failed")
        );
    }
}

#[tokio::test]
async fn token_for_a_cookie_is_good_in_a_header_without_repetition() {
    let program = Program::new();
    let issued = program
        .issuer
        .issue_for_cookies(&Program::subject(), Grant::new())
        .unwrap();
    let router = page(any(async |_: Claims| "let in"));
    let request = Request::post("/")
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", issued.token.expose()),
        )
        .body(Body::empty());

    assert_eq!(program.answer(router, request.unwrap()).await.0, 200);
}

#[tokio::test]
async fn text_says_where_a_token_was_looked_for() {
    let program = Program::new().configured(|auth| auth.locations(everywhere()));
    let router = plain().route_layer(program.auth.guard());
    let request = Request::get("/").body(Body::empty()).unwrap();

    let response = router
        .with_state(State {
            auth: program.auth.clone(),
            users: UserLookup::new(async |_| Ok::<_, BoxError>(None)),
        })
        .oneshot(request)
        .await
        .unwrap();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();

    insta::assert_snapshot!(problem["detail"].as_str().unwrap(), @"Send an access token in the header «Authorization: Bearer …», the cookie «access_token_cookie», the query parameter «jwt» or the member «access_token» of a JSON body.");
}

#[tokio::test]
async fn judged_token_cannot_be_brought_along_by_a_request() {
    // Another layer may put anything into the request's extensions but a judged token: its type is
    // private. One without a token stays without.
    let program = Program::new();
    let router = page(get(async |_: Claims| "let in")).layer(map_request(
        async |mut request: Request<Body>| {
            request.extensions_mut().insert(Location::Headers);
            request
        },
    ));
    let request = Request::get("/").body(Body::empty()).unwrap();

    assert_eq!(program.answer(router, request).await.0, 401);
}

#[tokio::test]
async fn flask_answers_have_its_status_and_message() {
    let program = Program::new().configured(|auth| auth.answer_refusals(flask_answer));
    let router = page(get(async |_: Fresh<Claims>| "let in"));
    let old = program.token(Grant::new());
    let without = Request::get("/").body(Body::empty()).unwrap();

    let (status, text, challenge) = program.answer(router.clone(), without).await;
    assert_eq!(
        (status, &*text, &*challenge),
        (401, r#"{"msg":"Missing Authorization Header"}"#, "")
    );
    assert_eq!(
        program.ask(router.clone(), "a.b").await,
        said(422, r#"{"msg":"Not enough segments"}"#)
    );
    assert_eq!(
        program.ask(router.clone(), &old).await,
        said(401, r#"{"msg":"Fresh token required"}"#)
    );
    program.clock.advance(Duration::from_hours(1));
    assert_eq!(
        program.ask(router, &old).await,
        said(401, r#"{"msg":"Token has expired"}"#)
    );
}

/// Every guard there is, each on a route of its own.
fn every_guard(program: &Program) -> Vec<(&'static str, Router<State>)> {
    let guard = || program.auth.guard();
    let taken = |handler| page(handler);
    vec![
        ("claims", taken(any(async |_: Claims| "let in"))),
        (
            "optional claims",
            taken(any(async |_: Option<Claims>| "let in")),
        ),
        ("any claims", taken(any(async |_: AnyClaims| "let in"))),
        ("the token itself", taken(any(async |_: Verified| "let in"))),
        ("its place", taken(any(async |_: Location| "let in"))),
        ("fresh", taken(any(async |_: Fresh<Claims>| "let in"))),
        (
            "verified",
            taken(any(async |_: VerifiedEmail<Claims>| "let in")),
        ),
        ("user", taken(any(async |_: CurrentUser<String>| "let in"))),
        (
            "optional user",
            taken(any(async |_: Option<CurrentUser<String>>| "let in")),
        ),
        ("layer", plain().route_layer(guard())),
        (
            "layer with needs",
            plain().route_layer(guard().scope("a").role("b").fresh()),
        ),
        (
            "layer without revocation",
            plain().route_layer(guard().skip_revocation()),
        ),
        (
            "layers and claims",
            taken(any(async |_: Claims| "let in"))
                .route_layer(guard())
                .route_layer(guard().skip_revocation()),
        ),
    ]
}

/// What an attacker would try who has one genuine token, of everything that a guard may ask for.
fn forged(genuine: &str) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = genuine.split('.').collect();
    let with = |index: usize, member: &str, value: serde_json::Value| {
        let mut segment: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[index]).unwrap()).unwrap();
        segment[member] = value;
        let written = URL_SAFE_NO_PAD.encode(segment.to_string());
        let mut parts = parts.clone();
        parts[index] = &written;
        parts.join(".")
    };
    let (head, signature) = genuine.rsplit_once('.').unwrap();
    let swapped = if signature.starts_with('A') { 'B' } else { 'A' };
    vec![
        ("another account", with(1, "sub", json!(Uuid::from_u128(9)))),
        ("more scopes", with(1, "scope", json!("a root"))),
        ("a longer life", with(1, "exp", json!(9_999_999_999_i64))),
        ("no algorithm", with(0, "alg", json!("none"))),
        ("another algorithm", with(0, "alg", json!("HS512"))),
        ("another type", with(0, "typ", json!("JWT"))),
        ("another key", with(0, "kid", json!("other"))),
        (
            "a key of its own",
            with(0, "jwk", json!({ "kty": "oct", "k": "AA" })),
        ),
        ("critical", with(0, "crit", json!(["exp"]))),
        ("no signature", format!("{head}.")),
        ("two parts", head.to_owned()),
        ("four parts", format!("{genuine}.{signature}")),
        (
            "another signature",
            format!("{head}.{swapped}{}", &signature[1..]),
        ),
        ("something behind it", format!("{genuine}A")),
        ("a long one", format!("{head}.{}", "A".repeat(9000))),
    ]
}

#[tokio::test]
async fn attack_table_is_refused_by_every_guard_in_every_place() {
    let program = Program::new().configured(|auth| auth.locations(everywhere()));
    let subject = Subject {
        email: Some(("ada@example.com".to_owned(), true)),
        ..Program::subject()
    };
    let grant = Grant::new().scopes(["a"]).roles(["b"]);
    let issued = program
        .issuer
        .issue_fresh(&subject, &["pwd"], grant)
        .unwrap();
    let genuine = issued.expose();
    let in_place = |place: Location, token: &str| {
        let request = match place {
            Location::Headers => bearing(token).body(Body::empty()),
            Location::Cookies => Request::get("/")
                .header(header::COOKIE, format!("access_token_cookie={token}"))
                .body(Body::empty()),
            Location::QueryString => Request::get(format!("/?jwt={token}")).body(Body::empty()),
            Location::Json => Request::post("/")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(json!({ "access_token": token }).to_string())),
        };
        request.unwrap()
    };
    let mut refused = 0;

    for (name, router) in every_guard(&program) {
        let router = router.layer(program.auth.json_tokens());
        for (_, place) in Location::ALL {
            let good = program
                .answer(router.clone(), in_place(place, genuine))
                .await;
            assert_eq!((good.0, &*good.1), (200, "let in"), "{name} in {place:?}");
            for (what, token) in forged(genuine) {
                let answer = program
                    .answer(router.clone(), in_place(place, &token))
                    .await;
                assert_eq!(
                    (answer.0, &*answer.1),
                    (401, "token_invalid"),
                    "{what}: {name} in {place:?}"
                );
                assert!(
                    answer.2.contains("error=\"invalid_token\""),
                    "{what}: {name}"
                );
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 13 * 4 * 15);
}
