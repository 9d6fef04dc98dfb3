//! No such page.

use countersign_types::routes::pages as paths;
use leptos::prelude::*;
use leptos_router::components::A;

use crate::{components::Page, strings};

/// Says that there is no such page.
#[component]
pub fn NotFoundPage() -> impl IntoView {
    view! {
        <Page title=strings::NOT_FOUND.to_owned() class="narrow">
            <p class="lead">{strings::NOT_FOUND_LEAD}</p>
            <p>
                <A href=paths::HOME attr:class="button">
                    {strings::GO_HOME}
                </A>
            </p>
        </Page>
    }
}
