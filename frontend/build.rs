//! Leaves the functions' names out of the pages' WebAssembly: they are 40 % of the file.
//!
//! Cargo's own `strip = true` would take the target features too, which wasm-bindgen needs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_wasm = std::env::var_os("CARGO_CFG_TARGET_ARCH").is_some_and(|arch| arch == "wasm32");
    let is_release = std::env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    if is_wasm && is_release {
        println!("cargo::rustc-link-arg-bins=--strip-all");
        println!("cargo::rustc-link-arg-bins=--keep-section=target_features");
    }
}
