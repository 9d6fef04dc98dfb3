//! Builds the pages: Trunk into a staging folder, compressed siblings, then into `frontend/dist` in
//! such an order that a running server never sees them half done.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::job;
use crate::setup::Workspace;
use crate::tools::{self, Tools};
use crate::ui::Steps;
use crate::wasm::{self, Compiler};

/// Steps that [`build`] takes.
pub(crate) const STEPS: usize = 5;
/// What compresses; fonts and pictures are compressed already.
const COMPRESSIBLE: [&str; 10] = [
    "css",
    "html",
    "ico",
    "js",
    "json",
    "mjs",
    "svg",
    "txt",
    "wasm",
    "webmanifest",
];
/// The page that names all others, and therefore comes last.
const INDEX: &str = "index.html";

/// Where the pages are when they are done.
pub(crate) fn dist(workspace: &Workspace) -> PathBuf {
    workspace.root.join("frontend/dist")
}

/// Cargo's target folder for the pages: their own, so that they never wait for the server's lock.
pub(crate) fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("pages")
}

fn stamp(workspace: &Workspace) -> PathBuf {
    target(workspace).join("countersign.stamp")
}

/// Whether the pages in `frontend/dist` are those of the sources as they are now.
pub(crate) fn are_fresh(workspace: &Workspace) -> Result<bool> {
    let Ok(index) = fs::read(dist(workspace).join(INDEX)) else {
        return Ok(false);
    };
    let Ok(stamped) = fs::read_to_string(stamp(workspace)) else {
        return Ok(false);
    };
    Ok(stamped.trim() == seal(&fingerprint(workspace)?, &index))
}

/// Ties the sources to what was built of them, because a plain `trunk build` writes there too.
fn seal(fingerprint: &str, index: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    index.hash(&mut hasher);
    format!("{fingerprint}-{:016x}", hasher.finish())
}

/// A hash of all that the pages are made of.
fn fingerprint(workspace: &Workspace) -> Result<String> {
    let mut files = BTreeSet::new();
    for folder in ["frontend", "shared"] {
        collect(&workspace.root.join(folder), &mut files)?;
    }
    for file in ["Cargo.toml", "Cargo.lock", "Trunk.toml"] {
        files.insert(workspace.root.join(file));
    }
    let mut hasher = DefaultHasher::new();
    tools::TRUNK.hash(&mut hasher);
    wasm::version(workspace)?.hash(&mut hasher);
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        file.strip_prefix(&workspace.root)
            .unwrap_or(&file)
            .hash(&mut hasher);
        bytes.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// All source files below a folder: not what is built, installed or only tested.
fn collect(folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    const SKIPPED: [&str; 4] = ["dist", "node_modules", "target", "tests"];
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Editors keep their swap files beside what is edited.
        if name.starts_with('.') || name.ends_with('~') || SKIPPED.contains(&name.as_ref()) {
            continue;
        }
        if entry
            .file_type()
            .with_context(|| format!("reading {}", folder.display()))?
            .is_dir()
        {
            collect(&entry.path(), files)?;
        } else {
            files.insert(entry.path());
        }
    }
    Ok(())
}

/// What the pages are built with.
#[derive(Debug)]
pub(crate) struct Kit {
    /// The compiler that knows WebAssembly.
    pub(crate) compiler: Compiler,
    /// Trunk and wasm-bindgen.
    pub(crate) tools: Tools,
}

impl Kit {
    /// Finds all that the pages are built with, or sets it up; three steps.
    pub(crate) fn ensure(workspace: &Workspace, steps: &mut Steps) -> Result<Self> {
        let compiler = wasm::ensure(workspace, steps)?;
        let tools = tools::ensure(workspace, steps)?;
        Ok(Self { compiler, tools })
    }

    /// Trunk at the root, using these tools and downloading none of its own.
    pub(crate) fn trunk(&self, workspace: &Workspace) -> Result<std::process::Command> {
        let mut command = workspace.command(&self.tools.trunk);
        self.compiler.apply(&mut command, &self.tools.folders())?;
        command
            .env("CARGO_TARGET_DIR", target(workspace))
            .env("TRUNK_SKIP_VERSION_CHECK", "true")
            .env("TRUNK_BUILD_OFFLINE", "true")
            // Trunk's own spinners would fill the log.
            .env("NO_COLOR", "true");
        Ok(command)
    }
}

/// Builds the pages in release, in [`STEPS`] steps.
pub(crate) fn build(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    // Taken first: what changes while we build is not in what we build.
    let fingerprint = fingerprint(workspace)?;
    let kit = Kit::ensure(workspace, steps)?;
    let staging = target(workspace).join("staging");
    if staging.exists() {
        fs::remove_dir_all(&staging).with_context(|| format!("emptying {}", staging.display()))?;
    }
    fs::create_dir_all(&staging).with_context(|| format!("creating {}", staging.display()))?;
    let mut trunk = kit.trunk(workspace)?;
    trunk.args(["build", "--release", "--dist"]).arg(&staging);
    let step = steps.next(
        "compiling the pages to WebAssembly",
        "about 2 min the first time",
    );
    job::run(workspace, step, tools::gently(trunk), "pages")?;

    let mut step = steps.next("compressing the pages", "");
    if !staging.join(INDEX).is_file() {
        bail!("Trunk left no {INDEX} in {}", staging.display());
    }
    compress(&staging, &mut |name| step.tick(name))?;
    publish(&staging, &dist(workspace))?;
    let index = staging.join(INDEX);
    let index = fs::read(&index).with_context(|| format!("reading {}", index.display()))?;
    fs::write(stamp(workspace), seal(&fingerprint, &index)).context("stamping the pages")?;
    step.done("");
    Ok(())
}

/// Builds the page of the example `notes`, with what is compiled for the pages already, and leaves it
/// where the example looks for it.
pub(crate) fn build_example(workspace: &Workspace, kit: &Kit, steps: &mut Steps) -> Result<()> {
    let mut trunk = kit.trunk(workspace)?;
    trunk
        .args(["build", "--release", "--config"])
        .arg("backend/examples/notes/page/Trunk.toml");
    let step = steps.next("compiling the example's page", "about 30 s the first time");
    job::run(workspace, step, tools::gently(trunk), "example-page")
}

/// The steps that [`build_if_stale`] will take.
pub(crate) fn steps(workspace: &Workspace) -> Result<usize> {
    Ok(if are_fresh(workspace)? { 1 } else { STEPS })
}

/// Builds the pages unless they are fresh.
pub(crate) fn build_if_stale(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    if are_fresh(workspace)? {
        steps.skip("the pages are up to date");
        return Ok(());
    }
    build(workspace, steps)
}

/// Writes a Brotli and a gzip sibling of every file that shrinks by it.
fn compress(folder: &Path, tick: &mut dyn FnMut(&str)) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("reading {}", folder.display()))?
            .path();
        if path.is_dir() {
            compress(&path, tick)?;
            continue;
        }
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !COMPRESSIBLE.contains(&extension.as_str()) {
            continue;
        }
        tick(&path.file_name().unwrap_or_default().to_string_lossy());
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        for (suffix, small) in [("br", brotli(&bytes)?), ("gz", gzip(&bytes)?)] {
            let sibling = path.with_extension(format!("{extension}.{suffix}"));
            if small.len() < bytes.len() {
                fs::write(&sibling, small)
                    .with_context(|| format!("writing {}", sibling.display()))?;
            }
        }
    }
    Ok(())
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 22,
        ..Default::default()
    };
    let mut small = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut small, &parameters)
        .context("compressing with Brotli")?;
    Ok(small)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).context("compressing with gzip")?;
    encoder.finish().context("compressing with gzip")
}

/// Brings `dist` to the state of `staging`: first what is new, then the index, then away with what
/// is old. A server that reads `dist` meanwhile finds the old pages or the new ones, never half.
fn publish(staging: &Path, dist: &Path) -> Result<()> {
    fs::create_dir_all(dist).with_context(|| format!("creating {}", dist.display()))?;
    let wanted = names(staging)?;
    let (last, first): (Vec<&PathBuf>, Vec<&PathBuf>) =
        wanted.iter().partition(|name| name.as_os_str() == INDEX);
    for name in first.into_iter().chain(last) {
        replace(&staging.join(name), &dist.join(name))?;
    }
    for name in names(dist)?.difference(&wanted) {
        let old = dist.join(name);
        fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
    }
    Ok(())
}

/// Copies a file in one step for those who read the place meanwhile; an equal one stays as it is,
/// with its time, so that nothing is built anew because of it.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = to.parent().context("a page has no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new"));
    let mut file = File::create(&new).with_context(|| format!("creating {}", new.display()))?;
    file.write_all(&bytes)
        .with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, to).with_context(|| format!("writing {}", to.display()))
}

/// The files below a folder, by their paths relative to it.
fn names(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("reading {}", folder.display()))?
                .path();
            if path.is_dir() {
                walk(root, &path, found)?;
            } else {
                found.insert(
                    path.strip_prefix(root)
                        .context("walking a folder")?
                        .to_owned(),
                );
            }
        }
        Ok(())
    }
    let mut found = BTreeSet::new();
    walk(folder, folder, &mut found)?;
    Ok(found)
}

/// Bytes of the WebAssembly and of the JavaScript after Brotli.
pub(crate) fn sizes(workspace: &Workspace) -> Result<(u64, u64)> {
    let (mut wasm, mut script) = (0, 0);
    let dist = dist(workspace);
    for name in names(&dist)? {
        let text = name.to_string_lossy();
        let size = fs::metadata(dist.join(&name))
            .context("reading a page's size")?
            .len();
        if text.ends_with(".wasm.br") {
            wasm += size;
        } else if text.ends_with(".js.br") || text.ends_with(".mjs.br") {
            script += size;
        }
    }
    Ok((wasm, script))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn publishing_adds_replaces_and_removes() {
        let (staging, dist) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(staging.path(), "index.html", "new");
        write(staging.path(), "assets/app-2.js", "2");
        write(dist.path(), "index.html", "old");
        write(dist.path(), "assets/app-1.js", "1");

        publish(staging.path(), dist.path()).unwrap();

        assert_eq!(names(staging.path()).unwrap(), names(dist.path()).unwrap());
        assert_eq!(
            fs::read_to_string(dist.path().join("index.html")).unwrap(),
            "new"
        );
    }

    #[test]
    fn an_equal_file_keeps_its_time() {
        let (staging, dist) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(staging.path(), "index.html", "same");
        write(dist.path(), "index.html", "same");
        let before = fs::metadata(dist.path().join("index.html"))
            .unwrap()
            .modified()
            .unwrap();

        publish(staging.path(), dist.path()).unwrap();

        let after = fs::metadata(dist.path().join("index.html"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn what_shrinks_gets_its_siblings_and_what_does_not_gets_none() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "app.js", &"let a = 1;".repeat(100));
        write(folder.path(), "tiny.js", "x");
        write(folder.path(), "picture.png", &"p".repeat(100));

        compress(folder.path(), &mut |_| ()).unwrap();

        let found = names(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|name| name.to_string_lossy()).collect();
        assert_eq!(
            found,
            ["app.js", "app.js.br", "app.js.gz", "picture.png", "tiny.js"]
        );
    }

    #[test]
    fn the_fingerprint_takes_sources_and_leaves_what_is_built() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "src/main.rs",
            "dist/a.js",
            "node_modules/x.js",
            "tests/browser/run.mjs",
            ".x",
        ] {
            write(folder.path(), name, "");
        }

        let mut files = BTreeSet::new();
        collect(folder.path(), &mut files).unwrap();

        assert_eq!(files, BTreeSet::from([folder.path().join("src/main.rs")]));
    }

    #[test]
    fn the_stamp_is_of_the_sources_and_of_the_pages() {
        assert_eq!(seal("a", b"page"), seal("a", b"page"));
        assert_ne!(seal("a", b"page"), seal("b", b"page"));
        assert_ne!(seal("a", b"page"), seal("a", b"other page"));
    }
}
