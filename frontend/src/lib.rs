//! Sign-in pages and session handling for Leptos.
