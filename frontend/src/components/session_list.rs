//! Where somebody is signed in, and the buttons that end it.

use countersign_types::sessions::Session;
use js_sys::{Array, Date, Intl, Object, Reflect};
use leptos::prelude::*;
use wasm_bindgen::JsValue;

use crate::strings;

/// What is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// One session, by its id.
    One(String),
    /// All but this one.
    Others,
    /// All of them.
    Everywhere,
}

/// The sessions, the current one first. The row of a session stays the same when others come or go, so
/// that no button takes the place of another before it has to.
#[component]
pub fn SessionList(
    /// The sessions.
    #[prop(into)]
    sessions: Signal<Vec<Session>>,
    /// What is ending at this moment; nothing else can be ended meanwhile.
    #[prop(into)]
    ending: Signal<Option<Ending>>,
    /// Somebody wants to end something; not called while something is ending.
    on_end: Callback<Ending>,
) -> impl IntoView {
    let in_order = move || {
        let mut sessions = sessions.get();
        // It keeps the order of the others.
        sessions.sort_by_key(|session| !session.current);
        sessions
    };
    let has_others =
        Memo::new(move |_| sessions.with(|all| all.iter().any(|session| !session.current)));
    view! {
        // Without its bullets, some readers would not take it for a list.
        <ul class="sessions" role="list">
            <For each=in_order key=|session| session.id.clone() let:session>
                <Row session=session ending=ending on_end=on_end />
            </For>
        </ul>
        {move || (!has_others.get()).then(|| view! { <p class="hint">{strings::SESSIONS_ALONE}</p> })}
        <p class="actions">
            {move || {
                has_others
                    .get()
                    .then(|| {
                        view! {
                            <EndButton
                                what=Ending::Others
                                label=strings::SIGN_OUT_OTHERS
                                class="button second"
                                ending=ending
                                on_end=on_end
                            />
                        }
                    })
            }}
            <EndButton
                what=Ending::Everywhere
                label=strings::SIGN_OUT_EVERYWHERE
                class="button second"
                ending=ending
                on_end=on_end
            />
        </p>
    }
}

#[component]
fn Row(
    session: Session,
    ending: Signal<Option<Ending>>,
    on_end: Callback<Ending>,
) -> impl IntoView {
    let Session {
        id,
        created_at,
        last_used_at,
        user_agent,
        device,
        current,
    } = session;
    let device = device.unwrap_or_else(|| strings::UNKNOWN_DEVICE.to_owned());
    let name = strings::sign_out_device(&device);
    let times_id = format!("times-{id}");
    view! {
        <li class:current=current>
            <div class="device">
                <h2>{device}</h2>
                {current.then(|| view! { <p class="badge">{strings::THIS_DEVICE}</p> })}
                <p class="times" id=times_id.clone()>
                    <span>{strings::SIGNED_IN_ON} " " <Moment at=created_at /></span>
                    " "
                    <span>{strings::LAST_USED_ON} " " <Moment at=last_used_at /></span>
                </p>
                {user_agent.map(|agent| view! { <p class="agent">{agent}</p> })}
            </div>
            {(!current)
                .then(|| {
                    view! {
                        <EndButton
                            what=Ending::One(id)
                            label=strings::SIGN_OUT
                            name=name
                            // Two devices may have the same name.
                            described_by=times_id
                            class="quiet"
                            ending=ending
                            on_end=on_end
                        />
                    }
                })}
        </li>
    }
}

#[component]
fn EndButton(
    what: Ending,
    label: &'static str,
    /// What is heard, where the label alone does not say what it ends.
    #[prop(optional)]
    name: Option<String>,
    #[prop(optional)] described_by: Option<String>,
    class: &'static str,
    ending: Signal<Option<Ending>>,
    on_end: Callback<Ending>,
) -> impl IntoView {
    let is_ending = {
        let what = what.clone();
        Memo::new(move |_| ending.get().as_ref() == Some(&what))
    };
    let is_busy = move || ending.with(Option::is_some);
    view! {
        <button
            type="button"
            class=class
            aria-label=move || if is_ending.get() { None } else { name.clone() }
            aria-describedby=described_by
            // Not `disabled`, which would take the focus away from who pressed it.
            aria-disabled=move || is_busy().to_string()
            on:click=move |event| {
                // The second click of a double click may meet the button of another session, which
                // has moved here since the first.
                if event.detail() <= 1 && ending.with_untracked(Option::is_none) {
                    on_end.run(what.clone());
                }
            }
        >
            {move || if is_ending.get() { strings::SIGNING_OUT } else { label }}
        </button>
    }
}

/// A moment in the person's own language, way of writing it, and time zone.
#[component]
fn Moment(
    /// RFC 3339.
    at: String,
) -> impl IntoView {
    let date = Date::new(&JsValue::from_str(&at));
    let text = if date.get_time().is_nan() {
        at.clone()
    } else {
        let options = Object::new();
        for (name, value) in [("dateStyle", "medium"), ("timeStyle", "short")] {
            drop(Reflect::set(
                &options,
                &JsValue::from_str(name),
                &JsValue::from_str(value),
            ));
        }
        // The browser's own choice of a language: what `navigator.language` names may be none.
        Intl::DateTimeFormat::new(&Array::new(), &options)
            .format()
            .call1(&JsValue::UNDEFINED, &date)
            .ok()
            .and_then(|text| text.as_string())
            .unwrap_or_else(|| at.clone())
    };
    view! { <time datetime=at>{text}</time> }
}
