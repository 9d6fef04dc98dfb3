//! Which paths are pages. What is on them is tested in a browser (frontend/tests/browser).

use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::Method;

use crate::support::{Answer, TestApp};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn navigate(app: &TestApp, path: &str) -> Answer {
    Answer::of(app.request(Method::GET, path).header("accept", BROWSER)).await
}

#[tokio::test]
async fn every_page_is_the_application() {
    let app = TestApp::with(&[]).await;
    for path in routes::pages::ALL {
        // Also for whoever asks for no HTML, such as curl.
        for answer in [navigate(&app, path).await, app.get(path).await] {
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(
                answer.header("content-type"),
                "text/html; charset=utf-8",
                "{path}"
            );
            assert_eq!(answer.header("cache-control"), "no-cache", "{path}");
            assert!(
                answer.body().contains("<title>Countersign"),
                "{path}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn unknown_page_is_the_application_with_404_and_the_rest_a_problem() {
    let app = TestApp::with(&[]).await;
    let mut answers = String::new();
    for path in [
        "/nowhere",
        "/sign-in/",
        "/auth/nowhere",
        "/.well-known/x",
        "/dev/mail",
        "/x.js",
    ] {
        answers += &format!("{path}: {}\n", navigate(&app, path).await.summary());
    }
    answers += &format!(
        "/nowhere, not by a browser: {}\n",
        app.get("/nowhere").await.summary()
    );

    assert_snapshot!(answers, @r"
    /nowhere: 404 text/html; charset=utf-8
    /sign-in/: 404 text/html; charset=utf-8
    /auth/nowhere: 404 application/problem+json not_found
    /.well-known/x: 404 application/problem+json not_found
    /dev/mail: 404 application/problem+json not_found
    /x.js: 404 application/problem+json not_found
    /nowhere, not by a browser: 404 application/problem+json not_found
    ");
}

#[tokio::test]
async fn head_of_a_page_is_its_headers() {
    let app = TestApp::with(&[]).await;

    let answer = Answer::of(app.request(Method::HEAD, "/")).await;

    assert_eq!((answer.status(), answer.body()), (200, ""));
}
