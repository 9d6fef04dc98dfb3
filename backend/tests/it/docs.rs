//! The page at `/docs` against the document that it shows.

use countersign::Countersign;
use countersign_types::{ProblemCode, routes};
use reqwest::Method;

use crate::{
    contract::operations,
    support::{Answer, TestApp},
};

/// What stands in every attribute of this name.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    html.split(&start)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect()
}

#[tokio::test]
async fn page_shows_every_operation_and_every_problem_of_the_document() {
    let app = TestApp::with(&[]).await;
    let document = app.get(routes::OPENAPI).await.json();
    let page = app.get(routes::DOCS).await;
    let ids = attributes(page.body(), "id");

    for (path, method, operation) in operations(&document) {
        let id = format!("{}{}", method.to_lowercase(), path.replace('/', "-"));
        assert!(ids.contains(&&*id.replace(['{', '}'], "")), "{id}: {ids:?}");
        let summary = operation["summary"].as_str().unwrap();
        let summary = summary.split('`').next().unwrap().replace('\'', "&#39;");
        assert!(page.body().contains(&summary), "{summary}");
        assert!(
            document["tags"]
                .as_array()
                .unwrap()
                .iter()
                .any(|tag| tag["name"] == operation["tags"][0]),
            "{method} {path} is in no group of the page"
        );
    }
    for code in ProblemCode::ALL {
        assert!(ids.contains(&&*format!("problem-{code}")), "{code}");
    }
}

#[tokio::test]
async fn every_link_within_the_page_leads_somewhere_and_no_place_is_there_twice() {
    let app = TestApp::with(&[]).await;
    let page = app.get(routes::DOCS).await;
    let mut ids = attributes(page.body(), "id");

    for link in attributes(page.body(), "href") {
        if let Some(id) = link.strip_prefix('#') {
            assert!(ids.contains(&id), "{link}");
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[tokio::test]
async fn page_needs_no_script_and_nothing_from_elsewhere() {
    let app = TestApp::with(&[]).await;
    let page = app.get(routes::DOCS).await;

    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    insta::assert_snapshot!(page.header("content-security-policy"), @"default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    assert!(!page.body().contains("<script") && !page.body().contains(" style=\""));
    assert!(attributes(page.body(), "src").is_empty());
    for link in attributes(page.body(), "href") {
        assert!(!link.contains("//") || link.starts_with("data:"), "{link}");
    }
    let style = app.get(routes::DOCS_STYLE).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert!(!style.body().contains("url(") && !style.body().contains("@import"));
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let app = TestApp::with(&[]).await;
    for path in routes::UNDESCRIBED {
        let first = app.get(path).await;
        assert_eq!(first.header("cache-control"), "no-cache", "{path}");

        let request = app
            .request(Method::GET, path)
            .header("if-none-match", first.header("etag"));
        let second = Answer::of(request).await;

        assert_eq!((second.status(), second.body()), (304, ""), "{path}");
    }
}

#[tokio::test]
async fn page_is_only_read() {
    let app = TestApp::with(&[]).await;

    let answer = Answer::of(app.request(Method::POST, routes::DOCS)).await;

    assert_eq!(
        answer.summary(),
        "405 application/problem+json method_not_allowed"
    );
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn mounted_api_has_the_page_also_below_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let app = Countersign::builder()
        .data_dir(folder.path())
        .build()
        .await
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().nest("/accounts", app.api());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let get = async |path: &str| {
        let url = format!("http://{address}/accounts{path}");
        Answer::of(reqwest::Client::new().get(url)).await
    };

    let page = get(routes::DOCS).await;

    assert_eq!(page.status(), 200);
    // Relative, so that it is found wherever the page is.
    assert!(page.body().contains("href=\"docs/style.css\""));
    assert_eq!(get(routes::DOCS_STYLE).await.status(), 200);
}
