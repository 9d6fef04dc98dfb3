//! Mounts the application.

use countersign_leptos::App;
use leptos::{prelude::*, web_sys};
use wasm_bindgen::JsCast as _;

fn main() {
    std::panic::set_hook(Box::new(|info| {
        web_sys::console::error_1(&info.to_string().into());
        // countersign-boot.js shows the message: after a panic no Rust can be trusted to.
        if let Ok(event) = web_sys::Event::new("countersign-panic") {
            drop(window().dispatch_event(&event));
        }
    }));
    let shell = document()
        .get_element_by_id("app")
        .and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(shell) = shell {
        shell.set_text_content(None);
        mount_to(shell, App).forget();
    } else {
        mount_to_body(App);
    }
}
