//! HTTP of sessions.

use axum::{extract::State, response::IntoResponse};
use countersign_types::{
    Email, FieldProblem, Problem, routes,
    sessions::{LogoutRequest, Message, SignInRequest, TokenResponse, TokenType},
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Issued;
use crate::{
    app::App,
    error::Error,
    extract::{ClientAddress, Json},
    no_store::NoStore,
    token::Claims,
};

/// Signing in and out, and the guarded example.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_in))
        .routes(routes!(logout))
        .routes(routes!(protected_get, protected_post))
}

/// Signs in with a password.
#[utoipa::path(
    post,
    path = routes::SIGN_IN,
    tag = "sessions",
    request_body = SignInRequest,
    responses(
        (status = 200, description = "Signed in", body = TokenResponse),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Unknown address or wrong password", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Some fields do not hold", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many failures", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Overloaded, or the database is away", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn sign_in(
    State(app): State<App>,
    from: ClientAddress,
    Json(request): Json<SignInRequest>,
) -> Result<impl IntoResponse, Error> {
    let email = Email::parse(&request.email).map_err(|error| {
        Error::Fields(vec![FieldProblem::new(
            "/email",
            error.code(),
            error.to_string(),
        )])
    })?;
    let issued = super::sign_in(&app, &email, &request.password, from.prefix()).await?;
    Ok(NoStore(TokenResponse::from(issued)))
}

/// Ends the session of the presented token.
#[utoipa::path(
    post,
    path = routes::LOGOUT,
    tag = "sessions",
    security(("bearer" = [])),
    request_body = Option<LogoutRequest>,
    responses(
        (status = 204, description = "The session has ended, and its tokens with it"),
        (status = 401, description = "No acceptable token", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn logout(
    State(app): State<App>,
    claims: Claims,
    _: Option<Json<LogoutRequest>>,
) -> Result<StatusCode, Error> {
    super::end(&app, &claims).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Greets whoever presents a token.
#[utoipa::path(
    get,
    path = routes::PROTECTED,
    tag = "sessions",
    operation_id = "protected_get",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The greeting", body = Message),
        (status = 401, description = "No acceptable token", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn protected_get(claims: Claims) -> impl IntoResponse {
    NoStore(Message {
        message: format!("welcome {}", claims.email),
    })
}

/// The same by `POST`, as the tutorial has it. No body is read.
#[utoipa::path(
    post,
    path = routes::PROTECTED,
    tag = "sessions",
    operation_id = "protected_post",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The greeting", body = Message),
        (status = 401, description = "No acceptable token", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn protected_post(claims: Claims) -> impl IntoResponse {
    protected_get(claims).await
}

impl From<Issued> for TokenResponse {
    fn from(issued: Issued) -> Self {
        Self {
            access_token: issued.access_token,
            token_type: TokenType::Bearer,
            expires_in: issued.expires_in.as_secs(),
        }
    }
}
