//! What the server has enabled, asked once and again where that failed.

use countersign_types::{
    PasswordRules,
    accounts::{AuthConfig, Home, Registration},
};
use leptos::{prelude::*, task::spawn_local};

use crate::api;

/// What is enabled. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    config: RwSignal<Option<AuthConfig>>,
    is_asking: RwSignal<bool>,
}

impl Settings {
    /// Puts itself into the context. Nothing is known before somebody [asks](Settings::ask).
    pub fn provide() -> Self {
        let settings = Self {
            config: RwSignal::new(None),
            is_asking: RwSignal::new(false),
        };
        provide_context(settings);
        settings
    }

    /// The settings in the context.
    ///
    /// # Panics
    ///
    /// Where no component above called [`Settings::provide`].
    pub fn expect() -> Self {
        expect_context()
    }

    /// Asks, unless the answer is known or on its way. Without an answer the pages offer all there
    /// is, and the server's word counts.
    pub fn ask(self) {
        if self.is_asking.get_untracked() || self.config.with_untracked(Option::is_some) {
            return;
        }
        self.is_asking.set(true);
        spawn_local(async move {
            let answer = api::config().await;
            if let Ok(config) = answer {
                self.config.set(Some(config));
            }
            self.is_asking.set(false);
        });
    }

    /// Whether the server said that nobody may create an account.
    pub fn is_registration_closed(self) -> bool {
        self.config.with(|config| {
            config
                .as_ref()
                .is_some_and(|config| config.registration != Registration::Open)
        })
    }

    /// Whose page is at `/`; `None` while the answer is awaited, and ours where none came. Reading it
    /// subscribes.
    pub fn home(self) -> Option<Home> {
        let home = self
            .config
            .with(|config| config.as_ref().map(|config| config.home));
        home.or_else(|| (!self.is_asking.get()).then_some(Home::Pages))
    }

    /// How long a password must be.
    pub fn password_rules(self) -> PasswordRules {
        self.config.with(|config| {
            config
                .as_ref()
                .map_or_else(PasswordRules::default, |config| config.password)
        })
    }
}
