//! The page of the example: what somebody signed in has to do, or the forms to sign in with.

#[path = "../../note.rs"]
mod note;

use countersign_leptos::{
    AuthProvider, CurrentSession, FetchError, Request, RequireSession, Response, SignInForm,
    SignUpForm, TokenStorage, use_session,
};
use leptos::{ev::SubmitEvent, prelude::*};
use note::{Change, LONGEST, NewNote, Note};

fn main() {
    // With `?storage=memory` in the address, to see that the one works as the other.
    let search = window().location().search().unwrap_or_default();
    let storage = match search.as_str() {
        "?storage=memory" => TokenStorage::Memory,
        _ => TokenStorage::Local,
    };
    mount_to_body(move || {
        view! {
            <AuthProvider storage=storage>
                <Page />
            </AuthProvider>
        }
    });
}

#[component]
fn Page() -> impl IntoView {
    let session = use_session();
    view! {
        <main>
            <h1>"Notes"</h1>
            <p class="notice" role="status">
                {move || session.is_waiting().then_some("The server cannot be reached. This page keeps trying.")}
            </p>
            <RequireSession fallback=|| view! { <Welcome /> }>
                <Notes />
            </RequireSession>
        </main>
    }
}

/// For whoever is not signed in.
#[component]
fn Welcome() -> impl IntoView {
    let is_new = RwSignal::new(false);
    view! {
        {move || if is_new.get() {
            view! { <SignUpForm /> }.into_any()
        } else {
            view! { <SignInForm /> }.into_any()
        }}
        <p>
            <button type="button" class="link" on:click=move |_| is_new.update(|is_new| *is_new = !*is_new)>
                {move || if is_new.get() { "I have an account" } else { "I am new here" }}
            </button>
        </p>
    }
}

/// For whoever is.
#[component]
fn Notes() -> impl IntoView {
    let session = use_session();
    let add = sending(session);
    let change = sending(session);
    let notes = LocalResource::new(move || {
        // Anew after whatever was sent.
        add.version().track();
        change.version().track();
        async move {
            session
                .fetch(Request::get("/notes"))
                .await?
                .json::<Vec<Note>>()
        }
    });

    let text = RwSignal::new(String::new());
    Effect::new(move |_| {
        // What was refused stays in its field.
        if matches!(add.value().get(), Some(Ok(_))) {
            text.set(String::new());
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let text = text.get_untracked();
        if !text.trim().is_empty() {
            add.dispatch_local(Request::post("/notes").json(&NewNote { text }));
        }
    };
    let failure = move || {
        let sent = [add.value().get(), change.value().get()];
        let failed = sent.into_iter().flatten().find_map(Result::err);
        failed.or_else(|| notes.get().and_then(Result::err))
    };
    // Those of before stay where the next ones do not come.
    let shown = Memo::new(move |before: Option<&Vec<Note>>| match notes.get() {
        Some(Ok(notes)) => notes,
        _ => before.cloned().unwrap_or_default(),
    });
    view! {
        <form class="add" on:submit=submit>
            <input
                aria-label="What is to be done?"
                placeholder="What is to be done?"
                maxlength=LONGEST
                bind:value=text
            />
            <button class="button">"Add"</button>
        </form>
        {move || failure().map(|error| view! { <p class="error" role="alert">{error.to_string()}</p> })}
        <ul class="notes">
            <For each=move || shown.get() key=|note| note.id let:note>
                <Line note=note shown=shown change=change />
            </For>
        </ul>
        <footer>
            <span class="who">{move || session.name()}</span>
            // One of Countersign's own pages.
            <a href="/sessions">"Sessions"</a>
            <button type="button" class="link" on:click=move |_| session.sign_out()>
                "Sign out"
            </button>
        </footer>
    }
}

#[component]
fn Line(note: Note, shown: Memo<Vec<Note>>, change: Sending) -> impl IntoView {
    let id = note.id;
    let path = move || format!("/notes/{id}");
    // The line stays when its note changes, and with it the focus on its box.
    let is_done = Memo::new(move |_| {
        shown.with(|notes| notes.iter().any(|note| note.id == id && note.is_done))
    });
    let toggle = move |_| {
        let is_done = !is_done.get_untracked();
        change.dispatch_local(Request::patch(path()).json(&Change { is_done }));
    };
    let remove = move |_| {
        change.dispatch_local(Request::delete(path()));
    };
    view! {
        <li class:done=is_done>
            <label>
                <input type="checkbox" prop:checked=is_done on:change=toggle />
                <span>{note.text.clone()}</span>
            </label>
            <button
                type="button"
                class="link"
                aria-label=format!("Delete {}", note.text)
                on:click=remove
            >
                "Delete"
            </button>
        </li>
    }
}

/// Sends requests in the name of whoever is signed in, and keeps the last answer.
type Sending = Action<Request, Result<Response, FetchError>>;

fn sending(session: CurrentSession) -> Sending {
    Action::new_local(move |request: &Request| {
        let request = request.clone();
        async move { session.fetch(request).await?.ok() }
    })
}
