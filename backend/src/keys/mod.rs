//! Signing keys at rest: made at first start, kept in the database, their private part sealed with
//! the master key.

pub mod http;
mod master;
mod store;

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

pub use self::master::MasterKey;
use crate::{
    clock::Clock,
    rng,
    store::{Db, StoreError},
    token::{Algorithm, KeyError, PrivateKey, SigningKey, VerifyingKey},
};

/// The master key's file name in the data folder.
pub const MASTER_KEY_FILE: &str = "master.key";

/// Why there is no key to sign with. Every one of these stops the start: new keys are never made
/// over existing ones.
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
    /// A stored key is damaged, or the crypto library failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys of a start.
#[derive(Debug)]
pub struct Loaded {
    /// The key that signs.
    pub signing: SigningKey,
    /// Every key that verifies: the one that signs, and those that signed before the algorithm was
    /// changed, so that a change refuses no live token.
    pub verifying: Vec<VerifyingKey>,
    /// Whether this start made the key that signs.
    pub created: bool,
}

/// The signing key of an algorithm, the stored one, or a new one where there is none, and all
/// others that are stored.
///
/// `configured` is the master key from the configuration; without one it is the file in `folder`,
/// which is made together with the first key.
///
/// # Errors
///
/// [`KeysError`] where keys exist that cannot be opened, or none can be made.
pub async fn load_or_create(
    db: &Db,
    clock: &dyn Clock,
    configured: Option<MasterKey>,
    folder: &Path,
    algorithm: Algorithm,
) -> Result<Loaded, KeysError> {
    let mut tx = db.read().await?;
    let mut stored = store::list(&mut tx).await?;
    drop(tx);

    let path = folder.join(MASTER_KEY_FILE);
    let master = match configured {
        Some(master) => master,
        None => match read_master_key(&path)? {
            Some(master) => master,
            None if !stored.is_empty() => return Err(KeysError::MasterKeyMissing { path }),
            None => create_master_key(&path)?,
        },
    };
    // Opened before one is made: a master key that does not fit must not add keys of its own.
    let mut keys = open_all(&master, &stored)?;
    let mut created = false;
    if signs(&stored, algorithm).is_none() {
        let private = PrivateKey::generate(algorithm)?;
        let key = private.signing_key()?;
        let sealed = master.seal(key.kid(), private.pkcs8());
        let mut tx = db.write().await?;
        created =
            store::insert_signing(&mut tx, key.kid(), algorithm, &sealed, clock.now()).await?;
        // Another instance may have been faster; then its key is everybody's.
        stored = store::list(&mut tx).await?;
        tx.commit().await?;
        keys = open_all(&master, &stored)?;
    }
    let signing = signs(&stored, algorithm)
        .and_then(|kid| keys.iter().find(|key| key.kid() == kid))
        .cloned()
        .ok_or(KeyError::Malformed)?;
    let verifying = keys
        .iter()
        .map(SigningKey::verifying_key)
        .collect::<Result<_, _>>()?;
    Ok(Loaded {
        signing,
        verifying,
        created,
    })
}

/// The name of the key that signs with an algorithm.
fn signs(stored: &[store::StoredKey], algorithm: Algorithm) -> Option<&str> {
    stored
        .iter()
        .find(|key| key.signs.as_deref() == Some(algorithm.as_str()))
        .map(|key| key.kid.as_str())
}

fn open_all(master: &MasterKey, stored: &[store::StoredKey]) -> Result<Vec<SigningKey>, KeysError> {
    stored.iter().map(|key| open(master, key)).collect()
}

fn open(master: &MasterKey, stored: &store::StoredKey) -> Result<SigningKey, KeysError> {
    let pkcs8 = master
        .open(&stored.kid, &stored.sealed)
        .ok_or(KeysError::WrongMasterKey)?;
    let key = PrivateKey::from_pkcs8(stored.algorithm.parse()?, pkcs8).signing_key()?;
    // The row's name is bound into the seal and is the key's own thumbprint.
    if key.kid() == stored.kid {
        Ok(key)
    } else {
        Err(KeyError::Malformed.into())
    }
}

fn read_master_key(path: &Path) -> Result<Option<MasterKey>, KeysError> {
    let failed = |source| KeysError::MasterKeyFile {
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(failed)?,
    };
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::MasterKeyExposed {
            path: path.to_owned(),
            mode,
        });
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    MasterKey::from_base64(text.trim())
        .map(Some)
        .ok_or_else(|| KeysError::MasterKeyMalformed {
            path: path.to_owned(),
        })
}

/// Makes the file so that a crash leaves either no file or a whole one, and two starts at once
/// agree: written beside, flushed, and linked to its name, which fails where the name is taken.
fn create_master_key(path: &Path) -> Result<MasterKey, KeysError> {
    let failed = |source| KeysError::MasterKeyFile {
        path: path.to_owned(),
        source,
    };
    let bytes = Zeroizing::new(rng::bytes::<32>());
    let mut text = Zeroizing::new(STANDARD.encode(*bytes));
    text.push('\n');

    // A random name: a process id comes again, in a container even at every start.
    let beside = path.with_extension(URL_SAFE_NO_PAD.encode(rng::bytes::<12>()));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    let written = write().and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // Whatever happened, the file beside has served; that it may already be gone is no matter.
    drop(fs::remove_file(&beside));
    written.map_err(failed)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
    }
    read_master_key(path)?.ok_or_else(|| KeysError::MasterKeyMissing {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_key_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);

        let first = create_master_key(&path).unwrap();
        let second = create_master_key(&path).unwrap();

        let sealed = first.seal("kid", b"private");
        assert_eq!(second.open("kid", &sealed).unwrap().as_slice(), b"private");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn master_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        create_master_key(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

        let refused = read_master_key(&path).unwrap_err();

        assert!(
            refused.to_string().contains("(mode 644): chmod 600"),
            "{refused}"
        );
    }

    #[test]
    fn damaged_master_key_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        for text in [
            "",
            "short",
            "!!!!",
            &STANDARD.encode([1; 31]),
            &STANDARD.encode([1; 33]),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

            let refused = read_master_key(&path).unwrap_err();

            assert!(
                matches!(refused, KeysError::MasterKeyMalformed { .. }),
                "{text:?}"
            );
        }
    }
}
