//! `test_options_method.py`: what is asked of an `OPTIONS` request.

use axum::http::Method;

use crate::support::{App, method, plain};

#[tokio::test]
async fn options_request_is_guarded_like_any_other() {
    let app = App::new();
    let guard = || app.auth().guard();

    for guarded in [guard(), guard().fresh()] {
        let router = plain().route_layer(guarded);
        let request = method(&Method::OPTIONS);
        assert_eq!(
            app.ask(&router, request).await,
            "401 Missing Authorization Header"
        );
    }
}
