//! The document at `/openapi.json` against the server that answers it.

use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::Value;

use crate::support::{Answer, TestApp};

/// Path, method, and its description, of every operation.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    operations
}

#[tokio::test]
async fn document_lists_every_operation_with_its_answers() {
    let app = TestApp::with(&[]).await;
    let document = app.get(routes::OPENAPI).await.json();

    let list: String = operations(&document)
        .into_iter()
        .map(|(path, method, operation)| {
            let answers: Vec<_> = operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let guard = match operation["security"].as_array().map(Vec::len) {
                None => "",
                Some(1) => " (token)",
                Some(_) => " (token, or another way)",
            };
            format!("{method} {path}{guard}: {}\n", answers.join(" "))
        })
        .collect();

    assert_snapshot!(document["openapi"].as_str().unwrap(), @"3.1.0");
    assert_snapshot!(list, @r"
    GET /.well-known/jwks.json: 200 304 503
    POST /auth: 200 400 401 413 415 422 429 503
    GET /auth/config: 200
    POST /auth/logout (token, or another way): 204 400 401 403 413 415 422 503
    POST /auth/logout-all (token, or another way): 204 400 401 403 413 415 422 503
    GET /auth/me (token): 200 401 503
    POST /auth/refresh (token, or another way): 200 400 401 403 413 415 422 429 503
    POST /auth/register: 201 400 403 409 413 415 422 429 503
    DELETE /auth/sessions (token): 204 401 503
    GET /auth/sessions (token): 200 401 503
    DELETE /auth/sessions/{id} (token): 204 401 404 503
    GET /healthz: 200
    GET /protected (token): 200 401
    POST /protected (token): 200 401
    GET /readyz: 200 503
    ");
}

#[tokio::test]
async fn document_promises_no_value_that_only_readers_know() {
    let app = TestApp::with(&[]).await;
    let document = app.get(routes::OPENAPI).await.json();

    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let values = schema["enum"].as_array();
        let has_unknown =
            values.is_some_and(|values| values.iter().any(|value| value == "unknown"));
        assert!(!has_unknown, "{name}: {schema}");
    }
}

#[tokio::test]
async fn no_path_is_missing_in_the_document() {
    let app = TestApp::with(&[]).await;
    let document = app.get(routes::OPENAPI).await.json();

    let described = routes::ALL
        .iter()
        .filter(|path| !routes::UNDESCRIBED.contains(path));
    for path in described.clone() {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
    assert_eq!(
        document["paths"].as_object().unwrap().len(),
        described.count()
    );
}

#[tokio::test]
async fn server_takes_the_documented_methods_and_no_other() {
    let app = TestApp::with(&[]).await;
    let document = app.get(routes::OPENAPI).await.json();
    for path in document["paths"].as_object().unwrap().keys() {
        let mut documented: Vec<_> = operations(&document)
            .into_iter()
            .filter(|(of, _, _)| of == path)
            .map(|(_, method, _)| method)
            .collect();
        // Whoever may GET may HEAD (RFC 9110 §9.3.2).
        if documented.iter().any(|method| method == "GET") {
            documented.push("HEAD".to_owned());
        }

        let named = path.replace("{id}", "01a21387-0256-7f38-91f8-55d155c9fe3d");
        let answer = Answer::of(app.request(Method::TRACE, &named)).await;

        assert_eq!(answer.status(), 405, "{path}");
        let mut allowed: Vec<_> = answer.header("allow").split(',').collect();
        allowed.sort_unstable();
        documented.sort_unstable();
        assert_eq!(allowed, documented, "{path}");
    }
}

#[tokio::test]
async fn guarded_operations_are_those_that_refuse_a_stranger() {
    let app = TestApp::with(&[]).await;
    let document = app.get(routes::OPENAPI).await.json();
    for (path, method, operation) in operations(&document) {
        let named = path.replace("{id}", "01a21387-0256-7f38-91f8-55d155c9fe3d");
        let request = app.request(method.parse().unwrap(), &named);
        let answer = Answer::of(request).await;

        assert_eq!(
            answer.status() == 401,
            operation["security"].is_array(),
            "{method} {path}"
        );
    }
}
