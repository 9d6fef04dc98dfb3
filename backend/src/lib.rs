//! User authentication with JSON Web Tokens for axum.
