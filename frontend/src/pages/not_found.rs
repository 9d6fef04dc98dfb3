//! No such page, or one of the application in which these pages are mounted.

use countersign_types::routes::pages as paths;
use leptos::prelude::*;
use leptos_router::components::A;

use crate::{components::Page, strings};

/// Says that there is no such page, where no application could have it.
#[component]
pub fn NotFoundPage() -> impl IntoView {
    let is_theirs = super::leave_for_application();
    move || {
        (is_theirs.get() == Some(false)).then(|| {
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
            .into_any()
        })
    }
}
