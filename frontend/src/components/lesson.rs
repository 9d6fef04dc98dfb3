//! What just happened: the request, the answer and the token, as they were.

use countersign_types::{Token, routes};
use leptos::prelude::*;

use crate::{
    claims::{self, Claims},
    strings,
};

/// The request, the answer and the token, as they were.
#[component]
pub fn Lesson(
    /// The token that was sent.
    token: Token,
    /// What it says.
    claims: Claims,
    /// The answer's status.
    status: u16,
    /// The answer's body, untouched.
    body: String,
    /// Seconds until the token expires.
    #[prop(into)]
    seconds_left: Signal<Option<u64>>,
) -> impl IntoView {
    let short = claims::shorten(token.expose());
    let rows = claims.rows();
    view! {
        <section class="lesson" aria-labelledby="lesson">
            <h2 id="lesson">{strings::LESSON}</h2>
            <ol>
                <li>
                    <h3>{strings::STEP_REQUEST}</h3>
                    <p>{strings::STEP_REQUEST_TEXT}</p>
                    <pre tabindex="0" aria-label=strings::STEP_REQUEST>
                        <code>
                            <b>"GET "</b>
                            {routes::PROTECTED}
                            "\n"
                            <b>"Authorization: "</b>
                            "Bearer "
                            <mark>{short}</mark>
                        </code>
                    </pre>
                </li>
                <li>
                    <h3>{strings::STEP_ANSWER}</h3>
                    <p>{strings::STEP_ANSWER_TEXT}</p>
                    <pre tabindex="0" aria-label=strings::STEP_ANSWER>
                        <code>
                            <b>{status}</b>
                            "\n"
                            {body}
                        </code>
                    </pre>
                </li>
                <li>
                    <h3>{strings::STEP_TOKEN}</h3>
                    <p>{strings::STEP_TOKEN_TEXT}</p>
                    {move || {
                        seconds_left
                            .get()
                            .map(|left| {
                                view! {
                                    <p class="countdown" role="timer">
                                        {strings::TIME_LEFT}
                                        " "
                                        <strong>{strings::time_left(left)}</strong>
                                    </p>
                                }
                            })
                    }}
                    <div class="scroll" tabindex="0" role="group" aria-label=strings::STEP_TOKEN>
                        <table>
                            <thead>
                                <tr>
                                    <th scope="col">{strings::CLAIM}</th>
                                    <th scope="col">{strings::VALUE}</th>
                                    <th scope="col">{strings::MEANING}</th>
                                </tr>
                            </thead>
                            <tbody>
                                {rows
                                    .into_iter()
                                    .map(|(name, value)| {
                                        let meaning = strings::claim(&name);
                                        view! {
                                            <tr>
                                                <th scope="row">{name}</th>
                                                <td>{value}</td>
                                                <td>{meaning}</td>
                                            </tr>
                                        }
                                    })
                                    .collect_view()}
                            </tbody>
                        </table>
                    </div>
                </li>
            </ol>
        </section>
    }
}
