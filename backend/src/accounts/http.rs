//! HTTP of accounts.

use axum::{Extension, extract::State, response::IntoResponse};
use countersign_types::{
    FieldProblem, Problem,
    accounts::{
        Account as AccountResponse, AuthConfig, EmailVerification, Home, RegisterRequest,
        Registration as RegistrationPolicy, SignInMethod,
    },
    routes,
    sessions::TokenResponse,
};
use http::{HeaderMap, StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Account, NewAccount, NewAccountErrors, Registration};
use crate::{
    app::App,
    error::{BodyProblems, Error, Unauthorized, Unavailable},
    extract::{ClientAddress, Json},
    no_store::NoStore,
    sessions::{GateError, Opening},
    store::AccountId,
    token::Claims,
    token_answer::TokenAnswer,
};

/// Everything below `/auth` about accounts.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(config))
        .routes(routes!(register))
        .routes(routes!(me))
}

/// What a page needs to know before anyone signs in.
#[utoipa::path(
    get,
    path = routes::CONFIG,
    tag = "accounts",
    responses((status = 200, description = "What is enabled", body = AuthConfig)),
)]
async fn config(State(app): State<App>, Extension(home): Extension<Home>) -> impl IntoResponse {
    NoStore(AuthConfig {
        registration: match app.registration {
            Registration::Open => RegistrationPolicy::Open,
            Registration::Closed => RegistrationPolicy::Closed,
        },
        password: app.password_rules,
        email_verification: EmailVerification::Off,
        mail: false,
        methods: vec![SignInMethod::Password],
        home,
    })
}

/// Creates an account and signs it in.
#[utoipa::path(
    post,
    path = routes::REGISTER,
    tag = "accounts",
    request_body = RegisterRequest,
    responses(
        (status = 201, description = "The account is made and signed in", body = TokenResponse),
        BodyProblems,
        (status = 403, description = "Only the operator makes accounts: `registration_closed`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The address has an account: `email_taken`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many registrations: `rate_limited`", body = Problem, content_type = "application/problem+json"),
        Unavailable,
    ),
)]
async fn register(
    State(app): State<App>,
    from: ClientAddress,
    headers: HeaderMap,
    Json(request): Json<RegisterRequest>,
) -> Result<TokenAnswer, Error> {
    let new = NewAccount::parse(&app.password_rules, &request.email, request.password)?;
    let opening = Opening::requested(&headers, request.refresh);
    let issued = super::register(&app, new, from.prefix(), &opening).await?;
    Ok(TokenAnswer {
        status: StatusCode::CREATED,
        issued,
        delivery: request.refresh,
        https: app.https,
        cookies: app.access_cookies(),
    })
}

impl From<NewAccountErrors> for Error {
    fn from(errors: NewAccountErrors) -> Self {
        let email = errors
            .email
            .map(|error| FieldProblem::new("/email", error.code(), error.to_string()));
        let password = errors
            .password
            .map(|error| FieldProblem::new("/password", error.code(), error.to_string()));
        Self::Fields(email.into_iter().chain(password).collect())
    }
}

/// The account of the presented token.
#[utoipa::path(
    get,
    path = routes::ME,
    tag = "accounts",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The account", body = AccountResponse),
        Unauthorized,
        Unavailable,
    ),
)]
async fn me(State(app): State<App>, claims: Claims) -> Result<impl IntoResponse, Error> {
    let mut tx = app.db.read().await?;
    let account = super::find(&mut tx, AccountId::from(claims.sub)).await?;
    Ok(NoStore(AccountResponse::from(
        account.ok_or(GateError::Ended)?,
    )))
}

impl From<Account> for AccountResponse {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.to_string(),
            email: account.email,
            email_verified: account.email_verified_at.is_some(),
            created_at: account.created_at.to_string(),
        }
    }
}
