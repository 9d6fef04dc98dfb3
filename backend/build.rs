//! Lists the built pages for embedding (feature `embed-ui`).

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    // `sqlx::migrate!` reads the folder when it is expanded, but cannot watch it.
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed=COUNTERSIGN_PAGES");
    if env::var_os("CARGO_FEATURE_EMBED_UI").is_none() {
        return Ok(());
    }
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets it")?);
    let pages = env::var_os("COUNTERSIGN_PAGES")
        .map_or_else(|| manifest.join("../frontend/dist"), PathBuf::from);
    let pages = pages.canonicalize().unwrap_or(pages);
    println!("cargo::rerun-if-changed={}", pages.display());
    if !pages.join("index.html").is_file() {
        return Err(format!(
            "the feature `embed-ui` needs built pages, but {} has no index.html: run \
             `cargo xtask dist`, or `trunk build --release` first",
            pages.display()
        )
        .into());
    }

    let mut table = String::from("&[\n");
    list(&pages, &pages, &mut table)?;
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets it")?);
    fs::write(out.join("pages.rs"), table)?;
    Ok(())
}

/// Appends `("/name", include_bytes!("/absolute/name")),` for every file below `folder`.
fn list(root: &Path, folder: &Path, table: &mut String) -> Result<(), Box<dyn Error>> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            list(root, &path, table)?;
            continue;
        }
        let name = path
            .strip_prefix(root)?
            .to_str()
            .ok_or("file name is not UTF-8")?;
        // A name starting with a dot is xtask's stamp or an editor's file, none a page needs.
        if name.starts_with('.') {
            continue;
        }
        writeln!(
            table,
            "    ({:?}, include_bytes!({:?})),",
            format!("/{name}"),
            path.to_str().ok_or("file name is not UTF-8")?
        )?;
    }
    Ok(())
}
