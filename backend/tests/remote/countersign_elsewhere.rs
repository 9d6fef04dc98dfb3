//! The example, against a real Countersign.

use std::net::SocketAddr;

use countersign::{Countersign, remote::RemoteKeys};
use countersign_types::routes;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

#[expect(dead_code, reason = "its `main` is for people")]
#[path = "../../examples/resource_server.rs"]
mod resource_server;

/// A Countersign that listens, its address, and the folder that it keeps things in.
async fn countersign() -> (String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let builder = Countersign::builder().data_dir(folder.path()).port(port);
    let router = builder.build().await.unwrap().api();
    let url = serve(listener, router);
    (url, folder)
}

fn serve(listener: TcpListener, router: axum::Router) -> String {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    url
}

async fn register(countersign: &str) -> String {
    let account = json!({
        "email": "ada@example.com",
        "password": "violet tractor sings 47 lullabies",
    });
    let url = format!("{countersign}{}", routes::REGISTER);
    let answer = Client::new().post(url).json(&account).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let answer: Value = answer.json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn example_takes_the_tokens_of_a_countersign_by_its_url_alone() {
    let (countersign, _folder) = countersign().await;
    let token = register(&countersign).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let example = resource_server::router(&countersign).await.unwrap();
    let notes = format!("{}/notes", serve(listener, example));
    let client = Client::new();

    let answer = client.get(&notes).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let text: String = answer.json().await.unwrap();
    assert!(text.starts_with("the notes of "), "{text}");

    let answer = client.get(&notes).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key("www-authenticate"));
}

#[tokio::test]
async fn slash_at_the_end_of_a_countersigns_url_is_forgiven() {
    let (countersign, _folder) = countersign().await;
    let token = register(&countersign).await;

    let keys = RemoteKeys::of_countersign(format!("{countersign}/"));
    let verifier = keys.build().await.unwrap();

    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test]
async fn token_of_another_countersign_is_refused() {
    let (trusted, _folder) = countersign().await;
    let (other, _other_folder) = countersign().await;
    let token = register(&other).await;

    let verifier = RemoteKeys::of_countersign(trusted).build().await.unwrap();

    assert!(verifier.verify(&token).await.is_err());
}
