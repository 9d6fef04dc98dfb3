//! The master key: what everything sealed in the database depends on, and its file.
//!
//! When it is replaced (`StoredKeys::rewrap`) the new one is in `master.key.new` before the database is
//! sealed with it, and becomes `master.key` after. Whatever is there after a crash, one of the two
//! files opens the database, and [`Master::find`] takes that one.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

use super::{KeysError, store::StoredKey};
use crate::{rng, seal::SealingKey};

/// The master key's file name in the data folder.
pub const MASTER_KEY_FILE: &str = "master.key";

/// The user that may give files away.
const ROOT: u32 = 0;

/// 32 secret bytes that everything sealed in the database depends on.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// From its base64 text; `None` where that is not 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// A new one.
    pub(super) fn generate() -> Self {
        Self(Zeroizing::new(rng::bytes()))
    }

    /// The one in a file that nobody else may read; `None` where there is no file.
    ///
    /// # Errors
    ///
    /// [`KeysError`] says what is wrong with the file.
    pub fn read(path: &Path) -> Result<Option<Self>, KeysError> {
        read_master_key(path)
    }

    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(STANDARD.encode(self.0.as_slice()));
        text.push('\n');
        text
    }

    /// Whether it opens every key that is there.
    pub(super) fn opens(&self, stored: &[StoredKey]) -> bool {
        self.unopened(stored).is_empty()
    }

    /// The names of the keys that it does not open.
    fn unopened<'a>(&self, stored: &'a [StoredKey]) -> Vec<&'a str> {
        live(stored)
            .filter(|key| self.open(&key.kid, &key.sealed).is_none())
            .map(|key| &*key.kid)
            .collect()
    }

    /// Seals a private key. Its name is bound in, so that a row cannot be passed off as another.
    pub(super) fn seal(&self, kid: &str, plain: &[u8]) -> Vec<u8> {
        self.key().seal(kid.as_bytes(), plain)
    }

    /// Opens what `seal` sealed; `None` where key, name or bytes differ.
    pub(super) fn open(&self, kid: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.key().open(kid.as_bytes(), sealed)
    }

    fn key(&self) -> SealingKey {
        SealingKey::derive(self.0.as_slice(), "countersign signing keys v1")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// The master key of a process: a configured one, or that of the file in the data folder.
#[derive(Debug)]
pub(super) struct Master {
    configured: Option<MasterKey>,
    path: PathBuf,
    /// The one that fitted last.
    fitted: Mutex<Option<MasterKey>>,
}

impl Master {
    pub(super) fn new(configured: Option<MasterKey>, folder: &Path) -> Self {
        Self {
            configured,
            path: folder.join(MASTER_KEY_FILE),
            fitted: Mutex::default(),
        }
    }

    pub(super) fn is_configured(&self) -> bool {
        self.configured.is_some()
    }

    /// The one that opens the keys that are there, every one of them; where there are none, the one
    /// there is, or a new one. The files are read again where the last one does not fit: it may have
    /// been replaced beside this process.
    pub(super) fn find(&self, stored: &[StoredKey]) -> Result<MasterKey, KeysError> {
        match self.find_best(stored)? {
            (found, None) => Ok(found),
            (_, Some(kid)) => Err(KeysError::Damaged { kid }),
        }
    }

    /// The same, or else the one that opens some: all are sealed with one, so what that does not open
    /// is damaged. With the name of such a key.
    pub(super) fn find_best(
        &self,
        stored: &[StoredKey],
    ) -> Result<(MasterKey, Option<String>), KeysError> {
        let fitted = || self.fitted.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.configured.clone().or_else(|| fitted().clone());
        if let Some(known) = known.filter(|known| known.opens(stored)) {
            return Ok((known, None));
        }
        let there: Vec<_> = if let Some(configured) = &self.configured {
            vec![configured.clone()]
        } else {
            // In this order, so that one that changes its name in between is not missed.
            let new = read_master_key(&self.new_path())?;
            let first = read_master_key(&self.path)?;
            first.into_iter().chain(new).collect()
        };
        let is_there = !there.is_empty();
        let best = there
            .into_iter()
            .map(|key| (key.unopened(stored), key))
            .min_by_key(|(unopened, _)| unopened.len());
        let number = live(stored).count();
        let (found, damaged) = match best {
            Some((unopened, key)) if number == 0 || unopened.len() < number => {
                let damaged = unopened.first().map(|&kid| kid.to_owned());
                (key, damaged)
            }
            _ if is_there => return Err(KeysError::WrongMasterKey),
            _ if number > 0 => {
                let path = self.path.clone();
                return Err(KeysError::MasterKeyMissing { path });
            }
            _ => {
                let made = create_master_key(&self.path, &MasterKey::generate(), &self.path)?;
                (made, None)
            }
        };
        *fitted() = Some(found.clone());
        Ok((found, damaged))
    }

    /// Where the next one is until the database is sealed with it.
    fn new_path(&self) -> PathBuf {
        self.path.with_extension("key.new")
    }

    /// Where the last one stays: beside those before it, each of which may be the only one that opens
    /// some backup. The higher the number the later; without one it is the first.
    fn old_path(&self, number: u32) -> PathBuf {
        match number {
            1 => self.path.with_extension("key.old"),
            number => self.path.with_extension(format!("key.old.{number}")),
        }
    }

    /// Keeps the last one under the first name that is free, or that is its own already.
    fn keep(&self, old: &MasterKey) -> Result<PathBuf, KeysError> {
        let mut number = 1;
        loop {
            let kept = self.old_path(number);
            match fs::hard_link(&self.path, &kept) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => {
                    linked.map_err(|source| file_error(&kept, source))?;
                    return Ok(kept);
                }
            }
            // One that cannot be read is somebody's all the same.
            if read_master_key(&kept).is_ok_and(|there| there.as_ref() == Some(old)) {
                return Ok(kept);
            }
            number += 1;
        }
    }

    /// Puts the next one beside the file: `wanted`, or one that was put there before and never used,
    /// or a new one.
    pub(super) fn prepare(&self, wanted: Option<MasterKey>) -> Result<MasterKey, KeysError> {
        let path = self.new_path();
        if let Some(wanted) = wanted {
            remove(&path).map_err(|source| file_error(&path, source))?;
            let made = create_master_key(&path, &wanted, &self.path)?;
            // Another process put its own there in between.
            return if made == wanted {
                Ok(made)
            } else {
                Err(KeysError::WrongMasterKey)
            };
        }
        create_master_key(&path, &MasterKey::generate(), &self.path)
    }

    /// Whether there is something for [`Master::finish`] to do.
    pub(super) fn is_unfinished(&self, fitting: &MasterKey) -> Result<bool, KeysError> {
        Ok(!self.is_configured() && read_master_key(&self.new_path())?.as_ref() == Some(fitting))
    }

    /// Makes the one in `master.key.new` the one that is read first, where the database is sealed with
    /// that, and keeps the last one; where that is. Whether this is done or not, the next start finds
    /// the right one. To be called while nobody else can change keys.
    pub(super) fn finish(&self, fitting: &MasterKey) -> Result<Option<PathBuf>, KeysError> {
        if !self.is_unfinished(fitting)? {
            return Ok(None);
        }
        let new = self.new_path();
        let first = read_master_key(&self.path)?;
        if first.as_ref() == Some(fitting) {
            remove(&new).map_err(|source| file_error(&new, source))?;
            return Ok(None);
        }
        let kept = first.map(|old| self.keep(&old)).transpose()?;
        fs::rename(&new, &self.path)
            .and_then(|()| sync_folder(&self.path))
            .map_err(|source| file_error(&self.path, source))?;
        *self.fitted.lock().unwrap_or_else(PoisonError::into_inner) = Some(fitting.clone());
        Ok(kept)
    }
}

fn live(stored: &[StoredKey]) -> impl Iterator<Item = &StoredKey> {
    stored.iter().filter(|key| !key.is_removed())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn file_error(path: &Path, source: io::Error) -> KeysError {
    KeysError::MasterKeyFile {
        path: path.to_owned(),
        source,
    }
}

/// Makes the names in a file's folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
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
///
/// `before` is the file that it is to replace, if that is there.
fn create_master_key(path: &Path, key: &MasterKey, before: &Path) -> Result<MasterKey, KeysError> {
    let failed = |source| KeysError::MasterKeyFile {
        path: path.to_owned(),
        source,
    };
    let text = key.to_text();
    // A random name: a process id comes again, in a container even at every start.
    let beside = path.with_extension(URL_SAFE_NO_PAD.encode(rng::bytes::<12>()));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        give_to_the_server(&file, before)?;
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
    sync_folder(path).map_err(failed)?;
    read_master_key(path)?.ok_or_else(|| KeysError::MasterKeyMissing {
        path: path.to_owned(),
    })
}

/// Gives a new file to whom the file before it belongs, or, where there is none, the folder: a
/// command that root runs must not take the key away from the server's own user.
fn give_to_the_server(file: &fs::File, before: &Path) -> io::Result<()> {
    let ours = file.metadata()?;
    let theirs = match fs::metadata(before) {
        // Whoever is not root can give nothing away, and is the one that reads what it makes.
        Err(error) if error.kind() == io::ErrorKind::NotFound && ours.uid() != ROOT => {
            return Ok(());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(folder_of(before))?,
        found => found?,
    };
    let (owner, group) = (theirs.uid(), theirs.gid());
    if (ours.uid(), ours.gid()) == (owner, group) {
        return Ok(());
    }
    fchown(file, Some(owner), Some(group)).map_err(|source| {
        let text = format!("a new file cannot be given to user {owner} and group {group}");
        io::Error::new(source.kind(), format!("{text}: {source}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some user and group that the tests do not run as.
    const SERVER: (u32, u32) = (20_123, 20_124);

    #[test]
    fn new_master_key_belongs_to_whom_the_folder_or_the_last_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        let give = |path: &Path| {
            // Only root can: for everybody else what is made stays theirs, and so does the folder.
            drop(std::os::unix::fs::chown(
                path,
                Some(SERVER.0),
                Some(SERVER.1),
            ));
            owner(path)
        };
        let master = Master::new(None, folder.path());
        let of_folder = give(folder.path());

        master.find(&[]).unwrap();
        assert_eq!(owner(&path), of_folder);

        drop(std::os::unix::fs::chown(folder.path(), Some(0), Some(0)));
        let of_file = give(&path);
        let old = master.find(&[]).unwrap();
        let new = master.prepare(None).unwrap();
        assert_eq!(owner(&master.new_path()), of_file);
        assert_ne!(old, new);
        master.finish(&new).unwrap();
        assert_eq!(owner(&path), of_file);
        assert_eq!(owner(&master.old_path(1)), of_file);
    }

    fn owner(path: &Path) -> (u32, u32) {
        let metadata = fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    }

    #[test]
    fn key_is_sealed_by_master_key_and_name() {
        let master = |byte| MasterKey::from_base64(&STANDARD.encode([byte; 32])).unwrap();
        let sealed = master(1).seal("kid", b"private");

        let opened = master(1).open("kid", &sealed);
        assert_eq!(opened.unwrap().as_slice(), b"private");
        assert!(master(2).open("kid", &sealed).is_none());
        assert!(master(1).open("other", &sealed).is_none());
    }

    #[test]
    fn debug_form_hides_the_key() {
        let master = MasterKey::from_base64(&STANDARD.encode([1; 32])).unwrap();

        assert_eq!(format!("{master:?}"), "MasterKey(***)");
    }

    #[test]
    fn master_key_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);

        let first = create_master_key(&path, &MasterKey::generate(), &path).unwrap();
        let second = create_master_key(&path, &MasterKey::generate(), &path).unwrap();

        let sealed = first.seal("kid", b"private");
        assert_eq!(second.open("kid", &sealed).unwrap().as_slice(), b"private");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn master_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        create_master_key(&path, &MasterKey::generate(), &path).unwrap();
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
