//! HTTP of metrics: what every request is counted by, and the page that Prometheus reads.

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use countersign_types::{Problem, routes};
use http::{Method, StatusCode, header};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

use super::DatabaseFault;
use crate::app::App;

/// The route of what no route takes: whatever stands in such a path is nobody's business.
const NO_ROUTE: &str = "none";

/// The numbers. To be served where only those reach it who may know them.
pub(crate) fn router() -> Router<App> {
    Router::new().route(routes::METRICS, get(show))
}

async fn show(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], app.metrics.text())
}

/// Counts a request, and how it ends.
pub(crate) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or(NO_ROUTE, MatchedPath::as_str);
    let running = app.metrics.begin(method(request.method()), route);
    let began = app.clock.monotonic();

    let response = next.run(request).await;

    let after = app.clock.monotonic().saturating_sub(began);
    running.end(class(response.status()), after);
    if let Some(problem) = response.extensions().get::<Problem>() {
        app.metrics.problem(problem.code);
    }
    if let Some(fault) = response.extensions().get::<DatabaseFault>() {
        app.metrics.database_error(*fault);
    }
    response
}

/// The method, of those that mean something here: a client may send any word.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_method_is_no_label() {
        assert_eq!(method(&Method::DELETE), "DELETE");
        assert_eq!(
            method(&Method::from_bytes(b"ADA.EXAMPLE").unwrap()),
            "other"
        );
    }

    #[test]
    fn statuses_are_counted_by_their_class() {
        for (status, expected) in [(204, "2xx"), (304, "3xx"), (431, "4xx"), (503, "5xx")] {
            assert_eq!(class(StatusCode::from_u16(status).unwrap()), expected);
        }
    }
}
