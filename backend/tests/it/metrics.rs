//! What is counted, and where it can be read.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use axum::body::{Body, to_bytes};
use countersign_types::routes;
use http::Request;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tower::ServiceExt as _;

use crate::support::{
    Answer, Binary, Database, PASSWORD, TestApp, backends, countersign, credentials,
};

/// What stands at `/metrics`.
async fn text(app: &TestApp) -> String {
    let request = Request::get(routes::METRICS)
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let response = app.app.metrics().oneshot(request).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The values that are not zero, of every metric whose name begins so.
fn counted(text: &str, name: &str) -> BTreeMap<String, f64> {
    text.lines()
        .filter(|line| line.starts_with(name))
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .filter(|(_, value)| *value > 0.0)
        .collect()
}

/// The same, a line each.
fn lines(text: &str, names: &[&str]) -> String {
    names
        .iter()
        .flat_map(|name| counted(text, name))
        .map(|(name, value)| format!("{name} {value}\n"))
        .collect()
}

backends! {
    async fn signing_in_is_counted_by_how_it_ends(app: TestApp) {
        app.register("ada@example.com").await;
        app.sign_in("ada@example.com").await;
        app.post(routes::SIGN_IN, &credentials("ada@example.com", "wrong")).await;
        app.post(routes::SIGN_IN, &credentials("eve@example.com", "wrong")).await;
        app.post(routes::REGISTER, &credentials("ada@example.com", PASSWORD)).await;

        let text = text(&app).await;

        assert_snapshot!(lines(&text, &["countersign_sign_ins", "countersign_registrations", "countersign_tokens"]), @r#"
        countersign_sign_ins_total{result="invalid_credentials"} 2
        countersign_sign_ins_total{result="success"} 1
        countersign_registrations_total{result="email_taken"} 1
        countersign_registrations_total{result="success"} 1
        countersign_tokens_issued_total 2
        "#);
    }

    async fn refreshing_is_counted_by_what_became_of_the_token(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;
        let second = app.refresh_pair(&first.refresh).await;
        app.refresh_pair(&first.refresh).await;
        app.refresh_pair(&second.refresh).await;
        app.refresh(&first.refresh).await;
        app.refresh(&"A".repeat(43)).await;

        let text = text(&app).await;

        assert_snapshot!(lines(&text, &["countersign_refreshes", "countersign_sessions_ended"]), @r#"
        countersign_refreshes_total{result="invalid"} 1
        countersign_refreshes_total{result="repeated"} 1
        countersign_refreshes_total{result="reused"} 1
        countersign_refreshes_total{result="rotated"} 2
        countersign_sessions_ended_total{reason="reuse"} 1
        "#);
    }

    async fn ended_session_is_counted_once_by_why_it_ended(app: TestApp) {
        let one = app.register_pair("ada@example.com").await;
        let two = app.sign_in_pair("ada@example.com").await;
        let three = app.sign_in_pair("ada@example.com").await;
        app.post_as(routes::LOGOUT, &one.access).await;
        app.post(routes::LOGOUT, &json!({ "refresh_token": one.refresh })).await;
        app.delete_as(routes::SESSIONS, &two.access).await;
        app.delete_as(routes::SESSIONS, &two.access).await;
        app.post(routes::LOGOUT, &json!({ "refresh_token": two.refresh })).await;
        app.post_as(routes::LOGOUT, &three.access).await;

        let text = text(&app).await;

        assert_snapshot!(lines(&text, &["countersign_sessions_ended"]), @r#"
        countersign_sessions_ended_total{reason="sign_out"} 2
        countersign_sessions_ended_total{reason="sign_out_elsewhere"} 1
        "#);
    }

    async fn refused_tokens_and_problems_are_counted_by_why(app: TestApp) {
        let token = app.register("ada@example.com").await;
        app.protected(&token).await;
        app.protected("nonsense").await;
        app.get(routes::PROTECTED).await;
        app.post_as(routes::LOGOUT, &token).await;
        app.protected(&token).await;

        let text = text(&app).await;

        assert_snapshot!(lines(&text, &["countersign_token_checks", "countersign_problems"]), @r#"
        countersign_token_checks_total{result="accepted"} 2
        countersign_token_checks_total{result="invalid"} 1
        countersign_token_checks_total{result="revoked"} 1
        countersign_problems_total{code="token_invalid"} 1
        countersign_problems_total{code="token_missing"} 1
        countersign_problems_total{code="token_revoked"} 1
        "#);
    }

    async fn database_that_is_away_is_counted(app: TestApp) {
        let token = app.register("ada@example.com").await;
        app.app.db.close().await;

        app.protected(&token).await;
        app.post(routes::SIGN_IN, &credentials("ada@example.com", PASSWORD)).await;

        let text = text(&app).await;
        assert_snapshot!(lines(&text, &["countersign_database_errors", "countersign_sign_ins"]), @r#"
        countersign_database_errors_total{kind="unavailable"} 2
        countersign_sign_ins_total{result="failed"} 1
        "#);
    }
}

#[tokio::test]
async fn oldest_sessions_that_make_room_are_counted() {
    let app = TestApp::with(&[("SESSION__MAX_PER_ACCOUNT", "1")]).await;
    app.register("ada@example.com").await;
    app.sign_in("ada@example.com").await;
    app.sign_in("ada@example.com").await;

    let text = text(&app).await;

    assert_snapshot!(lines(&text, &["countersign_sessions_ended"]), @r#"countersign_sessions_ended_total{reason="too_many"} 2"#);
}

#[tokio::test]
async fn request_is_counted_by_method_route_and_class_of_status() {
    let app = TestApp::with(&[]).await;
    let token = app.register("ada@example.com").await;
    app.delete_as(
        &routes::session("01a21387-0256-7f38-91f8-55d155c9fe3d"),
        &token,
    )
    .await;
    app.get("/secret/ada@example.com").await;
    Answer::of(app.request(Method::from_bytes(b"ADA").unwrap(), routes::SIGN_IN)).await;
    Answer::of(app.request(Method::HEAD, routes::HEALTHZ)).await;
    app.get(&format!("/{}", "x".repeat(9000))).await;

    let text = text(&app).await;

    assert_snapshot!(lines(&text, &["countersign_http_requests_total", "countersign_http_requests_in_flight", "countersign_http_request_duration_seconds_count"]), @r#"
    countersign_http_requests_total{method="DELETE",route="/auth/sessions/{id}",status="4xx"} 1
    countersign_http_requests_total{method="GET",route="none",status="4xx"} 2
    countersign_http_requests_total{method="HEAD",route="/healthz",status="2xx"} 1
    countersign_http_requests_total{method="POST",route="/auth/register",status="2xx"} 1
    countersign_http_requests_total{method="other",route="/auth",status="4xx"} 1
    countersign_http_request_duration_seconds_count{route="/auth"} 1
    countersign_http_request_duration_seconds_count{route="/auth/register"} 1
    countersign_http_request_duration_seconds_count{route="/auth/sessions/{id}"} 1
    countersign_http_request_duration_seconds_count{route="/healthz"} 1
    countersign_http_request_duration_seconds_count{route="none"} 2
    "#);
}

#[tokio::test]
async fn no_label_holds_what_somebody_sent() {
    let app = TestApp::with(&[("LIMITS__SCALE", "0.01")]).await;
    let pair = app.register_pair("ada@example.com").await;
    for secret in ["ada@example.com", &pair.access, &pair.refresh, "192.0.2.7"] {
        app.get(&format!("/{secret}")).await;
        app.get(&format!("/auth?token={secret}")).await;
        app.get_as(routes::ME, secret).await;
        app.refresh(secret).await;
        app.post(routes::SIGN_IN, &credentials("ada@example.com", secret))
            .await;
        app.post(routes::REGISTER, &credentials("ada@example.com", secret))
            .await;
        let request = app
            .request(Method::GET, routes::HEALTHZ)
            .header("x-forwarded-for", secret);
        Answer::of(request.header("host", "ada.example.com")).await;
    }

    let text = text(&app).await;

    for word in [
        "ada",
        "192.0.2.7",
        "example",
        &pair.access,
        &pair.refresh,
        "127.0.0.1",
    ] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn limits_that_refuse_are_counted_by_their_kind() {
    let app = TestApp::with(&[]).await;
    for _ in 0..12 {
        app.post(routes::SIGN_IN, &credentials("ada@example.com", "wrong"))
            .await;
    }

    let text = text(&app).await;

    assert_snapshot!(lines(&text, &["countersign_limits_refused", "countersign_sign_ins"]), @r#"
    countersign_limits_refused_total{limit="sign_in_account"} 2
    countersign_sign_ins_total{result="invalid_credentials"} 10
    countersign_sign_ins_total{result="limited"} 2
    "#);
}

#[tokio::test]
async fn client_that_leaves_is_counted_and_waits_no_longer() {
    let app = TestApp::with(&[]).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = "POST /auth HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let is = async |line: &str| {
        let seen = async {
            while !text(&app).await.lines().any(|of| of == line) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), seen).await;
        assert!(in_time.is_ok(), "never: {line}");
    };
    is("countersign_http_requests_in_flight 1").await;

    drop(stream);

    is("countersign_http_requests_in_flight 0").await;
    assert_eq!(
        counted(&text(&app).await, "countersign_http_requests_total").len(),
        1
    );
}

#[tokio::test]
async fn everything_that_can_happen_is_there_before_it_happens() {
    let app = TestApp::with(&[]).await;

    let text = text(&app).await;

    for line in [
        r#"countersign_sign_ins_total{result="invalid_credentials"} 0"#,
        r#"countersign_refreshes_total{result="reused"} 0"#,
        r#"countersign_problems_total{code="internal_error"} 0"#,
        r#"countersign_limits_refused_total{limit="refresh_account"} 0"#,
        "countersign_password_hashing_refused_total 0",
        "countersign_password_hashing_running 0",
        "countersign_password_hashing_waiting 0",
        r#"countersign_database_connections_max{pool="write"} 1"#,
        &format!(
            r#"countersign_build_info{{version="{}"}} 1"#,
            env!("CARGO_PKG_VERSION")
        ),
    ] {
        assert!(text.lines().any(|of| of == line), "{line}\n{text}");
    }
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "process_open_fds",
    ] {
        assert!(counted(&text, name)[name] > 0.0, "{name}");
    }
}

#[tokio::test]
async fn every_metric_says_what_it_is_and_of_which_kind() {
    let app = TestApp::with(&[]).await;
    app.get(routes::HEALTHZ).await;

    let text = text(&app).await;

    let mut described = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(described.insert(name.to_owned()), "{name} is there twice");
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            assert!(described.contains(family), "{line}");
        }
    }
}

#[tokio::test]
async fn public_listener_knows_no_metrics() {
    let app = TestApp::with(&[("METRICS__LISTEN", "127.0.0.1:0")]).await;

    for path in [routes::METRICS, "/auth/metrics"] {
        assert_eq!(
            app.get(path).await.summary(),
            "404 application/problem+json not_found"
        );
    }
}

/// A running binary, and where it can be read.
fn serve(folder: &Path) -> (Binary, SocketAddr) {
    let settings = [("COUNTERSIGN_METRICS__LISTEN", "127.0.0.1:0")];
    let (binary, log) = Binary::serve_with(folder, &Database::sqlite(), &settings);
    let address = log
        .iter()
        .find_map(|line| line["fields"]["metrics"].as_str()?.parse().ok())
        .expect("it says where");
    (binary, address)
}

#[tokio::test]
async fn own_listener_has_the_metrics_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, address) = serve(folder.path());
    let ask = async |method: Method, path: &str| {
        let url = format!("http://{address}{path}");
        Answer::of(reqwest::Client::new().request(method, url)).await
    };
    binary
        .post(routes::REGISTER, &credentials("ada@example.com", PASSWORD))
        .await
        .unwrap();

    let answer = ask(Method::GET, routes::METRICS).await;

    assert!(
        answer
            .body()
            .contains("countersign_registrations_total{result=\"success\"} 1\n")
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(ask(Method::HEAD, routes::METRICS).await.body(), "");
    for (method, path, expected) in [
        (
            Method::POST,
            routes::METRICS,
            "405 application/problem+json method_not_allowed",
        ),
        (
            Method::GET,
            routes::HEALTHZ,
            "404 application/problem+json not_found",
        ),
        (
            Method::POST,
            routes::SIGN_IN,
            "404 application/problem+json not_found",
        ),
        (Method::GET, "/", "404 application/problem+json not_found"),
    ] {
        assert_eq!(ask(method, path).await.summary(), expected, "{path}");
    }
}

#[tokio::test]
async fn metrics_can_be_read_to_the_end_of_the_drain() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, address) = serve(folder.path());
    let in_flight = async |number: u32| {
        let line = format!("countersign_http_requests_in_flight {number}\n");
        let url = format!("http://{address}{}", routes::METRICS);
        let seen = async {
            while !Answer::of(reqwest::Client::new().get(&url))
                .await
                .body()
                .contains(&line)
            {}
        };
        tokio::time::timeout(Duration::from_secs(5), seen)
            .await
            .is_ok()
    };
    let mut slow = TcpStream::connect(binary.address()).await.unwrap();
    let head = "POST /auth HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    assert!(in_flight(1).await, "it waits for the rest of the body");

    binary.terminate();
    while TcpStream::connect(binary.address()).await.is_ok() {}

    assert!(in_flight(1).await, "what is not finished can be seen");
    slow.write_all(b"}").await.unwrap();
    assert!(
        tokio::task::spawn_blocking(move || binary.has_ended_well())
            .await
            .unwrap()
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[test]
fn taken_port_of_the_metrics_stops_the_start_and_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();

    let output = countersign()
        .args(["serve", "--port", "0"])
        .current_dir(folder.path())
        .env("COUNTERSIGN_METRICS__LISTEN", address.to_string())
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = format!("port {} of metrics.listen is in use", address.port());
    assert!(text.contains(&expected), "{text}");
    assert!(
        text.contains("set metrics.listen to another, such as 127.0.0.1:"),
        "{text}"
    );
    assert_eq!(
        folder.path().read_dir().unwrap().count(),
        0,
        "nothing was made"
    );
}
