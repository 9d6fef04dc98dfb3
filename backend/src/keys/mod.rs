//! Signing keys: their states, at rest in the database with their private part sealed by the master
//! key, and in the memory of every instance that signs and verifies with them.
//!
//! `states.rs` has the rules of when a key signs and when it goes, `stored.rs` carries them out in the
//! database, `ring.rs` follows the database without a restart, `master.rs` seals.

pub(crate) mod http;
mod master;
mod ring;
mod states;
mod store;
mod stored;

use std::{io, path::PathBuf};

pub use self::{
    master::{MASTER_KEY_FILE, MasterKey},
    ring::Ring,
    states::{Key, KeyRules, Next, Schedule, State, next},
    stored::{Revoked, Rewrapped, Rotated, Rotation, StoredKeys},
};
use crate::{store::StoreError, token::KeyError};

/// What is wrong with the keys. At the start every one of these stops it: new keys are never made over
/// existing ones.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database has keys, but what opens them is missing.
    #[error(
        "the database has signing keys, but there is no master key: put the file back at {path}, \
         or give it as `master_key`"
    )]
    MasterKeyMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The master key is not the one that sealed the keys.
    #[error(
        "the master key does not open the signing keys of this database: it belongs to another \
         one, or was replaced"
    )]
    WrongMasterKey,
    /// The master key is the right one, and one of the keys is not as it was sealed.
    #[error(
        "the key {kid} cannot be opened: it is damaged. Put the database back from a backup, or \
         remove that key: countersign keys revoke {kid}"
    )]
    Damaged {
        /// Which.
        kid: String,
    },
    /// A key that a newer version made.
    #[error(
        "the key {kid} cannot be opened: it is for {algorithm}, which this version does not know. Use \
         the newer version, or remove that key: countersign keys revoke {kid}"
    )]
    UnknownAlgorithm {
        /// Which.
        kid: String,
        /// What it is for.
        algorithm: String,
    },
    /// The file is not 32 bytes in base64.
    #[error("{path} is not a master key: 32 bytes in base64 are expected")]
    MasterKeyMalformed {
        /// Which file.
        path: PathBuf,
    },
    /// Somebody else may read the file.
    #[error("{path} can be read by others (mode {mode:o}): chmod 600 {path}")]
    MasterKeyExposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file cannot be read or made.
    #[error("cannot use the master key at {path}")]
    MasterKeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The new master key is the old one.
    #[error("the new master key is the one that is in use: nothing was changed")]
    SameMasterKey,
    /// A master key that comes from the configuration, and nowhere to put the new one.
    #[error(
        "`master_key` is configured, so the new one has to come from you as well: make it with \
         `openssl rand -base64 32` and name its file with --new-master-key-file"
    )]
    NewMasterKeyNeeded,
    /// There is a next key already.
    #[error(
        "the next key is there already: {kid} is published and signs from {}; `countersign keys \
         rotate --now` makes it sign at once",
        crate::store::Timestamp::from_secs(signs_at.as_secs())
    )]
    AlreadyPending {
        /// Which.
        kid: String,
        /// From when on it signs.
        signs_at: crate::store::Timestamp,
    },
    /// No key has this name.
    #[error("there is no key `{0}`: `countersign keys list` shows them")]
    UnknownKid(String),
    /// A key that is gone already.
    #[error("the key {0} is removed already, and nothing accepts it")]
    AlreadyRemoved(String),
    /// More than one key has a name that begins so.
    #[error("`{prefix}` is the beginning of {}: write more of it", kids.join(" and of "))]
    AmbiguousKid {
        /// What was given.
        prefix: String,
        /// The keys.
        kids: Vec<String>,
    },
    /// Keys that nobody can rotate.
    #[error("the key comes from the configuration, and is changed there")]
    Configured,
    /// The database did not answer in time, or what it says cannot be read.
    #[error("nobody can say which keys there are")]
    Unavailable,
    /// A stored key is damaged, or the crypto library failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
