//! What every page has: a title, one heading, and the focus on it after a navigation.

use leptos::{html, prelude::*};
use wasm_bindgen::JsCast;

use crate::strings;

/// Whether a page was shown before, so that the focus has to follow to the next one.
#[derive(Debug, Clone, Copy)]
struct PageFocus(StoredValue<bool>);

/// To be called once, above all [`Page`]s.
pub fn provide_page_focus() {
    provide_context(PageFocus(StoredValue::new(false)));
}

/// Moves the focus once what has just changed is on the page. Somebody may have left the page by then.
pub fn focus_soon<E>(node: NodeRef<E>)
where
    E: html::ElementType,
    E::Output: JsCast + Clone + 'static,
{
    request_animation_frame(move || {
        let element = node.try_get_untracked().flatten();
        if let Some(element) = element
            .as_ref()
            .and_then(|element| element.dyn_ref::<web_sys::HtmlElement>())
        {
            drop(element.focus());
        }
    });
}

/// A page: sets the document's title and, when it was navigated to, moves the focus to its heading
/// and scrolls up, which a browser does by itself only for pages that it loads.
#[component]
pub fn Page(
    /// The heading, and the document's title.
    #[prop(into)]
    title: Signal<String>,
    /// Whether the last attempt failed, which the title then says first.
    #[prop(optional, into)]
    has_error: Signal<bool>,
    /// The heading's element, for a page that leads back to it.
    #[prop(optional)]
    heading: NodeRef<html::H1>,
    /// The class of the page's outermost element.
    class: &'static str,
    /// What is below the heading.
    children: Children,
) -> impl IntoView {
    Effect::new(move |_| {
        let prefix = if has_error.get() {
            strings::ERROR_PREFIX
        } else {
            ""
        };
        document().set_title(&format!("{prefix}{} · {}", title.get(), strings::PRODUCT));
    });
    let focus = use_context::<PageFocus>();
    Effect::new(move |was: Option<bool>| {
        let Some(heading) = heading.get() else {
            return false;
        };
        if was != Some(true)
            && let Some(PageFocus(was_shown)) = focus
        {
            if was_shown.get_value() {
                window().scroll_to_with_x_and_y(0.0, 0.0);
                // It has a tabindex, so it takes the focus.
                drop(heading.focus());
            }
            was_shown.set_value(true);
        }
        true
    });
    view! {
        <div class=class>
            <h1 tabindex="-1" node_ref=heading>
                {move || title.get()}
            </h1>
            {children()}
        </div>
    }
}
