//! What the server and its page say to each other; both compile this file.

use serde::{Deserialize, Serialize};

/// How long a note may be, in characters.
pub(crate) const LONGEST: usize = 200;

/// A note, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) id: i64,
    pub(crate) text: String,
    pub(crate) is_done: bool,
}

/// `POST /notes`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NewNote {
    pub(crate) text: String,
}

/// `PATCH /notes/{id}`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) is_done: bool,
}
